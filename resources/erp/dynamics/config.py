"""Configuration of a Dynamics 365 Finance & Operations system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from functools import partial
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError, model_validator

from resources.core.configuration.settings import Name, StrictModel
from resources.erp.business_days import DayOf, business_day
from resources.erp.config import SystemConfig
from resources.erp.declared import DatasetConfig, FieldRule, PropertyPath

_DELIMITERS = Literal["-", ".", "_", "|", "--", "..", "__", "||"]
_ENUM = re.compile(r"([A-Za-z_][\w.]*\.[A-Za-z_]\w*)'([A-Za-z_]\w*)'")


def _lower(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower() for value in values)


Companies = Annotated[tuple[str, ...], AfterValidator(_lower)]
"""Legal entities by their id, which Finance & Operations sends in lower case."""


class DynamicsOptions(StrictModel):
    """The block `options` of a dataset."""

    per_company: bool = True
    """False for a set whose records belong to no company: it has no `dataAreaId` to ask for."""
    business_date: Literal["date", "noon", "instant"] = "date"
    """What `business_date` is: `date` is sent at noon or midnight UTC and means that day; `noon` is the same, but asked
    for by equality with noon, where an environment reads the bounds of a range by its own zone; `instant` is a time
    whose day is the one by the clock of the system's zone."""
    order_by: tuple[Name, ...] = ()
    """Order in which records are asked for, by properties that together are unique; the key if absent."""
    expand_select: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    """Navigation property of `expand` -> which properties are asked for of it; all if it is not named."""
    journal_names: tuple[str, ...] = ()
    """Of journal lines: the journal names whose lines are read."""
    journal_batches: tuple[str, ...] = ()
    """Of journal lines: the batch numbers whose lines are read; `*` stands for any text."""
    posted_only: bool = False
    """Of journal lines: true leaves out lines of journals that are not posted."""
    candidates: tuple[Name, ...] = ()
    """Names that the set has in other versions; `gl erp describe` tells which one is there."""

    @property
    def by_journal(self) -> bool:
        """Whether the journal's header decides which lines are read."""
        return bool(self.journal_names) or self.posted_only


class DynamicsConfig(SystemConfig):
    """One Dynamics 365 Finance & Operations environment, read by OData V4."""

    pulled_by_default: ClassVar[tuple[str, ...] | None] = (
        "financial_transactions",
        "production_schedule",
        "purchase_orders",
        "cost_centers",
    )

    kind: Literal["dynamics"]
    """Kind of the system."""
    companies: Companies = ()
    """Legal entities that are read (`dataAreaId`); all that the user behind the application may see if absent."""
    cross_company: bool = True
    """False reads the default company of the user behind the application alone."""
    ledger_dimension_format: tuple[Name, ...] = ("MainAccount", "BusinessUnit", "Department", "CostCenter")
    """Order of the segments of a ledger account's display value: the active format of the type *ledger dimension* in
    General ledger > Chart of accounts > Dimensions > Financial dimension configuration for integrating applications."""
    default_dimension_format: tuple[Name, ...] = ("BusinessUnit", "Department", "CostCenter")
    """Order of the segments of a default dimension's display value: the active format of the type *default
    dimension*, in the same form."""
    dimension_delimiter: _DELIMITERS = "-"
    """What stands between segments (General ledger parameters > Financial dimensions); escaped by a backslash where a
    value holds it."""

    @model_validator(mode="after")
    def _company_is_among_companies(self) -> Self:
        if self.companies and not self.cross_company:
            raise ValueError("companies needs cross_company: without it only the user's default company is read")
        return self

    @model_validator(mode="after")
    def _datasets_can_be_asked_for(self) -> Self:
        for name, declared in self.datasets.items():
            try:
                options = DynamicsOptions.model_validate(declared.options)
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(str(part) for part in first["loc"])
                raise ValueError(f"datasets.{name}.options.{key}: {first['msg']}") from None
            _refuse_what_the_dialect_lacks(name, declared, options)
            rules = {field: self._numbered(name, field, rule) for field, rule in declared.fields.items()}
            self.datasets[name] = declared.model_copy(update={"fields": rules})
        return self

    def options_of(self, dataset: str) -> DynamicsOptions:
        """Return the options of a configured dataset."""
        return DynamicsOptions.model_validate(self.datasets[dataset].options)

    def day_of(self, dataset: str) -> DayOf:
        """Return what tells the business day: a date is that of UTC, whatever the zone; an instant's is the zone's."""
        is_instant = self.options_of(dataset).business_date == "instant"
        return partial(business_day, zone=ZoneInfo(self.time_zone) if is_instant else UTC)

    def _numbered(self, dataset: str, field: str, rule: FieldRule) -> FieldRule:
        """Return a rule whose segment `ledger.<dimension>` or `default.<dimension>` is a number by the formats."""
        if not isinstance(rule.segment, str):
            return rule
        of, _, dimension = rule.segment.partition(".")
        formats: Mapping[str, tuple[str, ...]] = {
            "ledger": self.ledger_dimension_format,
            "default": self.default_dimension_format,
        }
        if dimension not in formats.get(of, ()):
            raise ValueError(
                f"datasets.{dataset}.fields.{field}: segment {rule.segment!r} is none: it is ledger.<dimension> or "
                f"default.<dimension>, and {of}_dimension_format has {', '.join(formats.get(of, ())) or 'none'}; "
                "correct the format, or take the field away (null)"
            )
        number = formats[of].index(dimension) + 1
        return rule.model_copy(update={"segment": number, "delimiter": self.dimension_delimiter})


def enum_member(value: object) -> tuple[str, str] | None:
    """Return type and member of a text such as `Microsoft.Dynamics.DataEntities.NoYes'Yes'`; None if it is none."""
    found = _ENUM.fullmatch(value) if isinstance(value, str) else None
    return (found.group(1), found.group(2)) if found else None


def _refuse_what_the_dialect_lacks(name: str, declared: DatasetConfig, options: DynamicsOptions) -> None:
    for comparison in declared.where:
        where = f"datasets.{name}.where: {comparison.property} {comparison.operator}"
        if "." in comparison.property:
            raise ValueError(f"{where}: Finance & Operations cannot filter by what a navigation property leads to")
        if enum_member(comparison.value) and comparison.operator not in ("eq", "ne"):
            raise ValueError(f"{where}: enumerations know eq and ne alone")
    for path in declared.expand:
        if "/" in path or "." in path or "(" in path:
            raise ValueError(f"datasets.{name}.expand: {path}: Finance & Operations expands the first level only")
    missing = [path for path in options.expand_select if path not in declared.expand]
    if missing:
        raise ValueError(f"datasets.{name}.options.expand_select: {missing[0]} is not among expand")
    if "journal_names" in declared.options and not (options.journal_names or options.journal_batches):
        raise ValueError(
            f"datasets.{name}.options: journal_names or journal_batches must say which journals allocate costs: "
            "without them every journal would count"
        )


def filter_property(declared: DatasetConfig, path: PropertyPath) -> str:
    """Return the property that a path of a record means on the entity that is asked for: without `parent.`."""
    return path.removeprefix("parent.") if declared.explode is not None else path
