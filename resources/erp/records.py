"""What every ERP connector hands over: pages of records as the system gave them. No Dagster, no pandas, no database."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, Generic, TypeVar

Record = Mapping[str, Any]
"""A record that was parsed: property -> value of JSON, numbers with a fraction as `Decimal`."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of a pull; `server_count` is how many records the server says the whole pull has, if it said so.

    A record is its JSON text, UTF-8, as the system gave it: no digit is lost, and nothing is parsed that nobody asked
    for. What a system gives in another form (XML, CSV) its connector writes as JSON.
    """

    records: list[bytes]
    server_count: int | None = None


def read_ahead(items: Iterator[Item], *, depth: int = 2) -> Generator[Item]:
    """Yield what `items` yields while a thread of its own already fetches what comes next.

    The thread asks for the next item without waiting for anybody, until `depth` of them wait to be taken: a source that
    takes its time is never asked later than it could be. An error of `items` comes out where its item would have;
    closing this generator waits for the item under way and closes `items`.
    """
    ahead = _Ahead(items, depth)
    try:
        yield from ahead.taken()
    finally:
        ahead.end()


_END = object()


class _Ahead(Generic[Item]):
    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._items = items
        self._ready: SimpleQueue[Any] = SimpleQueue()
        self._room = Semaphore(depth)
        self._is_over = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._fetch, name="erp-page", daemon=True)
        self._thread.start()

    def taken(self) -> Iterator[Item]:
        while (item := self._ready.get()) is not _END:
            self._room.release()
            yield item
            del item  # not held while the next one is waited for
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        self._is_over = True
        self._room.release()
        self._thread.join()

    def _fetch(self) -> None:
        try:
            while self._room.acquire() and not self._is_over:
                item = next(self._items, _END)
                if item is _END:
                    break
                self._ready.put(item)
                del item
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the item would have come out
            self._error = error
        finally:
            self._close()
            self._ready.put(_END)

    def _close(self) -> None:
        closing = getattr(self._items, "close", None)
        try:
            if closing is not None:
                closing()
        except Exception as error:  # noqa: BLE001 - as above
            self._error = self._error or error


NO_KEY = "?"
"""A record without key is landed under this and its hash: nothing the system sent is dropped."""

ALTERED = "@gl.altered"
"""Member that a record carries where something in it had to be replaced before a database could keep it."""
