"""OData V4: queries in which every value is quoted by one function, and pages followed as the server links them.

Source: OASIS OData 4.01, part 2 (URL conventions), 5.1; part 1, 8.2.8.7 (Prefer maxpagesize), 11.2.6.7 (next links).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, urljoin

from resources.core.errors import ProtocolError
from resources.transport.http import HttpClient
from resources.transport.json_pages import JsonEnvelope
from resources.transport.odata_filter import Compare, Filter, written
from resources.transport.paging import Page, pages_by_link
from resources.transport.quoting import Value, quote_name

_ENVELOPE = JsonEnvelope("value", link=("@odata.nextLink",), count=("@odata.count",))


@dataclass(frozen=True, slots=True)
class Expand:
    """A navigation property that comes with its entity, with options of its own."""

    name: str
    select: Sequence[str] = ()
    filter: Filter | None = None
    orderby: Sequence[str] = ()
    expand: Sequence[Expand] = ()

    def written(self) -> str:
        """Return the item of `$expand`: `name` or `name($select=a,b;$expand=c)`.

        Raises:
            ValueError: A name that is none, or as `odata_filter.written`.
        """
        options = [
            ("$select", names(self.select)),
            ("$filter", written(self.filter) if self.filter is not None else None),
            ("$orderby", ordered(self.orderby)),
            ("$expand", ",".join(item.written() for item in self.expand) or None),
        ]
        within = ";".join(f"{name}={text}" for name, text in options if text is not None)
        return quote_name("odata_v4", self.name) + (f"({within})" if within else "")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of an entity set."""

    filter: Filter | str | None = None
    """A filter, or one already written by `odata_filter.written`."""
    select: Sequence[str] = ()
    orderby: Sequence[str] = ()
    """Properties, each with ` desc` behind it where the order falls."""
    count: bool = False
    custom: Mapping[str, str] = field(default_factory=dict)
    """Options beyond OData's, such as `sap-client` and `cross-company`."""
    expand: Sequence[Expand | str] = ()
    top: int | None = None
    """Most records of the whole result; the size of a page is the service's `page_size`."""

    def encoded(self) -> str:
        """Return the query of the address, percent-encoded (a blank as %20: to some servers `+` is a plus sign).

        Raises:
            ValueError: A name that is none, or as `odata_filter.written`.
        """
        return encoded(
            {
                "$filter": self.filter if isinstance(self.filter, str | None) else written(self.filter),
                "$select": names(self.select),
                "$expand": ",".join(_expand(item).written() for item in self.expand) or None,
                "$orderby": ordered(self.orderby),
                "$top": str(self.top) if self.top is not None else None,
                "$count": "true" if self.count else None,
                **self.custom,
            }
        )


def _expand(item: Expand | str) -> Expand:
    """Return `a/b` as `a($expand=b)`: V4 has no paths in $expand."""
    if isinstance(item, Expand):
        return item
    first, _, rest = item.partition("/")
    return Expand(first, expand=(_expand(rest),) if rest else ())


def encoded(options: Mapping[str, str | None]) -> str:
    """Return query options, percent-encoded; those that are None are left out."""
    return "&".join(
        f"{quote(name, safe='$')}={quote(text, safe=',')}" for name, text in options.items() if text is not None
    )


def names(properties: Sequence[str]) -> str | None:
    """Return checked names of properties, `*` included, separated by commas; None for none."""
    return ",".join(name if name == "*" else quote_name("odata_v4", name) for name in properties) or None


def ordered(properties: Sequence[str]) -> str | None:
    """Return `$orderby` of checked names, each with ` asc` or ` desc` behind it or nothing; None for none."""
    terms = []
    for term in properties:
        name, _, direction = term.partition(" ")
        if direction not in ("", "asc", "desc"):
            raise ValueError(f"{term!r} is no order")
        terms.append(quote_name("odata_v4", name) + (f" {direction}" if direction else ""))
    return ",".join(terms) or None


class ODataV4:
    """One service of a system, by its root."""

    def __init__(self, http: HttpClient, service_root: str, *, page_size: int) -> None:
        """Read `service_root` (a path) through `http`, asking for pages of `page_size`."""
        self._http = http
        self.root = service_root.rstrip("/") + "/"
        self._page_size = page_size

    def pages(
        self, entity_set: str, query: Query, *, lane: str = "", headers: Mapping[str, str] | None = None
    ) -> Iterator[Page]:
        """Yield the pages of an entity set as they arrive; only one is held at a time.

        Args:
            entity_set: Name of the set, or a path to a collection in it.
            query: What is asked.
            lane: Dataset it is read for; see `HttpClient.get`.
            headers: Further headers of each request.

        Raises:
            SourceError: As `pages_by_link`. The message names the page.
            ValueError: A name or a value that cannot be written.
        """
        first = f"{self.root}{quote_name('odata_v4', entity_set)}?{query.encoded()}"
        asked = {"Prefer": f"odata.maxpagesize={self._page_size}", **(headers or {})}
        get = partial(self._http.get, headers=asked, lane=lane)
        return pages_by_link(self._http.source, first, get=get, read=_ENVELOPE.split, base=self.root)


def compare(name: str, operator: str, value: Value) -> str:
    """Return one comparison, `name operator literal`.

    Raises:
        ValueError: As `odata_filter.written`.
    """
    return written(Compare(name, operator, value))


@dataclass(frozen=True, slots=True)
class ParsedPage:
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

    def pages(self, entity_set: str, query: Query) -> Iterator[ParsedPage]:
        """Yield the pages of an entity set as they arrive; only one is held at a time.

        Raises:
            SourceError: As `HttpClient.get_json`; a `ProtocolError` also for a page that is none, a link that repeats,
                and a link to another origin. The message names the page.
        """
        quote_name("odata_v4", entity_set)
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

    def _page(self, answer: object, number: int, entity_set: str) -> tuple[ParsedPage, str | None]:
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
        return ParsedPage(number, records, told), self._resolved(link, number, entity_set) if link else None

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
