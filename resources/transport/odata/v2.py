"""OData V2: `d.results` and `__next`; where the server does not page, `$skip` and `$top` over a stable order.

Source: OData 2.0 URI conventions (4.2 to 4.8), JSON format (`d`, `__next`, `__count`); SAP Gateway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from resources.core.errors import DataError
from resources.transport.http.client import HttpClient
from resources.transport.http.paging import Page, pages_by_offset
from resources.transport.odata.filters import written
from resources.transport.odata.v4 import Expand, Query, encoded, names, ordered
from resources.transport.text.json_pages import JsonEnvelope, Split
from resources.transport.text.quoting import quote_name

_BARE = re.compile(rb'\s*\{\s*"d"\s*:\s*\[')

_ENVELOPES = (
    # a collection is d.results, or d itself where the service keeps to the first version of the JSON format
    JsonEnvelope("d.results", link="d.__next", count="d.__count"),
    JsonEnvelope("d"),
)


def encoded_v2(query: Query, *, skip: int | None = None, top: int | None = None) -> str:
    """Return the query of the address in V2: `$inlinecount`, paths in `$expand` and `$select`, `$format=json`.

    Raises:
        ValueError: A name that is none, a filter within `$expand`, a value without literal.
    """
    paths: list[str] = []
    select = list(query.select)
    for item in query.expand:
        _flatten(item if isinstance(item, Expand) else Expand(item), "", paths, select)
    return encoded(
        {
            "$filter": query.filter if isinstance(query.filter, str | None) else written(query.filter, "odata_v2"),
            "$select": names(select),
            "$expand": names(paths),
            "$orderby": ordered(query.orderby),
            "$top": str(top) if top is not None else None,
            "$skip": str(skip) if skip else None,
            "$inlinecount": "allpages" if query.count else None,
            "$format": "json",
            **query.custom,
        }
    )


def _flatten(item: Expand, above: str, paths: list[str], select: list[str]) -> None:
    """Write what is nested in V4 as the paths of V2: `a/b`, and `a/property` among the selected."""
    if item.filter is not None or item.orderby:
        raise ValueError(f"$expand of {item.name!r}: OData V2 has no options within it")
    path = above + item.name
    paths.append(path)
    if select:
        # a navigation that is selected comes with all its properties
        select.extend([f"{path}/{name}" for name in item.select] or [path])
    for inner in item.expand:
        _flatten(inner, path + "/", paths, select)


def split_v2(body: bytes) -> Split:
    """Return the records of a page of V2, in either form of its JSON.

    Raises:
        DataError: As `JsonEnvelope.split`.
    """
    try:
        return _ENVELOPES[0].split(body)
    except DataError:
        if not _BARE.match(body):
            raise
    return _ENVELOPES[1].split(body)


class ODataV2:
    """One service of a system, by its root."""

    def __init__(self, http: HttpClient, service_root: str, *, page_size: int) -> None:
        """Read `service_root` (a path) through `http`, by pages of `page_size` where the server does not page."""
        self._http = http
        self.root = service_root.rstrip("/") + "/"
        self._page_size = page_size

    def pages(
        self, entity_set: str, query: Query, *, lane: str = "", headers: Mapping[str, str] | None = None
    ) -> Iterator[Page]:
        """Yield the pages of an entity set; as long as there is a link it is followed, else `$skip` moves on.

        The server's first answer decides: one that links a next page pages by itself. One that does not may have cut
        its answer at `$top`, so the next page is asked for by `$skip` until one comes that is not full, or the count is
        reached. `query.orderby` has to be a unique key: the order is what keeps such pages from overlapping.

        Raises:
            SourceError: As `pages_by_link`.
            ValueError: A name or a value that cannot be written, or no `orderby`.
        """
        if not query.orderby:
            raise ValueError(f"{entity_set}: OData V2 is paged by number, which needs an order by a unique key")
        path = self.root + quote_name("odata_v2", entity_set)

        def address(offset: int, limit: int) -> str:
            wanted = limit if query.top is None else min(limit, query.top - offset)
            return f"{path}?{encoded_v2(query, skip=offset, top=wanted)}"

        return pages_by_offset(
            self._http.source,
            address,
            get=partial(self._http.get, headers=headers, lane=lane),
            read=split_v2,
            base=self.root,
            limit=self._page_size,
            most=query.top,
        )
