"""What `options` of a Workday dataset may hold, by protocol, and how the part that is read gets into a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from resources.core.configuration.settings import StrictModel
from resources.erp.connector import Changed, Day, Part
from resources.erp.declared import DatasetConfig, PropertyPath

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_KNOWN = {"day", "since", "until"}
_PROMPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}(?:!(?:WID|[A-Za-z_]{1,64}))?")
_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

PROTOCOLS = ("wql", "raas", "soap", "rest")
"""The protocols that the connector speaks; the first is taken where a dataset names none."""


def _is_prompt(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if not _PROMPT.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no prompt: its web service alias, with !WID behind it for a reference")
        _check_placeholders(value)
    return values


def _is_element(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if not _ELEMENT.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no name of an element")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                _is_element(item)
            elif isinstance(item, str):
                _check_placeholders(item)
    return values


def _check_placeholders(value: str) -> None:
    unknown = set(_PLACEHOLDER.findall(value)) - _KNOWN
    if unknown:
        raise ValueError(f"{value[:60]!r}: there are only {{day}}, {{since}} and {{until}}")


Prompts = Annotated[dict[str, str], AfterValidator(_is_prompt)]
"""Name of a prompt or parameter -> its value; `{day}`, `{since}` and `{until}` stand for the part that is read."""
Elements = Annotated[dict[str, Any], AfterValidator(_is_element)]
"""Element of a SOAP request -> its value, elements within, or a list of them; placeholders as in prompts."""


class WqlOptions(StrictModel):
    """Of a dataset read by WQL."""

    prompts: Prompts = Field(default_factory=dict)
    """Filters and prompts of the data source, in parentheses behind its name."""


class PartOptions(StrictModel):
    """Of a dataset whose request says which part is wanted by named values."""

    always: Prompts = Field(default_factory=dict)
    """Sent with every request."""
    day: Prompts = Field(default_factory=dict)
    """Sent where a business day is read."""
    changed: Prompts = Field(default_factory=dict)
    """Sent where changes are read; without it they cannot be."""


class RaasOptions(PartOptions):
    """Of a dataset read from a custom report."""

    owner: str = Field(min_length=1, max_length=200)
    """Owner of the report, as in its web service address."""


class SoapOptions(StrictModel):
    """Of a dataset read by a SOAP operation."""

    record: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    """Element of Response_Data that is one record."""
    always: Elements = Field(default_factory=dict)
    """Request_Criteria of every request."""
    day: Elements = Field(default_factory=dict)
    """Request_Criteria where a business day is read."""
    changed: Elements = Field(default_factory=dict)
    """Request_Criteria where changes are read; without it they cannot be."""
    response_group: Elements = Field(default_factory=dict)
    """Response_Group: what is asked for."""
    keyed: dict[str, PropertyPath] = Field(default_factory=dict)
    """Name of a repeated element -> path in it whose value names each: the list becomes a mapping, so that a field rule
    can reach one of them (`Position_Organization_Data.COST_CENTER`)."""


Options = WqlOptions | RaasOptions | SoapOptions | PartOptions
_MODELS: dict[str, type[Options]] = {
    "wql": WqlOptions, "raas": RaasOptions, "soap": SoapOptions, "rest": PartOptions,
}  # fmt: skip


def protocol_of(declared: DatasetConfig) -> str:
    """Return the protocol a dataset is read by."""
    return declared.protocol or PROTOCOLS[0]


def options_of(declared: DatasetConfig) -> Options:
    """Return the options of a dataset.

    Raises:
        ValueError: They do not fit its protocol (pydantic's ValidationError is one), or there is no such protocol.
    """
    protocol = protocol_of(declared)
    if protocol not in _MODELS:
        raise ValueError(f"protocol {protocol!r} is none of Workday's: {', '.join(PROTOCOLS)}")
    return _MODELS[protocol].model_validate(declared.options)


class Slots(StrictModel):
    """The values of a part, as they stand in a request."""

    day: date | None = None
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, part: Part) -> Self:
        """Return the values of a part."""
        if isinstance(part, Day):
            return cls(day=part.day)
        return cls(since=part.since, until=part.until) if isinstance(part, Changed) else cls()

    @model_validator(mode="after")
    def _have_zones(self) -> Self:
        assert self.since is None or self.since.tzinfo is not None, "an instant has its zone"
        return self

    def text(self, value: str) -> str:
        """Return `value` with its placeholders filled in."""
        written = {
            "day": self.day and self.day.isoformat(),
            "since": _instant(self.since),
            "until": _instant(self.until),
        }
        return _PLACEHOLDER.sub(lambda match: written[match[1]] or "", value)

    def texts(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return values by name, with placeholders filled in."""
        return {name: self.text(value) for name, value in values.items()}

    def elements(self, value: Any) -> Any:
        """Return elements of a SOAP request, with placeholders filled in however deep."""
        if isinstance(value, dict):
            return {name: self.elements(held) for name, held in value.items()}
        if isinstance(value, list):
            return [self.elements(held) for held in value]
        return self.text(value) if isinstance(value, str) else value


def _instant(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if value else None
