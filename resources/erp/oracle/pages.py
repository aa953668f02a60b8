"""Pages of a resource: sought by key, or by offset with one record of overlap.

Offset paging over a set that changes misses records: one that goes moves all that follow. So a page begins behind the
last key of the one before; where a key cannot be compared, pages overlap by a record and a shift is an error.
`hasMore` and `totalResults` are not trusted alone: pods are known to misreport both at the cap, so a page that is as
full as its limit is followed by another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import structlog

from resources.core.errors import DataError, ProtocolError, SourceError, UnreachableError
from resources.erp.oracle.codec import Collection, Peek, collection_of, without_links
from resources.erp.oracle.query import Asked, Grammar, address

log = structlog.get_logger(__name__)

Get = Callable[[str], bytes]
"""Reads an address of the pod."""


EMPTY_IN_A_ROW = 3
"""So many empty pages that say there are more are asked for again; one more is held for paging that stands still."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a resource."""

    number: int
    """From 1."""
    records: list[bytes]
    """As sent."""
    total: int | None
    """How many records there are in all, by the first page; None if it did not say so credibly."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where pages are read, and how that is told."""

    system: str
    name: str
    """Dataset and part: `energy_consumption of 2026-11-20`."""
    path: str
    limit: int
    get: Get
    heavy: str = ""
    """What to do if the pod does not answer in time; pages with children are heavy."""
    is_alive: Callable[[], bool] = lambda: False
    """Whether the pod answers a trifle: then a page that got no answer was too heavy."""

    def read(self, number: int, parameters: dict[str, str]) -> Collection:
        """Return a page.

        Raises:
            SourceError: It could not be read; the message names the page.
        """
        try:
            return collection_of(self.get(address(self.path, parameters)))
        except DataError as error:
            raise self.broken(
                number, f"is {error}; is http.base_url a Fusion pod, and api_path its REST API?"
            ) from error
        except SourceError as error:
            remedy = f"; {self.heavy}" if self.heavy and isinstance(error, UnreachableError) else ""
            error.args = (f"{error} (page {number} of {self.name}{remedy})",)
            raise

    def broken(self, number: int, what: str) -> ProtocolError:
        """Return the error for a page that cannot be used."""
        return ProtocolError(
            f"{self.system}: {self.name}: page {number} of {self.path} {what}; nothing of it is stored",
            source=self.system,
        )


def pages_by_key(source: Source, asked: Asked, framework: int) -> Iterator[Page]:
    """Yield pages that each begin behind the last key of the one before.

    Raises:
        SourceError: As `Source.read`; a ProtocolError also for keys that do not ascend: what `q` says is ignored.
    """
    key = str(asked.order_by)
    peek, grammar = Peek([key]), Grammar(framework)
    last: Any = None
    number, total, empty = 0, None, 0
    while True:
        number += 1
        conditions = asked.conditions if last is None else (*asked.conditions, grammar.compare(key, "gt", last))
        try:
            page = source.read(number, _parameters(source, asked, grammar.all_of(conditions), number))
        except UnreachableError:
            lighter = _lighter(source)
            if lighter is None:
                raise
            source, number = lighter, number - 1
            continue
        records = [without_links(bytes(item)) for item in page.items or []]
        keys = [found for (found,) in peek.at(records) if found is not None]
        if records and not keys:
            raise source.broken(number, f"has no record with {key}, by which the next page would be sought")
        _check_ascending(source, number, key, keys, last)
        total = _credible(page, len(records)) if number == 1 else total
        yield Page(number, records, total)
        if not _goes_on(page, len(records), source.limit):
            return
        empty = 0 if records else empty + 1
        if empty > EMPTY_IN_A_ROW:
            raise source.broken(number, "is empty, but says that there are more: its paging does not move on")
        last = keys[-1] if keys else last


def _lighter(source: Source) -> Source | None:
    """Return the source with smaller pages; None if they cannot be smaller, or if it was the pod that is away."""
    if not source.heavy or source.limit == 1 or not source.is_alive():
        return None
    limit = max(1, source.limit // 4)
    log.warning("pages_too_heavy", source=source.system, read=source.name, page_size=limit)
    return replace(source, limit=limit)


def _check_ascending(source: Source, number: int, key: str, keys: list[Any], last: Any) -> None:
    known = [last, *keys] if last is not None else keys
    if all(isinstance(found, int) for found in known):
        ascend = all(one < following for one, following in pairwise(known))
    else:
        # the order of texts is the database's own: only that none comes twice can be said
        ascend = len(set(map(str, known))) == len(known)
    if not ascend:
        raise source.broken(
            number,
            f"holds records of the page before it again, or is not ordered by {key}: the pod ignores q or orderBy; "
            "check what stands between (a cache, a gateway) and options.order_by",
        )


def pages_by_offset(source: Source, asked: Asked, framework: int) -> Iterator[Page]:
    """Yield pages by offset; each begins with the last record of the one before, which must still stand there.

    Raises:
        SourceError: As `Source.read`; a ProtocolError also where the set changed while it was read.
    """
    last: bytes | None = None
    number, offset, total = 0, 0, None
    while True:
        number += 1
        parameters = _parameters(source, asked, Grammar(framework).all_of(asked.conditions), number)
        page = source.read(number, {**parameters, "offset": str(offset)})
        records = [without_links(bytes(item)) for item in page.items or []]
        total = _credible(page, len(records)) if number == 1 else total
        if last is not None:
            if not records or records[0] != last:
                raise source.broken(
                    number,
                    "does not begin with the last record of the page before it: the set changed while it was read, and "
                    "records would be missed; pull it again, when less is booked if it happens again",
                )
            del records[0]
        yield Page(number, records, total)
        if not _goes_on(page, len(page.items or []), source.limit):
            return
        if not records:
            raise source.broken(number, "is empty, but says that there are more: its paging does not move on")
        last = records[-1]
        offset += len(page.items or []) - 1


def _parameters(source: Source, asked: Asked, condition: str, number: int) -> dict[str, str]:
    parameters = dict(asked.parameters)
    if condition:
        parameters["q"] = condition
    if asked.order_by:
        parameters["orderBy"] = f"{asked.order_by}:asc"
    if number == 1:
        # beside an offset the number is known to be wrong, and counting costs the pod a second query
        parameters["totalResults"] = "true"
    return {**parameters, "limit": str(source.limit)}


def _credible(page: Collection, records: int) -> int | None:
    """Return totalResults of a first page, unless it is only the page's own size though there are more."""
    if page.total_results is None or page.total_results < records:
        return None
    return None if page.has_more and page.total_results <= records else page.total_results


def _goes_on(page: Collection, records: int, limit: int) -> bool:
    """Return whether another page must be asked for."""
    return page.has_more is True or records >= min(limit, page.limit or limit) > 0
