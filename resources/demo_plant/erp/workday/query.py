"""The part of WQL that the fake Workday answers.

`SELECT a, b FROM source WHERE x = '...' AND y >= '...' ORDER BY a ASC`, comparisons and `in`. What it does not know it
refuses, as the real one does. Literals stand in single or double quotes; a backslash or a doubled quote escapes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday.book import WorkdayBook
from resources.demo_plant.erp.workday.sources import SOURCES, DataSource, Row, Span

_STRING = r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\""
_LITERAL = rf"(?:{_STRING}|-?[\d.]+|true|false)"
_QUERY = re.compile(
    r"\s*SELECT\s+(?P<select>[\w\s,.]+?)\s+FROM\s+(?P<source>\w+)"
    rf"(?:\s+WHERE\s+(?P<where>(?:{_STRING}|[^'\"])*?))?(?:\s+ORDER\s+BY\s+(?P<order>[\w\s,]+?))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TERM = re.compile(
    rf"\s*(\w+)\s*(=|!=|<=|>=|<|>|\bin\b)\s*({_LITERAL}|\(\s*{_LITERAL}(?:\s*,\s*{_LITERAL})*\s*\))\s*", re.IGNORECASE
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip


class BadQueryError(Exception):
    """The service does not understand the request."""


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison; `values` are the literals of `in`, else one."""

    field: str
    comparison: str
    values: tuple[str, ...]

    def holds(self, row: Row) -> bool:
        """Return whether the row fulfils it; a missing value fulfils none."""
        held = row.get(self.field)
        if held is None:
            return False
        if isinstance(held, dict):
            return self.comparison in ("=", "in") and held.get("id") in self.values
        text = str(held).lower() if isinstance(held, bool) else held
        values = [float(v) if isinstance(text, int | float) else v for v in self.values]
        if self.comparison == "in":
            return text in values
        return _COMPARISONS[self.comparison](text, values[0])


def answer(book: WorkdayBook, text: str, fault: Fault | None) -> list[Row]:
    """Return the rows that a query asks for.

    Raises:
        BadQueryError: Not WQL, or a source or field that does not exist.
    """
    match = _QUERY.fullmatch(text)
    if match is None:
        raise BadQueryError("The query is not valid WQL")
    source = SOURCES.get(match["source"])
    if source is None:
        raise BadQueryError(f"Data source {match['source']} does not exist or is not secured to you")
    terms = _terms(source, match["where"] or "")
    span = _span(book, source, terms)
    if fault is not None and fault.kind == "other_day":
        # what a service does that passes over the filter
        terms = [term for term in terms if term.field != source.dated]
    rows = [row for row in source.rows(book, span, fault) if all(term.holds(row) for term in terms)]
    names = [_known(source, name) for name in match["select"].split(",")]
    for part in reversed([p for p in (match["order"] or "").split(",") if p.strip()]):
        field, _, direction = part.strip().partition(" ")
        _known(source, field)
        rows.sort(key=lambda row, f=field: _rank(row.get(f)), reverse=direction.strip().upper() == "DESC")  # type: ignore[misc]
    return [{name: row[name] for name in names if row.get(name) is not None} for row in rows]


def _terms(source: DataSource, text: str) -> list[Term]:
    terms: list[Term] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise BadQueryError(f"Invalid condition at position {position} of WHERE")
        literals = tuple(_unquoted(literal) for literal in re.findall(_LITERAL, match[3], re.IGNORECASE))
        terms.append(Term(_known(source, match[1]), match[2].lower(), literals))
        position = match.end()
        if position < len(text):
            if text[position : position + 3].upper() != "AND":
                raise BadQueryError("only conditions joined by AND are implemented")
            position += 3
    return terms


def _unquoted(literal: str) -> str:
    if literal[:1] not in "'\"":
        return literal
    quote = literal[0]
    return re.sub(r"\\(.)", r"\1", literal[1:-1].replace(quote * 2, quote))


def _known(source: DataSource, name: str) -> str:
    name = name.strip()
    if name not in source.fields:
        raise BadQueryError(f"Field {name} does not exist in data source {source.label}")
    return name


def _span(book: WorkdayBook, source: DataSource, terms: list[Term]) -> Span:
    """Return which accounting dates and moments a query allows; the ends themselves are judged by the terms."""
    first, last = book.first_day, book.today()
    for term in (t for t in terms if t.field == source.dated):
        try:
            day = date.fromisoformat(term.values[0])
        except ValueError as error:
            raise BadQueryError(f"{term.values[0]} is not a date") from error
        if term.comparison in ("=", ">=", ">"):
            first = max(first, day)
        if term.comparison in ("=", "<=", "<"):
            last = min(last, day)
    stamps = {term.comparison: datetime.fromisoformat(term.values[0]) for term in terms if term.field == source.stamped}
    return Span(first, last, stamps.get(">=") or stamps.get(">"), stamps.get("<") or stamps.get("<="))


def _rank(value: Any) -> tuple[bool, Any]:
    held = value.get("descriptor") if isinstance(value, dict) else value
    return held is not None, held
