"""Pages of a result, one at a time: by the server's own link, by offset, or by number.

Each generator ends by itself: a link or a page that comes again, and pages that stay empty without end, are errors.
Source: wire rules of the systems in the connectors' README files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

from resources.core.errors import DataError, ProtocolError, SourceError
from resources.transport.http.answers import HttpAnswer
from resources.transport.text.json_pages import Split

EMPTY_IN_A_ROW = 100
"""So many pages without a record, each with a link to a next one, are held for a loop."""

Get = Callable[[str], HttpAnswer]
"""Reads one address: `functools.partial(http.get, lane=..., headers=...)`, or what posts a query."""
Read = Callable[[bytes], Split]
"""Splits a page: `JsonEnvelope(...).split`, or what a connector has for XML and CSV; raises DataError."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its number from 1, its records as JSON text, and the server's count of all records if it gave one."""

    number: int
    records: list[bytes]
    count: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer it came in."""


class _Reader:
    """Reads pages in order, and tells in every error which one it was."""

    def __init__(self, source: str, what: str, get: Get, read: Read) -> None:
        self._source, self._what, self._get, self._read = source, what, get, read
        self._before: list[bytes] = []
        self._empty = 0
        self.number = 0

    def page(self, address: str) -> tuple[Page, Split]:
        """Return the next page, read at `address`."""
        self.number += 1
        try:
            answer = self._get(address)
        except SourceError as error:
            error.args = (f"{error} (page {self.number} of {self._what})",)
            raise
        try:
            split = self._read(answer.body)
        except DataError as error:
            raise self.broken(f"is {error}; is http.base_url what the connector expects?") from error
        if split.records and split.records == self._before:
            raise self.broken("holds the records of the page before it again: the server's paging does not move on")
        self._before = split.records
        self._empty = 0 if split.records else self._empty + 1
        if self._empty > EMPTY_IN_A_ROW:
            raise self.broken(f"is empty, as are the {self._empty - 1} before it; the pages would never end")
        return Page(self.number, split.records, split.count, answer.headers), split

    def broken(self, what: str) -> ProtocolError:
        """Return the error for the page just read."""
        return ProtocolError(f"{self._source}: page {self.number} of {self._what} {what}", source=self._source)


def pages_by_link(source: str, first: str, *, get: Get, read: Read, base: str) -> Iterator[Page]:
    """Yield the pages that the server links one to the next; a link is opaque and may be relative to `base`.

    Raises:
        SourceError: As `get`; a ProtocolError also for a page that is none, and for one that comes again. The message
            names the page. A link to another origin is refused by `HttpClient`.
    """
    reader = _Reader(source, first.partition("?")[0], get, read)
    followed: set[str] = set()
    address: str | None = first
    while address is not None:
        followed.add(address)
        page, split = reader.page(address)
        link = _resolved(reader, base, split.link)
        yield page
        if link in followed:
            raise reader.broken("links to a page already read; the pages would never end")
        address = link


def _resolved(reader: _Reader, base: str, link: str | None) -> str | None:
    if link is None:
        return None
    try:
        # a base without origin leaves an absolute link as it is, and `//host/path` a foreign one
        return urljoin(base.rstrip("/") + "/", link)
    except ValueError:
        raise reader.broken("links to something that is no address") from None


def pages_by_offset(  # noqa: PLR0913 - all but the first two by name
    source: str,
    address: Callable[[int, int], str],
    *,
    get: Get,
    read: Read,
    limit: int,
    base: str = "",
    most: int | None = None,
) -> Iterator[Page]:
    """Yield the pages of a server that is told where to begin: `address(offset, limit)`.

    A link, where a page has one, is followed first (relative to `base`). Without one the end is what the envelope says
    (`more`), else the count reached, else an answer with fewer than `limit` records. The offset moves on by what came,
    since a server may give less than is asked for. The caller orders by a unique key: otherwise pages overlap and miss
    records. `most` ends the pages once so many records have come.

    Raises:
        SourceError: As `pages_by_link`.
    """
    reader = _Reader(source, address(0, limit).partition("?")[0], get, read)
    followed: set[str] = set()
    offset = begun = 0
    count: int | None = None
    link: str | None = address(0, limit)
    while link is not None:
        followed.add(link)
        page, split = reader.page(link)
        offset += len(split.records)
        count = split.count if count is None else count
        linked = _resolved(reader, base, split.link)
        yield page
        if linked in followed:
            raise reader.broken("links to a page already read; the pages would never end")
        link = linked
        if link is None and _goes_on(split, count, offset, offset - begun >= limit) and offset < (most or offset + 1):
            if not split.records:
                raise reader.broken("is empty, but says that there are more")
            begun, link = offset, address(offset, limit)


def _goes_on(split: Split, count: int | None, offset: int, full: bool) -> bool:
    if split.more is not None:
        return split.more
    return offset < count if count is not None else full


def pages_by_number(
    source: str, address: Callable[[int], str], *, get: Get, read: Read, what: str = ""
) -> Iterator[Page]:
    """Yield the pages of a server that counts them: `address(number)`, from 1 up to the envelope's `pages`.

    Raises:
        SourceError: As `pages_by_link`; a ProtocolError also where the number of pages is missing.
    """
    reader = _Reader(source, what or address(1).partition("?")[0], get, read)
    last = 1
    while reader.number < last:
        page, split = reader.page(address(reader.number + 1))
        if split.pages is None:
            raise reader.broken("does not say how many pages there are")
        # the number may grow while the result does
        last = split.pages
        yield page
