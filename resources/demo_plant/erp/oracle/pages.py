"""Pages of a collection as the fake answers them: filtered, ordered, cut to the limit, and spoilt on demand."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.oracle.answers import Form, ordered, wanted, written
from resources.demo_plant.erp.oracle.book import OracleBook
from resources.demo_plant.erp.oracle.expressions import EVERYTHING, BadQueryError, Bound, Expression, convert, parse
from resources.demo_plant.erp.oracle.faults import OracleControl
from resources.demo_plant.erp.oracle.records import Record
from resources.demo_plant.erp.oracle.resources import AttributeType, Resource

PARAMETERS = frozenset(
    {"q", "finder", "fields", "expand", "onlyData", "links", "limit", "offset", "orderBy", "totalResults"}
)
"""The query parameters that the fake knows; `links` is taken and passed over."""

_HUGE = 10_000_000
_TEXTS = ("Comments", "WorkOrderDescription", "AssetDescription", "BatchDescription")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a collection."""

    resource: Resource
    address: str
    parameters: Mapping[str, str]
    framework: int

    def flag(self, name: str) -> bool:
        """Return whether a parameter says true."""
        return self.parameters.get(name, "false").lower() == "true"

    def number(self, name: str, default: int) -> int:
        """Return a whole number.

        Raises:
            BadQueryError: It is none.
        """
        text = self.parameters.get(name)
        if text is None:
            return default
        if not text.isdecimal():
            raise BadQueryError(f"URL request parameter {name} cannot be used: {text[:20]!r} is no number")
        return int(text)

    @property
    def expression(self) -> Expression:
        """What `q` and `finder` say together.

        Raises:
            BadQueryError: One of them is not understood.
        """
        text, finder = self.parameters.get("q"), self.parameters.get("finder")
        asked = parse(self.resource, text, self.framework) if text else EVERYTHING
        if finder is None:
            return asked
        found = _found(self.resource, finder)
        return Expression(lambda record: asked.holds(record) and found.holds(record), asked.bounds + found.bounds)


def _found(resource: Resource, text: str) -> Expression:
    name, _, values = text.partition(";")
    finder = resource.finder(name)
    if finder is None:
        raise BadQueryError(f"URL request parameter finder cannot be used: there is no finder {name[:60]}")
    bounds = []
    for pair in (part for part in values.split(",") if part):
        bind, _, value = pair.partition("=")
        attribute = finder.binds.get(bind.strip())
        if attribute is None:
            raise BadQueryError(f"URL request parameter finder cannot be used: {name} has no variable {bind[:60]}")
        bounds.append(Bound(attribute, "=", convert(_type(resource, attribute), value.strip().strip("'\""))))
    return Expression(lambda record: all(record.get(b.attribute) == b.value for b in bounds), tuple(bounds))


def _type(resource: Resource, attribute: str) -> AttributeType:
    found = resource.type_of(attribute)
    assert found is not None, f"the finder compares {attribute}, which {resource.name} does not have"
    return found


def selected(book: OracleBook, question: Question, expression: Expression) -> Iterator[Record]:
    """Yield the matching records of a resource in the order asked for; only days that may match are made."""
    first, last = _days(question.resource, expression)
    matching = (r for r in book.records(question.resource.name, first, last) if expression.holds(r))
    order = question.parameters.get("orderBy", "")
    if order in ("", question.resource.key, f"{question.resource.key}:asc"):
        return matching
    return iter(ordered(question.resource, list(matching), order))


def _days(resource: Resource, expression: Expression) -> tuple[date | None, date | None]:
    """Return the days whose records may match: a change comes at most 15 days before what it changes is due."""
    first: list[date] = []
    last: list[date] = []
    for bound in expression.bounds:
        if bound.attribute not in (resource.dated, "LastUpdateDate"):
            continue
        day = bound.value.date() if isinstance(bound.value, datetime) else bound.value
        if bound.sign in ("=", ">", ">="):
            first.append(day - timedelta(days=1))
        if bound.sign in ("=", "<", "<="):
            last.append(day + timedelta(days=15 if bound.attribute == "LastUpdateDate" else 0))
    return max(first, default=None), min(last, default=None)


def collection(records: Iterator[Record], question: Question, control: OracleControl, fault: Fault | None) -> Any:
    """Return a page of records as an answer, spoilt as the fault says.

    Raises:
        BadQueryError: A parameter is not understood.
    """
    kind = fault.kind if fault else None
    limit, offset = min(question.number("limit", 25), control.cap), question.number("offset", 0)
    asked = wanted(question.resource, question.parameters.get("fields"), question.parameters.get("expand"))
    form = Form(
        question.framework,
        question.flag("onlyData"),
        control.nested_limit,
        "https://other-host.invalid" if kind == "foreign_link" else None,
    )
    total: int | None = None
    if question.flag("totalResults"):
        everything = list(records)
        total, records = len(everything), iter(everything)
    page = list(islice(records, offset, offset + limit + 1))
    more = len(page) > limit
    shown = [] if kind == "empty_page" else [_spoilt(record, kind, question.resource) for record in page[:limit]]
    if kind == "huge_field" and shown:
        shown[0] = _huge(shown[0])
    items = [written(question.resource, record, asked, form, question.address) for record in shown]
    if kind == "no_key" and items:
        items[0].pop(question.resource.key, None)
    body: dict[str, Any] = {
        "items": items,
        "count": len(items),
        "hasMore": kind == "empty_page" or (more and kind != "no_more"),
        "limit": limit,
        "offset": offset,
    }
    if total is not None:
        seen = total if control.honest_total else min(total, limit)
        body["totalResults"] = seen + (kind == "miscount")
    body["links"] = [{"rel": "self", "href": question.address, "name": question.resource.name, "kind": "collection"}]
    return body


def _huge(record: Record) -> Record:
    name = next((name for name in _TEXTS if name in record), None)
    return record if name is None else {**record, name: "x" * _HUGE}


def _spoilt(record: Record, kind: str | None, resource: Resource) -> Record:
    if kind not in ("other_day", "unknown_currency", "other_date_format"):
        return record
    spoilt = copy.deepcopy(record)
    _spoil_below(spoilt, kind, (resource.dated or "").rpartition(".")[2])
    return spoilt


def _spoil_below(record: Record, kind: str, dated: str) -> None:
    for name, value in record.items():
        if isinstance(value, list):
            for below in value:
                _spoil_below(below, kind, dated)
        elif kind == "unknown_currency" and name == "CurrencyCode":
            record[name] = "XXZ"
        elif isinstance(value, str) and name == dated:
            moved = datetime.fromisoformat(value) + timedelta(days=1)
            if kind == "other_date_format":
                record[name] = datetime.fromisoformat(value).strftime("%d-%b-%Y").upper()
            elif kind == "other_day":
                record[name] = moved.isoformat() if len(value) > 10 else moved.date().isoformat()
