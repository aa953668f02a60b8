"""What every ERP connector hands over: pages of records as the system gave them. No Dagster, no pandas, no database."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

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


def read_ahead(pages: Iterator[Item]) -> Generator[Item]:
    """Yield what `pages` yields while the next one is already being fetched by a thread of its own.

    At most two pages are held. An error of `pages` comes out where its page would have; closing this generator waits
    for the page under way and closes `pages`.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="erp-page") as thread:
        try:
            coming = thread.submit(next, pages, end)
            while (page := coming.result()) is not end:
                coming = thread.submit(next, pages, end)
                yield page  # type: ignore[misc]  # `end` is excluded above
        finally:
            coming.cancel()
            closing = getattr(pages, "close", None)
            if closing is not None:
                thread.submit(closing).result()


ALTERED = "@gl.altered"
"""Member that a record carries where something in it had to be replaced before a database could keep it."""
