"""One page of an entity set, worked out as Finance & Operations does: companies, filter, order, expansion, token."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.entities import DATE_TIME, EntitySet
from resources.demo_plant.erp.dynamics.query import BadQueryError, Filter, days_asked, parse_filter

Record = dict[str, Any]
Expanded = Mapping[str, tuple[str, ...]]
"""Navigation property -> the properties selected of what it leads to; none: all."""

_OPTIONS = {"$filter", "$count", "$orderby", "$skip", "$top", "$expand", "$select", "$skiptoken", "cross-company"}
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Page:
    """The records of a page, how many the whole query has, and the options of the next page's address."""

    records: list[Record]
    total: int
    following: Mapping[str, str] | None


def page(book: DynamicsBook, entity: EntitySet, options: Mapping[str, str], size: int) -> Page:
    """Return the page that a query asks for.

    Raises:
        BadQueryError: The query is none of this dialect.
    """
    unknown = {name for name in options if name.startswith("$")} - _OPTIONS
    if unknown:
        raise BadQueryError(f"The query option '{min(unknown)}' is not supported.")
    terms = parse_filter(options["$filter"], entity.properties) if "$filter" in options else None
    expanded = _expanded(book, entity, options.get("$expand", ""))
    matching = _matching(book, entity, terms, options, expanded)
    if "$top" in options and not options.get("$orderby") and options.get("$count") != "true":
        # what nobody counts and nobody orders is not looked for beyond what is wanted
        matching = islice(matching, _whole(options, "$skip") + _whole(options, "$top"))
    found = _ordered(entity, list(matching), options.get("$orderby", ""))
    total = len(found)
    end = min(total, _whole(options, "$skip") + _whole(options, "$top", total))
    start = _start(options["$skiptoken"]) if "$skiptoken" in options else _whole(options, "$skip")
    until = min(start + size, end)
    records = _selected(entity, found[start:until], options.get("$select", ""), expanded)
    return Page(records, total, {**options, "$skiptoken": skip_token(until)} if until < end else None)


def link(base: str, entity: str, options: Mapping[str, str]) -> str:
    """Return the address of a query, absolute."""
    return f"{base}/{entity}?" + "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in options.items())


def _matching(
    book: DynamicsBook, entity: EntitySet, terms: Filter | None, options: Mapping[str, str], expanded: Expanded
) -> Iterator[Record]:
    """Yield what the query finds, each record with what it expands to."""
    every_company = options.get("cross-company", "").lower() == "true" or not entity.of_company
    for day, records in _by_day(book, entity, terms):
        chosen = [
            record
            for record in records
            if (every_company or record.get("dataAreaId") == book.default_company)
            and (terms is None or terms.holds(record))
        ]
        related = (
            {name: _related(book, entity, name, select, day) for name, select in expanded.items()} if chosen else {}
        )
        for record in chosen:
            yield {**record, **{name: related[name](record) for name in expanded}}


def _by_day(book: DynamicsBook, entity: EntitySet, terms: Filter | None) -> Iterator[tuple[date, list[Record]]]:
    """Yield the records of the days that a filter allows."""
    dated = book.business_dates.get(entity.name)
    if dated is None:
        yield date.min, book.masters(entity.name)
        return
    # what was entered by hand may lie in the future
    first, last = book.first_day, book.today() + 400 * _ONE_DAY
    if dated:
        first, last = days_asked(terms, dated, date(1900, 1, 1), last)
        null = date(1900, 1, 1)
        if first <= null:
            yield null, book.day(entity.name, null)
        first = max(first, book.first_day)
    # a change stamp is of the day or later, so days long before it cannot match
    stamped = next((name for name, kind in entity.properties.items() if name.startswith("Modified")), None)
    if stamped:
        changed_from, _ = days_asked(terms, stamped, first, last)
        touched = book.touched(entity.name)
        first = max(first, min([changed_from - _ONE_DAY, *touched])) if changed_from > first else first
    while first <= last:
        yield first, book.day(entity.name, first)
        first += _ONE_DAY


def _related(book: DynamicsBook, entity: EntitySet, name: str, select: Sequence[str], day: date) -> Any:
    """Return what finds the records that a navigation property leads to, among those of a day."""
    navigation = entity.navigation[name]
    held: dict[tuple[Any, ...], list[Record]] = {}
    dated = navigation.target in book.business_dates
    for record in book.day(navigation.target, day) if dated else book.masters(navigation.target):
        shown = {key: value for key, value in record.items() if not select or key in select}
        held.setdefault(tuple(record.get(key) for key in navigation.on), []).append(_annotated(shown))

    def of(record: Record) -> list[Record] | Record | None:
        found = held.get(tuple(record.get(key) for key in navigation.on), [])
        return found if navigation.many else (found[0] if found else None)

    return of


def _expanded(book: DynamicsBook, entity: EntitySet, expand: str) -> Expanded:
    """Return the navigation properties asked for, each with what is selected of it: one level, `$select` alone."""
    found: dict[str, tuple[str, ...]] = {}
    for item in re.findall(r"[^,(]+(?:\([^)]*\))?", expand):
        name, _, within = item.strip().partition("(")
        navigation = entity.navigation.get(name)
        if navigation is None:
            raise BadQueryError(f"Could not find a navigation property named '{name}' on '{entity.entity_type}'.")
        if within and not within.startswith("$select="):
            raise BadQueryError("Only the first level of $expand is supported.")
        select = tuple(part for part in within.removesuffix(")").removeprefix("$select=").split(",") if part)
        for part in select:
            if part not in book.sets[navigation.target].properties:
                raise BadQueryError(f"Could not find a property named '{part}' on type '{navigation.target}'.")
        found[name] = select
    return found


def _ordered(entity: EntitySet, records: list[Record], orderby: str) -> list[Record]:
    for part in reversed([part.strip() for part in orderby.split(",") if part.strip()]):
        name, _, direction = part.partition(" ")
        if name not in entity.properties or direction not in ("", "asc", "desc"):
            raise BadQueryError(f"Could not find a property named '{name}' on type '{entity.entity_type}'.")
        missing: Any = "" if entity.properties[name] in ("Edm.String", DATE_TIME) else 0
        records.sort(key=lambda record: record.get(name, missing), reverse=direction == "desc")
    return records


def _selected(entity: EntitySet, records: list[Record], select: str, expanded: Expanded) -> list[Record]:
    names = [name.strip() for name in select.split(",") if name.strip()]
    for name in names:
        if name not in entity.properties:
            raise BadQueryError(f"Could not find a property named '{name}' on type '{entity.entity_type}'.")
    if not names:
        return [_annotated(record) for record in records]
    return [_annotated({name: record[name] for name in [*names, *expanded] if name in record}) for record in records]


def _annotated(record: Record) -> Record:
    """Return a record with its ETag: of its content, so that only a change alters it."""
    return {"@odata.etag": f'W/"{zlib.crc32(str(record).encode()):08x}"', **record}


def _whole(options: Mapping[str, str], name: str, absent: int = 0) -> int:
    text = options.get(name)
    if text is None:
        return absent
    if not text.isdecimal():
        raise BadQueryError(f"Invalid value '{text[:40]}' for {name} query option.")
    return int(text)


def skip_token(start: int) -> str:
    """Return the token of a page that begins at `start`."""
    return base64.urlsafe_b64encode(f"skip:{start}".encode()).decode().rstrip("=")


def _start(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        return int(text.removeprefix("skip:"))
    except ValueError as error:
        raise BadQueryError("The skip token is not valid.") from error
