"""What is asked of a resource, as the parameters of Fusion REST: `q` in both grammars, `fields`, `finder`, `orderBy`.

Every value goes through `resources.transport.text.quoting`. Source: Fusion REST references, "Set the REST Framework
Version" and the query parameters of each collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

from resources.erp.connector import Changed, Day, Part
from resources.erp.declared import Comparison, DatasetConfig
from resources.erp.oracle.config import OracleOptions, at_resource, wire_path, with_day
from resources.transport.text.quoting import Dialect, Value, quote_name, quote_value

_OPERATORS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


@dataclass(frozen=True, slots=True)
class Grammar:
    """How conditions are written: by example in framework 1, as a row match from 2 on."""

    framework: int

    @property
    def _dialect(self) -> Dialect:
        return "oracle_q1" if self.framework == 1 else "oracle_q2"

    def compare(self, name: str, operator: str, value: Value) -> str:
        """Return one condition.

        Raises:
            ValueError: The name or the value cannot be written.
        """
        sign = _OPERATORS[operator]
        written = f"{quote_name(self._dialect, name)}{{}}{quote_value(self._dialect, value)}"
        return written.format(sign if self.framework == 1 else f" {sign} ")

    def all_of(self, conditions: Iterable[str]) -> str:
        """Return conditions that hold together."""
        return (";" if self.framework == 1 else " and ").join(conditions)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return where a day of the zone begins and where the next one does, in UTC."""
    return (
        datetime.combine(day, time(), zone).astimezone(UTC),
        datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a dataset's resource, before it is cut into pages."""

    parameters: Mapping[str, str]
    """All but q, orderBy, limit and offset."""
    conditions: tuple[str, ...]
    order_by: str | None
    """Unique attribute."""
    expands: bool
    """Children are read along."""


def asked(declared: DatasetConfig, options: OracleOptions, part: Part, zone: ZoneInfo, framework: int) -> Asked:
    """Return what a part of a dataset is, as parameters.

    Raises:
        ValueError: A name or a value of the declaration cannot be written.
    """
    grammar = Grammar(framework)
    parameters = {"onlyData": "true"}
    parameters |= _shape(declared, "")
    if options.finder:
        parameters["finder"] = _finder(options, part)
    conditions = [_where(grammar, declared, comparison) for comparison in declared.where]
    conditions += _part(grammar, declared, options, part, zone)
    return Asked(
        parameters,
        tuple(conditions),
        options.order_by or next(filter(None, (at_resource(path, declared.explode) for path in declared.key)), None),
        expands=declared.explode is not None or bool(declared.expand),
    )


def asked_of_children(declared: DatasetConfig, child: str, order_by: str | None) -> Asked:
    """Return what is asked of the children of one record, `child` being the dotted path of the level."""
    return Asked({"onlyData": "true", **_shape(declared, child)}, (), order_by, expands=False)


def address(path: str, parameters: Mapping[str, str]) -> str:
    """Return a path with its parameters, percent-encoded."""
    return f"{path}?" + "&".join(f"{quote(name, safe='')}={quote(text, safe=',')}" for name, text in parameters.items())


def _where(grammar: Grammar, declared: DatasetConfig, comparison: Comparison) -> str:
    return grammar.compare(wire_path(comparison.property, declared.explode), comparison.operator, comparison.literal())


def _part(grammar: Grammar, declared: DatasetConfig, options: OracleOptions, part: Part, zone: ZoneInfo) -> list[str]:
    if isinstance(part, Changed):
        name = wire_path(str(declared.changed), declared.explode)
        return [grammar.compare(name, "ge", part.since), grammar.compare(name, "lt", part.until)]
    if not isinstance(part, Day):
        return []
    if options.period is not None:
        return [grammar.compare(options.period.attribute, "eq", part.day.strftime(options.period.format))]
    name = wire_path(str(declared.business_date), declared.explode)
    if options.business_date_type == "date":
        return [grammar.compare(name, "eq", part.day)]
    begin, end = day_bounds(part.day, zone)
    return [grammar.compare(name, "ge", begin), grammar.compare(name, "lt", end)]


def _finder(options: OracleOptions, part: Part) -> str:
    written = {
        name: with_day(value, part.day) if isinstance(part, Day) else value
        for name, value in options.finder_values.items()
    }
    values = ",".join(f"{name}={value}" for name, value in written.items())
    return f"{options.finder};{values}" if values else str(options.finder)


def _shape(declared: DatasetConfig, child: str) -> dict[str, str]:
    """Return `fields` or `expand` for what is read at a level: selected attributes, or all with the children below."""
    if declared.select:
        return {"fields": _fields(declared, child)}
    below = declared.expand if not child else ()
    if declared.explode:
        deeper = declared.explode[len(child) :].strip(".")
        below = (*below, deeper) if deeper and deeper not in below else below
    return {"expand": ",".join(below)} if below else {}


def _fields(declared: DatasetConfig, child: str) -> str:
    """Return the selected properties as `fields` takes them: own attributes, then each child with its own.

    What the connector itself needs is among them in any case.
    """
    groups: dict[str, list[str]] = {child: []}
    needed = (*declared.key, declared.business_date, declared.changed)
    for path in dict.fromkeys(path for path in (*declared.select, *needed) if path is not None):
        level, _, name = wire_path(path, declared.explode).rpartition(".")
        if level == child or level.startswith(f"{child}.") or not child:
            groups.setdefault(level, []).append(quote_name("oracle_q2", name))
    # a level is named from the one that is read
    named = {level[len(child) :].strip("."): names for level, names in groups.items()}
    return ";".join(
        f"{level}:{','.join(names)}" if level else ",".join(names) for level, names in named.items() if names
    )
