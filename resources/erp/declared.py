"""A dataset of an ERP system, declared by data: where it is read, by what it is known, which field becomes which.

Each connector ships its declarations in `datasets.yaml`; `integrations.yaml` overrides them key by key and adds others.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from resources.core.configuration.settings import Duration, Name, StrictModel

_SEPARATOR = re.compile(r"(?<!\\)\.")

Number = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""A number with a fraction, as YAML has it; dumped as a number, so that it is read as one again."""

_COLUMNS_OF_LANDED = frozenset({"source_key", "changed_at", "ingested_at"})

Literals = str | bool | int | Number
"""A value that a declaration may hold."""


def split_path(path: str) -> tuple[str, ...]:
    r"""Return the names of a property path, outermost first; `\.` is a dot within a name."""
    return tuple(part.replace("\\.", ".") for part in _SEPARATOR.split(path))


def _path(value: str) -> str:
    if not all(split_path(value)) or value != value.strip() or "\0" in value:
        raise ValueError(
            f"{value[:60]!r} is no property path: names of properties joined by dots, such as parent.CompanyCode"
        )
    return value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


PropertyPath = Annotated[str, AfterValidator(_path), Field(min_length=1, max_length=500)]
"""The way to a property of a record: its name, or names joined by dots where it lies deeper."""

PropertyPaths = Annotated[tuple[PropertyPath, ...], BeforeValidator(_one_or_more)]
"""One path, or a list of them."""


class Comparison(StrictModel):
    """One condition on the records asked for; several of them hold together."""

    property: PropertyPath
    """Property on the left."""
    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"] = "eq"
    """The comparison."""
    value: Literals
    """What it is compared with; quoted for the protocol, so that nothing in it can end the literal."""
    type: Literal["auto", "date", "instant"] = "auto"
    """What a text stands for: itself (`auto`), a date, or an instant with zone. YAML's own dates need no type."""

    @model_validator(mode="before")
    @classmethod
    def _dates_become_text(cls, values: Any) -> Any:
        held = values.get("value") if isinstance(values, dict) else None
        if isinstance(held, date):
            return {**values, "value": held.isoformat(), "type": "instant" if isinstance(held, datetime) else "date"}
        return values

    @model_validator(mode="after")
    def _value_fits_type(self) -> Self:
        try:
            found = self.literal()
        except ValueError as error:
            raise ValueError(f"value {str(self.value)[:40]!r} is no {self.type}") from error
        if isinstance(found, datetime) and found.tzinfo is None:
            raise ValueError(f"value {str(self.value)[:40]!r} needs its zone, such as 2026-01-01T00:00:00Z")
        return self

    def literal(self) -> Literals | date | datetime:
        """Return the value with its type, for the function that quotes it."""
        if self.type == "date":
            return date.fromisoformat(str(self.value))
        if self.type == "instant":
            return datetime.fromisoformat(str(self.value))
        return self.value


class Condition(StrictModel):
    """True of a record whose property has one of some values."""

    path: PropertyPath
    """The property."""
    values: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
    """Its values, as text."""


class FieldRule(StrictModel):
    """Where a standard field comes from: exactly one source, and what is done to it.

    The type is that of the standard table's column; forms of dates and numbers are told apart by the value.
    """

    path: PropertyPath | None = None
    """A property."""
    paths: tuple[PropertyPath, ...] = ()
    """Several: the first that has a value."""
    constant: Literals | None = None
    """The same value for every record."""
    setting: Name | None = None
    """A key of the system's block, such as `company`."""
    join: tuple[PropertyPath, ...] = ()
    """Several properties as one text; without a value if one of them has none."""
    separator: str = "/"
    """Of `join`: what stands between them."""
    date: PropertyPath | None = None
    """Of an instant given as two properties: the date by the local clock of the system's zone."""
    time: PropertyPath | None = None
    """Its time of day; midnight if absent."""
    debit: PropertyPath | None = None
    """Of a signed amount given as two properties: the amount where it is a debit."""
    credit: PropertyPath | None = None
    """The amount where it is a credit, which counts negative."""
    values: dict[str, str | None] = Field(default_factory=dict)
    """Translation of values; one that is not listed stays as it is."""
    default: str | None = None
    """Value where there is none."""
    strip_zeros: bool = False
    """True takes leading zeros off."""
    null_values: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    """Values that mean there is none, such as 00000000 or 0000-00-00."""
    unit: bool = False
    """True: a unit code of the system, which becomes a UCUM code."""
    negate_when: Condition | None = None
    """The number changes its sign where this holds."""
    segment: int | str | None = None
    """One of several values that a text joins, as the accounts of a ledger do: its number from 1, or a name that the
    kind of system turns into one. A delimiter behind a backslash belongs to its segment; an empty one is no value."""
    delimiter: str = Field("-", min_length=1, max_length=4)
    """Of `segment`: what stands between them."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in ("path", "paths", "constant", "setting", "join", "date") if getattr(self, name)]
        if self.constant is not None and "constant" not in given:
            given.append("constant")  # 0, false and the empty text are constants, too
        if self.debit is not None or self.credit is not None:
            given.append("debit and credit")
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise ValueError(
                f"a rule has one of path, paths, constant, setting, join, date, debit and credit; this one has {said}"
            )
        if self.time is not None and self.date is None:
            raise ValueError("time needs date beside it")
        if (self.debit is None) != (self.credit is None):
            raise ValueError("debit and credit go together")
        if isinstance(self.segment, int) and not 1 <= self.segment <= 60:
            raise ValueError("segment counts from 1, to 60 at most")
        return self

    @property
    def properties(self) -> tuple[str, ...]:
        """The paths that the rule reads."""
        single = (self.path, self.date, self.time, self.debit, self.credit)
        condition = (self.negate_when.path,) if self.negate_when is not None else ()
        return (*(path for path in single if path is not None), *self.paths, *self.join, *condition)


def _rule(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


class DatasetConfig(StrictModel):
    """One dataset of a system: a resource that is read by business day, or as a whole where it has none."""

    inherit: bool = True
    """False: this block stands alone; otherwise it is laid over the connector's own declaration of that name."""
    table: Name | None = None
    """Standard table that it fills; the dataset's name if absent. A name that is no standard table is landed only."""
    protocol: Name | None = None
    """Protocol, of those the connector speaks; its first one if absent."""
    service: str | None = Field(None, pattern=r"^/?[^\s?#]*$")
    """Root path of the service, where the protocol has services."""
    resource: str = Field(min_length=1, max_length=500)
    """What is read there: entity set, REST resource, report, WQL source or SOAP operation."""
    key: PropertyPaths = Field(min_length=1)
    """Properties that identify a record; source_key is their values joined by `/`."""
    key_prefix: str = Field("", max_length=60)
    """Put before source_key as it stands, where two resources with numbers of their own fill one table."""
    business_date: PropertyPath | None = None
    """Property that says which day a record belongs to; absent for master data, which is read as a whole."""
    changed: PropertyPath | None = None
    """Property with the time of the last change; absent where records cannot be read by it."""
    select: tuple[PropertyPath, ...] = ()
    """Properties asked for; all if absent."""
    expand: tuple[str, ...] = ()
    """Navigations or children read along."""
    where: tuple[Comparison, ...] = ()
    """Conditions on the records asked for."""
    explode: PropertyPath | None = None
    """Child list of which each item becomes a record; the fields around it stand under `parent`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What only this connector knows: finder, company filter, prompts; see its README.md."""
    fields: dict[Name, Annotated[FieldRule, BeforeValidator(_rule)]] = Field(default_factory=dict)
    """Standard field -> the path it comes from, or a rule."""
    extra: dict[Name, PropertyPath] = Field(default_factory=dict)
    """Further fields, kept in `extra` of the standard table: name -> path."""
    withdrawn_when: tuple[Condition, ...] = ()
    """A record leaves the standard table where one of these holds: it was reversed, deleted, disabled."""
    contract: Literal["evolve", "warn", "freeze"] = "warn"
    """What a new, missing or retyped property does: nothing, a warning, or a red gate."""
    poll_every: Duration | None = Field(None, ge=timedelta(seconds=60))
    """Changes are looked for this often, 60 s at least; not between the daily pulls if absent. Needs `changed`."""
    sweep: int | None = Field(None, ge=1, le=366)
    """Deletions are looked for every so many days beyond the days that are pulled again anyway; never if absent."""
    totals: PropertyPath | None = None
    """Amount whose sum over a day is compared between landed records and the standard table."""

    @model_validator(mode="after")
    def _can_be_polled(self) -> Self:
        if self.poll_every is not None and self.changed is None:
            raise ValueError("poll_every needs changed: the property with the time of the last change")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = sorted(_COLUMNS_OF_LANDED.intersection(self.properties))
        if taken:
            raise ValueError(f"{taken[0]} names a column of every landed record: a property called so cannot be read")
        return self

    @property
    def is_master(self) -> bool:
        """True for master data: one snapshot, not partitioned."""
        return self.business_date is None

    @property
    def properties(self) -> tuple[str, ...]:
        """Every path that is read out of a record, once each."""
        read = [path for rule in self.fields.values() for path in rule.properties]
        single = [path for path in (self.business_date, self.changed, self.totals) if path is not None]
        withdrawn = [condition.path for condition in self.withdrawn_when]
        return tuple(dict.fromkeys([*self.key, *single, *read, *self.extra.values(), *withdrawn]))


def merged(shipped: dict[str, Any] | None, given: dict[str, Any] | None) -> dict[str, Any]:
    """Return a declaration laid over the shipped one: key by key; `fields`, `extra` and `options` entry by entry.

    An entry that is null takes the shipped one away.
    """
    given = given or {}
    if shipped is None or given.get("inherit") is False:
        return dict(given)
    result = {**shipped, **given}
    for name in ("fields", "extra", "options"):
        over = given.get(name)
        if isinstance(over, dict):
            both = {**(shipped.get(name) or {}), **over}
            result[name] = {key: value for key, value in both.items() if value is not None}
    return {key: value for key, value in result.items() if value is not None}
