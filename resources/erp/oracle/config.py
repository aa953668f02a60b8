"""Configuration of an Oracle ERP Cloud (Fusion) pod."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from resources.core.configuration.settings import Name, StrictModel, Unit
from resources.erp.config import MeterConfig, SystemConfig
from resources.erp.declared import DatasetConfig, FieldRule, split_path
from resources.transport.auth.config import OAuthConfig

CHILDREN_AS_COLLECTION = 3
"""First framework version whose children say whether there are more of them."""

METER_CODE = "MeterCode"
"""Attribute of a reading that names its meter."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Period(StrictModel):
    """A coarser condition for a day, where the business date itself cannot be asked for."""

    attribute: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    """Attribute of the resource, such as DefaultPeriodName."""
    format: str = Field("%b-%y", min_length=1, max_length=60)
    """Its value for a day, in the letters of strftime: `%b-%y` is Nov-26."""


class OracleOptions(StrictModel):
    """What `options` of a dataset may hold."""

    business_date_type: Literal["date", "instant"] = "date"
    """What the business date is on the wire: a date, or an instant, of which a day is an interval in the time zone."""
    finder: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    """Predefined search of the resource; none if absent."""
    finder_values: dict[str, str] = Field(default_factory=dict)
    """Its variables; `{day}` in a value is the business day, `{day:%b-%y}` the same by the letters of strftime."""
    finder_each: tuple[dict[str, str], ...] = ()
    """One search after the other, each with these variables besides: for a resource that only shows the readings of one
    meter, say. The server's count is not known then."""
    period: Period | None = None
    """Asked for in place of the business date, for a pod whose `q` does not compare attributes of children: all of the
    period is read, and what is of other days is passed over. Only beside `explode`."""
    order_by: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    """Unique attribute of the resource that pages are ordered and sought by; its part of the key if absent."""
    paging: Literal["key", "offset"] = "key"
    """`key`: each page begins behind the last key of the one before. `offset`: for a resource whose key cannot be
    compared; pages overlap by one record, so that a set that changes meanwhile is noticed."""
    page_size: int | None = Field(None, ge=1, le=10_000)
    """Largest page of this dataset, for one whose children make a page heavy; http.page_size alone if absent."""
    may_be_empty: bool = False
    """True: that the resource shows no record at all is no fault."""

    @field_validator("finder_values", "finder_each")
    @classmethod
    def _values_stay_one(
        cls, given: dict[str, str] | tuple[dict[str, str], ...]
    ) -> dict[str, str] | tuple[dict[str, str], ...]:
        for values in (given,) if isinstance(given, dict) else given:
            for name, value in values.items():
                _check_variable(name, value)
        return given

    @model_validator(mode="after")
    def _values_have_a_finder(self) -> Self:
        if (self.finder_values or self.finder_each) and self.finder is None:
            raise ValueError("finder_values and finder_each need finder")
        return self

    @property
    def searches(self) -> tuple[Self, ...]:
        """The searches that are made, one after the other."""
        each = self.finder_each or ({},)
        return tuple(self.model_copy(update={"finder_values": {**self.finder_values, **more}}) for more in each)


def _check_variable(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or re.search(r"[;,\x00-\x1f]", value):
        raise ValueError(
            f"variables of a finder: {name[:40]!r} must be a name and its value without semicolon and comma, which "
            "separate variables"
        )
    with_day(value, date(2026, 1, 31))


def with_day(text: str, day: date) -> str:
    """Return a text with the day in its place.

    Raises:
        ValueError: The text has other braces than those of `{day}`.
    """
    try:
        return text.format(day=day)
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{text[:60]!r}: only {{day}} and {{day:%b-%y}} may stand in braces") from error


class OracleMeter(MeterConfig):
    """A meter, with the unit that its readings do not carry."""

    unit: Unit | None = None
    """Unit that the meter counts in, a UCUM code; without it its readings are rejected."""


class OracleConfig(SystemConfig):
    """One pod of Oracle ERP Cloud, read by Fusion REST."""

    kind: Literal["oracle"]
    """Kind of the system."""
    api_path: str = Field("/fscmRestApi/resources/11.13.18.05", pattern=r"^(/[A-Za-z0-9._\-]+)+$")
    """Path of the REST API with its version."""
    framework_version: int = Field(4, ge=1, le=9)
    """REST-Framework-Version sent with every request: it decides the grammar of `q` and the form of children and
    errors. Datasets with `explode` need 3 at least."""
    page_cap: int = Field(499, ge=1, le=10_000)
    """Most records asked for in a page, whatever http.page_size says: pods cut a larger limit silently, some at 500 and
    some at 499."""
    must_exist: str = Field("currenciesLOV", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    """Resource that has records in every pod. It is asked when an answer is empty: a client that no Fusion user belongs
    to gets empty answers to everything."""

    meters: dict[str, OracleMeter] = Field(default_factory=dict)  # type: ignore[assignment]  # one key more
    """Meter code -> what it measures and in which unit; a reading of another one is kept with energy_type `unknown`."""
    account_segments: tuple[Name, ...] = ()
    """Segments of an account combination in their order, as the chart of accounts has them; those named `account` and
    `cost_center` go into the standard fields. Without it the account is the whole combination."""
    account_delimiter: str = Field("-", min_length=1, max_length=4)
    """What stands between segments."""

    @model_validator(mode="after")
    def _scope_is_given(self) -> Self:
        if isinstance(self.auth, OAuthConfig) and not self.auth.scope:
            raise ValueError(
                "auth.scope is missing: take it verbatim from the application in the identity domain, such as "
                "urn:opc:resource:fa:instanceid=500001234urn:opc:resource:consumer::all (one word, without blank)"
            )
        return self

    @model_validator(mode="after")
    def _datasets_can_be_read(self) -> Self:
        for name, declared in self.datasets.items():
            problem = _problem(declared, self.framework_version)
            if problem:
                raise ValueError(f"datasets.{name}: {problem}")
            rules = {field: self._completed(name, field, rule) for field, rule in declared.fields.items()}
            known = {field: rule for field, rule in rules.items() if rule is not None}
            self.datasets[name] = declared.model_copy(update={"fields": known})
        return self

    def options_of(self, dataset: str) -> OracleOptions:
        """Return the options of a dataset."""
        return OracleOptions.model_validate(self.datasets[dataset].options)

    def page_size_of(self, dataset: str) -> int:
        """Return how many records a page of a dataset is asked for."""
        # two at least: by offset, the first record of a page is the last one of the page before
        return max(2, min(self.options_of(dataset).page_size or self.page_cap, self.http.page_size, self.page_cap))

    def _completed(self, dataset: str, field: str, rule: FieldRule) -> FieldRule | None:
        """Return a rule with what the configuration knows: places of segments, units of meters; None without place."""
        if field == "consumption_unit" and rule.path == METER_CODE and not rule.values:
            return rule.model_copy(update={"values": {code: m.unit for code, m in self.meters.items() if m.unit}})
        if not isinstance(rule.segment, str):
            return rule
        if rule.segment in self.account_segments:
            place = self.account_segments.index(rule.segment) + 1
            return rule.model_copy(update={"segment": place, "delimiter": self.account_delimiter})
        if self.account_segments:
            raise ValueError(
                f"datasets.{dataset}.fields.{field}: there is no segment {rule.segment!r} among account_segments "
                f"({', '.join(self.account_segments)}); name it there, or take the field away (null)"
            )
        return rule.model_copy(update={"segment": None}) if field == "account" else None


def _problem(declared: DatasetConfig, framework: int) -> str | None:
    """Return what keeps a dataset from being read; None if nothing does."""
    options = OracleOptions.model_validate(declared.options)
    if declared.protocol not in (None, "rest"):
        return f"protocol {declared.protocol!r}: Fusion has rest"
    if declared.select and declared.expand:
        return "select and expand exclude each other: `fields` of Fusion REST takes the children along"
    if declared.explode is not None:
        return _problem_of_children(declared, declared.explode, options, framework)
    if options.period is not None:
        return "options.period goes with explode: records of other days would have to be passed over"
    return None if options.order_by or len(declared.key) == 1 else "a key of several properties needs options.order_by"


def _problem_of_children(declared: DatasetConfig, explode: str, options: OracleOptions, framework: int) -> str | None:
    if framework < CHILDREN_AS_COLLECTION:
        return f"explode needs framework_version {CHILDREN_AS_COLLECTION} at least: before, children are cut silently"
    if declared.changed and not at_resource(declared.changed, explode):
        return f"changed must be a property of the resource itself: {declared.changed} belongs to a child"
    if options.order_by is None and not any(at_resource(path, explode) for path in declared.key):
        return "no property of key belongs to the resource itself: name one to order by in options.order_by"
    return None


def wire_path(path: str, explode: str | None) -> str:
    """Return a property of a record as the resource names it: `parent.X` of an exploded child is X one level up."""
    levels = split_path(explode) if explode else ()
    names = split_path(path)
    up = 0
    while up < min(len(names) - 1, len(levels)) and names[up] == "parent":
        up += 1
    return ".".join((*levels[: len(levels) - up], *names[up:]))


def at_resource(path: str, explode: str | None) -> str | None:
    """Return the attribute of the resource itself that a record's property is; None if it belongs to a child."""
    found = wire_path(path, explode)
    return None if "." in found else found
