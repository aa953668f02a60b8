"""Reading `integrations.yaml`: strict models, secrets by environment only, errors that name file, line and key.

The root model is `resources.integrations.Integrations`; each connector declares its own part in its `config.py`
from the types here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from resources.core.configuration.yaml_document import SECRET, Document
from resources.core.errors import ConfigError
from resources.core.physics.units import ucum_code
from resources.core.rules import Action, ChosenRule
from resources.core.tags import SENSOR_ID_PATTERN

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Model = TypeVar("Model", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of every configuration model: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EnvSecret:
    """A secret that lives in an environment variable; it is looked up at use, and never printed."""

    def __init__(self, variable: str) -> None:
        """Remember the variable's name."""
        self.variable = variable

    def reveal(self) -> str:
        """Return the secret.

        Raises:
            ConfigError: The variable is unset or empty.
        """
        value = os.environ.get(self.variable, "")
        if not value:
            raise ConfigError(f"environment variable {self.variable} is not set: export it before starting")
        return value

    def __repr__(self) -> str:
        """Name the variable, not the secret."""
        return f"${{{self.variable}}}"

    def __eq__(self, other: object) -> bool:
        """Compare by variable name."""
        return isinstance(other, EnvSecret) and other.variable == self.variable

    def __hash__(self) -> int:
        """Hash by variable name."""
        return hash(self.variable)


def _secret(value: object) -> EnvSecret:
    if isinstance(value, EnvSecret):
        return value
    match = SECRET.match(value) if isinstance(value, str) else None
    if match is None:
        # the value itself must not appear in the message
        raise ValueError("a secret must be written as ${NAME_OF_AN_ENVIRONMENT_VARIABLE}, not as its value")
    return EnvSecret(match.group(1))


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number with ms, s, m, h or d, such as 500ms, 5s, 15m or 24h")
    return timedelta(seconds=float(match.group(1)) * _SECONDS[match.group(2)])


def _duration_text(value: timedelta) -> str:
    # what `_duration` reads, so that a dumped configuration can be validated again
    return f"{value / timedelta(seconds=1):.6f}".rstrip("0").rstrip(".") + "s"


def _fingerprint(value: object) -> str:
    text = value.replace(":", "").replace(" ", "").lower() if isinstance(value, str) else ""
    if _SHA256.match(text) is None:
        raise ValueError(
            "a SHA-256 fingerprint is 64 hexadecimal digits, with or without colons: `openssl x509 -noout -fingerprint "
            "-sha256 -in FILE` and `gl certs list` show it"
        )
    return text


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _unit(value: str) -> str:
    try:
        return ucum_code(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


Secret = Annotated[Any, BeforeValidator(_secret), PlainSerializer(repr, return_type=str)]
"""A field that accepts `${NAME}` only; its value is an `EnvSecret`."""

Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(_duration_text, return_type=str, when_used="json")
]
"""A field that accepts `500ms`, `5s`, `15m`, `24h`, `2d`."""

Fingerprints = Annotated[tuple[Annotated[str, BeforeValidator(_fingerprint)], ...], BeforeValidator(_one_or_more)]
"""A field that accepts one or several SHA-256 fingerprints; kept as 64 lower-case digits each."""

Unit = Annotated[str, AfterValidator(_unit)]
"""A field that accepts a UCUM code or a plant's spelling (`psig`, `°F`, `Nm3/h`); its value is the UCUM code."""

SensorId = Annotated[str, Field(pattern=SENSOR_ID_PATTERN)]
"""A field that accepts a sensor_id."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$")]
"""The name of a source or system: a letter, then letters, digits, `_` and `-`."""


class Writable(StrictModel):
    """Within which bounds a tag may be written (`gl write`); a tag without this block is never written."""

    minimum: float = Field(allow_inf_nan=False)
    """Least value that may be written, in `unit`."""
    maximum: float = Field(allow_inf_nan=False)
    """Greatest value that may be written, in `unit`."""
    max_step: float = Field(gt=0, allow_inf_nan=False)
    """Greatest change in one write, in `unit`, against the value read just before."""
    tolerance: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How far the value read back may be off, in `unit`; the rounding of a float32 is allowed besides."""
    read_back_timeout: Duration = timedelta(seconds=10)
    """How long the written value is waited for when it is read back."""
    minimum_interval: Duration = timedelta(0)
    """Least time between two writes, so that steps in quick succession do not add up to a leap."""

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(f"writable.minimum {self.minimum:g} is not below writable.maximum {self.maximum:g}")
        if self.read_back_timeout <= timedelta(0):
            raise ValueError("writable.read_back_timeout must be longer than 0s")
        return self


class Report(StrictModel):
    """Which readings of a tag are kept: those that say something new. A tag without this block keeps all of them.

    Always kept: the first and the last one of a window, of a connection and of a run, a change of status, a bad value.
    """

    when: Literal["change", "deadband", "swinging_door"]
    """`change`: the value differs from the last one kept. `deadband`: by more than the deadband. `swinging_door`: a
    straight line between the readings kept would be off by more than `deviation`."""
    deadband: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Of `deadband`: the largest change that is left out, in `unit`."""
    deadband_percent: float | None = Field(None, gt=0, le=100)
    """Of `deadband`, in place of `deadband`: the same in percent."""
    percent_of: Literal["span", "value"] = "span"
    """What the percentage is of: `span` is the tag's maximum - minimum, `value` the last value kept."""
    deviation: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Of `swinging_door`: the largest error of the straight lines, in `unit`."""
    max_silence: Duration = Field(timedelta(minutes=5), gt=timedelta(0))
    """A value that comes this long after the last one kept is kept whatever it is."""

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        wanted = {
            "change": set[str](),
            "deadband": {"deadband_percent" if self.deadband is None else "deadband"},
            "swinging_door": {"deviation"},
        }[self.when]
        given = {name for name in ("deadband", "deadband_percent", "deviation") if getattr(self, name) is not None}
        if given != wanted:
            rule = {
                "change": "takes neither deadband nor deviation",
                "deadband": "takes deadband or deadband_percent, one of them",
                "swinging_door": "takes deviation, and nothing else that says how much",
            }[self.when]
            raise ValueError(f"report.when: {self.when} {rule}")
        return self


class TagConfig(StrictModel):
    """What every tag of every protocol has; the protocol adds where to find it."""

    sensor_id: SensorId
    """Unique in the whole configuration; the key in every table."""
    unit: Unit
    """Engineering unit after scale and offset, a UCUM code; a text tag needs none."""
    data: Literal["number", "text"] = "number"
    """What the tag's readings are: numbers (booleans are 0 and 1), or texts, which are kept in scada.text_readings."""
    states: dict[str, int] = Field(default_factory=dict)
    """State as the source names it -> the number stored for it; a state that is not listed is rejected."""
    description: str = ""
    """What the tag measures, for people."""
    canonical_unit: Unit | None = None
    """Unit of `calibrated_value`; the tag's own unit if absent. Must measure the same thing."""
    scale: float = 1.0
    """Engineering value = raw * scale + offset."""
    offset: float = 0.0
    """See scale."""
    minimum: float | None = None
    """Values below are rejected, in `unit`."""
    maximum: float | None = None
    """Values above are rejected, in `unit`."""
    max_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Greatest plausible change in a second, in `unit`; a value that has come further breaks rate_of_change."""
    flat_after: Duration | None = Field(None, gt=timedelta(0))
    """A live signal never stays the same for this long; one that does breaks flat_line."""
    rules: dict[ChosenRule, Action] = Field(default_factory=dict)
    """Rule -> reject, lower or off, where this tag differs from `quality.rules`."""
    equipment: str | None = None
    """The equipment the tag belongs to, as in `process_heat`."""
    area: str | None = None
    """The area of the site the equipment stands in."""
    calibration: str | None = None
    """Number of the instrument's calibration certificate."""
    report: Report | None = None
    """Which readings are kept; all if absent."""
    writable: Writable | None = None
    """Bounds within which `gl write` may write the tag; read-only if absent."""

    @model_validator(mode="before")
    @classmethod
    def _a_text_has_no_unit(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("data") == "text" and values.get("unit") is None:
            return {**values, "unit": "1"}
        return values

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"tag {self.sensor_id}: minimum {self.minimum:g} is above maximum {self.maximum:g}")
        if self.states and not self.is_text and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError(f"tag {self.sensor_id}: states give numbers as they are: leave out scale and offset")
        return self

    @model_validator(mode="after")
    def _a_text_has_no_number(self) -> Self:
        odd = [name for name in self._numeric_keys() if getattr(self, name) != type(self).model_fields[name].default]
        if self.is_text and (odd or self.states):
            raise ValueError(
                f"tag {self.sensor_id}: a text has no {', '.join([*odd, *(['states'] if self.states else [])])}: "
                "leave it out, or set data: number"
            )
        if self.is_text and self.report is not None and self.report.when != "change":
            raise ValueError(f"tag {self.sensor_id}: of a text only report.when: change can be said")
        return self

    @model_validator(mode="after")
    def _a_percentage_has_a_span(self) -> Self:
        if self.report is None or self.report.deadband_percent is None or self.report.percent_of == "value":
            return self
        if self.minimum is None or self.maximum is None or self.maximum <= self.minimum:
            raise ValueError(
                f"tag {self.sensor_id}: report.deadband_percent is of the span: give the tag minimum and maximum, or "
                "set report.percent_of: value"
            )
        return self

    @staticmethod
    def _numeric_keys() -> tuple[str, ...]:
        return ("scale", "offset", "minimum", "maximum", "max_rate", "flat_after", "canonical_unit", "writable")

    @property
    def is_text(self) -> bool:
        """True where the tag's readings are texts."""
        return self.data == "text"


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Return `path` as a validated `model`.

    Raises:
        ConfigError: The file is missing, is not YAML, or breaks the model; one line per fault:
            `integrations.yaml:14: sources.boiler_house.tags.3.unit: unknown unit 'foo' ...`.
    """
    return Document.load(path).validated(model)


def parse_yaml(text: str, model: type[Model], *, name: str) -> Model:
    """Return YAML `text` as a validated `model`; `name` stands for the file in messages.

    Raises:
        ConfigError: As `load_yaml`.
    """
    return Document.parse(text, name=name).validated(model)
