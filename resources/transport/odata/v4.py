"""OData V4: queries in which every value is quoted by one function, and pages followed as the server links them.

Source: OASIS OData 4.01, part 2 (URL conventions), 5.1; part 1, 8.2.8.7 (Prefer maxpagesize), 11.2.6.7 (next links).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

from resources.transport.http.client import HttpClient
from resources.transport.http.paging import Page, pages_by_link
from resources.transport.odata.filters import Filter, written
from resources.transport.text.json_pages import JsonEnvelope
from resources.transport.text.quoting import quote_name

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
