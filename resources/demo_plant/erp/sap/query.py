"""The part of OData V4's query language that the SAP-like service answers.

`$filter` with comparisons and `and`, `$select`, `$orderby`, `$count`, `$top`, `$skiptoken`. What it does not know it
refuses, as a real service does.
"""

from __future__ import annotations

import base64
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from resources.demo_plant.erp.sap.measurements import Document, MeterBook

PROPERTIES = {
    "MeasurementDocument": "Edm.String",
    "MeasuringPoint": "Edm.String",
    "MeasuringPointPositionNumber": "Edm.String",
    "MsmtRdngDate": "Edm.Date",
    "MsmtRdngTime": "Edm.TimeOfDay",
    "Characteristic": "Edm.String",
    "CharcValueUnit": "Edm.String",
    "MeasurementReading": "Edm.Double",
    "MeasurementReadingInEntryUoM": "Edm.Double",
    "MeasurementReadingEntryUoM": "Edm.String",
    "MeasurementCounterReading": "Edm.Double",
    "MsmtCounterReadingDifference": "Edm.Double",
    "MsmtCntrReadingDiffIsEntered": "Edm.Boolean",
    "MsmtValuationCode": "Edm.String",
    "MeasurementDocumentText": "Edm.String",
    "MsmtRdngByUser": "Edm.String",
    "MsmtRdngStatus": "Edm.String",
    "MsmtRdngIsReversed": "Edm.Boolean",
}
"""Properties of MeasurementDocument that the service has, with their types."""

_TERM = re.compile(r"\s*(\w+)\s+(eq|ne|lt|le|gt|ge)\s+('(?:[^']|'')*'|[^\s')]+)\s*")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}


class BadQueryError(Exception):
    """The service does not understand the request; `status` is what it answers."""

    def __init__(self, message: str, status: int = 400) -> None:
        """Keep the HTTP status beside the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison of a filter."""

    name: str
    comparison: str
    value: Any

    def holds(self, document: Document) -> bool:
        """Return whether the document fulfils it; a missing value fulfils none."""
        held = document.get(self.name)
        try:
            return held is not None and _COMPARISONS[self.comparison](held, self.value)
        except TypeError:
            return False


def parse_filter(text: str) -> list[Term]:
    """Return the comparisons of a filter, all of which must hold.

    Raises:
        BadQueryError: Not such a filter, or a property that does not exist.
    """
    terms: list[Term] = []
    position = 0
    while True:
        match = _TERM.match(text, position)
        if match is None:
            raise BadQueryError(f"Invalid expression at position {position} of $filter")
        name, comparison, written = match.groups()
        if name not in PROPERTIES:
            raise BadQueryError(f"Property '{name}' does not exist in type 'MeasurementDocumentType'")
        terms.append(Term(name, comparison, _value(name, written)))
        position = match.end()
        if position == len(text):
            return terms
        if not text.startswith("and ", position):
            raise BadQueryError("only comparisons joined by 'and' are implemented", 501)
        position += 4


def _value(name: str, written: str) -> Any:
    kind = PROPERTIES[name]
    if (kind == "Edm.String") != written.startswith("'"):
        raise BadQueryError(f"Literal {written} does not fit property '{name}' of type {kind}")
    try:
        if kind == "Edm.Date":
            return date.fromisoformat(written).isoformat()
        if kind == "Edm.Double":
            return float(written)
    except ValueError as error:
        raise BadQueryError(f"Literal {written} is no {kind}") from error
    if kind == "Edm.Boolean":
        return written == "true"
    return written[1:-1].replace("''", "'") if kind == "Edm.String" else written


def matching(book: MeterBook, terms: list[Term]) -> list[Document]:
    """Return the documents that fulfil all terms, by number; only days that the filter allows are generated."""
    first, last = book.first_day, book.today()
    for term in (t for t in terms if t.name == "MsmtRdngDate"):
        day = date.fromisoformat(term.value)
        if term.comparison in ("eq", "ge", "gt"):
            first = max(first, day)
        if term.comparison in ("eq", "le", "lt"):
            last = min(last, day)
    found: list[Document] = []
    while first <= last:
        found += [document for document in book.day(first) if all(term.holds(document) for term in terms)]
        first += timedelta(days=1)
    return found


def ordered(documents: list[Document], orderby: str) -> list[Document]:
    """Return the documents in the order asked for; ties stay by number.

    Raises:
        BadQueryError: A property does not exist.
    """
    for part in reversed([p for p in orderby.split(",") if p.strip()]):
        name, _, direction = part.strip().partition(" ")
        if name not in PROPERTIES or direction not in ("", "asc", "desc"):
            raise BadQueryError(f"'{part}' is no property to order by")
        documents = sorted(documents, key=lambda d: (d.get(name) is not None, d.get(name)), reverse=direction == "desc")
    return documents


def selected(documents: list[Document], select: str) -> list[Document]:
    """Return the documents with the selected properties only.

    Raises:
        BadQueryError: A property does not exist.
    """
    names = [name.strip() for name in select.split(",") if name.strip()]
    for name in names:
        if name not in PROPERTIES:
            raise BadQueryError(f"Property '{name}' does not exist in type 'MeasurementDocumentType'")
    return [{name: d[name] for name in names if name in d} for d in documents] if names else documents


def skip_token(offset: int) -> str:
    """Return the opaque token of a page that begins at `offset`."""
    return base64.urlsafe_b64encode(f"o{offset}".encode()).decode().rstrip("=")


def offset_of(token: str) -> int:
    """Return where the page of `token` begins.

    Raises:
        BadQueryError: The token is not one of this service.
    """
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        return int(text.removeprefix("o"))
    except ValueError as error:
        raise BadQueryError("$skiptoken is not valid") from error


def whole_number(options: Mapping[str, str], name: str) -> int | None:
    """Return a numeric option, None if it is absent.

    Raises:
        BadQueryError: Not a whole number.
    """
    text = options.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise BadQueryError(f"{name} is no whole number")
    return int(text)
