"""Records on their way into a database: what it cannot keep is replaced, and pages are read ahead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.erp.records import ALTERED, read_ahead
from resources.erp.storable import storable_record
from resources.transport.json_text import parse_json

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


def test_a_page_when_read_ahead_is_fetched_before_it_is_asked_for() -> None:
    fetched: list[int] = []
    closed: list[bool] = []

    def pages() -> Any:
        try:
            for number in range(4):
                fetched.append(number)
                yield number
        finally:
            closed.append(True)

    ahead = read_ahead(pages())
    assert next(ahead) == 0
    ahead.close()
    assert fetched[:1] == [0]
    assert len(fetched) <= 2
    assert closed == [True]
    assert list(read_ahead(pages())) == [0, 1, 2, 3]


def test_an_error_when_reading_ahead_comes_where_its_page_would() -> None:
    def pages() -> Any:
        yield 1
        raise ValueError("page 2")

    ahead = read_ahead(pages())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="page 2"):
        next(ahead)
