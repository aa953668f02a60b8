"""OData V4: filters in which every value is quoted by one function, and pages followed as the server links them.

Source: OASIS OData 4.01, part 2 (URL conventions), 5.1.1; part 1, 8.2.8.7 (Prefer maxpagesize), 11.2.6.7 (next links).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urljoin

from resources.core.errors import ProtocolError
from resources.transport.http import HttpClient

Value = str | bool | int | Decimal | date | datetime | time | None
"""What may stand on the right side of a comparison."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}(/[A-Za-z_][A-Za-z0-9_]{0,127})*")
_OPERATORS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


def literal(value: Value) -> str:
    """Return `value` as an OData literal; text is quoted so that nothing in it can end the literal.

    Raises:
        ValueError: A time without zone, a number that is not finite, or text that is not Unicode.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate cannot be sent
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time in a filter needs its zone")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is no number of a filter")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def compare(name: str, operator: str, value: Value) -> str:
    """Return one comparison, `name operator literal`.

    Raises:
        ValueError: `name` is no property path, `operator` none of eq, ne, lt, le, gt, ge; or as `literal`.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no property name")
    if operator not in _OPERATORS:
        raise ValueError(f"{operator!r} is no comparison")
    return f"{name} {operator} {literal(value)}"


def all_of(*terms: str) -> str:
    """Return the conjunction of terms made by `compare` and by this function."""
    return " and ".join(f"({term})" if " and " in term or " or " in term else term for term in terms)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of an entity set."""

    filter: str | None = None
    select: Sequence[str] = ()
    orderby: Sequence[str] = ()
    count: bool = False
    custom: Mapping[str, str] = field(default_factory=dict)
    """Options beyond OData's, such as `sap-client`."""

    def encoded(self) -> str:
        """Return the query of the address, percent-encoded (a blank as %20: to some servers `+` is a plus sign)."""
        options = {
            "$filter": self.filter,
            "$select": ",".join(self.select) or None,
            "$orderby": ",".join(self.orderby) or None,
            "$count": "true" if self.count else None,
            **self.custom,
        }
        return "&".join(
            f"{quote(name, safe='$')}={quote(text, safe=',')}" for name, text in options.items() if text is not None
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an entity set: its number from 1, its records, and the server's `@odata.count` if it gave one."""

    number: int
    records: list[dict[str, Any]]
    count: int | None


class ODataService:
    """One service of a system, by its root."""

    def __init__(self, http: HttpClient, service_root: str, *, page_size: int) -> None:
        """Read `service_root` (a path) through `http`, asking for pages of `page_size`."""
        self._http = http
        self._root = service_root.rstrip("/") + "/"
        self._page_size = page_size

    def pages(self, entity_set: str, query: Query) -> Iterator[Page]:
        """Yield the pages of an entity set as they arrive; only one is held at a time.

        Raises:
            SourceError: As `HttpClient.get_json`; a `ProtocolError` also for a page that is none, a link that repeats,
                and a link to another origin. The message names the page.
        """
        if not _NAME.fullmatch(entity_set):
            raise ValueError(f"{entity_set!r} is no entity set")
        link: str | None = f"{self._root}{entity_set}?{query.encoded()}"
        followed: set[str] = set()
        number = 0
        while link is not None:
            number += 1
            followed.add(link)
            answer = self._http.get_json(link, headers={"Prefer": f"odata.maxpagesize={self._page_size}"}).content
            page, next_link = self._page(answer, number, entity_set)
            yield page
            if next_link in followed:
                raise self._broken(entity_set, number, "links to a page already read; the pages would never end")
            link = next_link

    def _page(self, answer: object, number: int, entity_set: str) -> tuple[Page, str | None]:
        if not isinstance(answer, dict):
            raise self._broken(entity_set, number, "is no JSON object")
        records, link, count = answer.get("value"), answer.get("@odata.nextLink"), answer.get("@odata.count")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise self._broken(entity_set, number, "has no list of records under `value`")
        if link is not None and not isinstance(link, str):
            raise self._broken(entity_set, number, "has an @odata.nextLink that is no text")
        try:
            told = int(count) if count is not None else None
        except (TypeError, ValueError):
            raise self._broken(entity_set, number, "has an @odata.count that is no number") from None
        return Page(number, records, told), self._resolved(link, number, entity_set) if link else None

    def _resolved(self, link: str, number: int, entity_set: str) -> str:
        """Return a link, which may be relative to the service root, for `get_json` (which refuses other origins)."""
        try:
            # a root without origin leaves an absolute link as it is, and `//host/path` a foreign one
            return urljoin(self._root, link)
        except ValueError:
            raise self._broken(entity_set, number, "has an @odata.nextLink that is no address") from None

    def _broken(self, entity_set: str, number: int, what: str) -> ProtocolError:
        source = self._http.source
        return ProtocolError(
            f"{source}: page {number} of {self._root}{entity_set} {what}; is http.base_url an OData V4 service?",
            source=source,
        )
