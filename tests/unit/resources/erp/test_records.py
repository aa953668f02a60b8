"""Records on their way into a database: what it cannot keep is replaced, and pages are read ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.erp.landed.storable import storable_record
from resources.erp.records import ALTERED, read_ahead
from resources.transport.text.json_text import parse_json

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values))
def test_any_record_when_kept_is_json_without_what_postgres_refuses(record: dict[str, Any]) -> None:
    kept, raw = storable_record(record)
    assert b"\\u0000" not in raw.replace(b"\\\\", b"")
    assert (ALTERED in kept) == (kept != record)
    parse_json(raw)


class Pages:
    """Numbers, as pages that come at once; says what was fetched, and when it was closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.fetched: list[int] = []
        self.closed = 0
        self.third = threading.Event()

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                self.fetched.append(number)
                if number == 2:
                    self.third.set()
                yield number
        finally:
            self.closed += 1


def test_pages_when_read_ahead_are_fetched_before_they_are_asked_for_and_no_further() -> None:
    pages = Pages(10)
    ahead = read_ahead(iter(pages))
    assert next(ahead) == 0
    assert pages.third.wait(60)
    ahead.close()
    assert pages.fetched == [0, 1, 2]
    assert pages.closed == 1


def test_pages_when_all_are_read_ahead_come_in_order_and_are_closed() -> None:
    pages = Pages(10)
    assert list(read_ahead(iter(pages))) == list(range(10))
    assert pages.closed == 1
    assert list(read_ahead(iter([]))) == []
    unread = read_ahead(iter(pages))
    unread.close()
    assert pages.closed == 1


@pytest.mark.parametrize("error", [ValueError("page 2"), SystemExit("page 2")])
def test_an_error_when_reading_ahead_comes_where_its_page_would(error: BaseException) -> None:
    def pages() -> Iterator[int]:
        yield 1
        raise error

    ahead = read_ahead(pages())
    assert next(ahead) == 1
    with pytest.raises(type(error), match="page 2"):
        next(ahead)


def test_an_error_when_closing_comes_out_as_well() -> None:
    class Stubborn:
        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            raise StopIteration

        def close(self) -> None:
            raise ValueError("cannot be closed")

    with pytest.raises(ValueError, match="cannot be closed"):
        list(read_ahead(iter(Stubborn())))
