from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.clock import from_micros
from resources.core.errors import ConfigError
from resources.core.windows import WindowGrid, parse_partition_key, partition_key

QUARTER = WindowGrid(timedelta(minutes=15))
LENGTHS = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]


@pytest.mark.parametrize("minutes", LENGTHS)
def test_grid_when_the_length_divides_the_hour_then_accepted(minutes: int) -> None:
    assert WindowGrid(timedelta(minutes=minutes)).length_us == minutes * 60_000_000


@pytest.mark.parametrize(
    "length",
    [timedelta(seconds=30), timedelta(minutes=7), timedelta(hours=2), timedelta(seconds=90), timedelta(0)],
    ids=["under-a-minute", "does-not-divide", "over-an-hour", "not-whole-minutes", "zero"],
)
def test_grid_when_the_length_does_not_divide_the_hour_then_refused(length: timedelta) -> None:
    with pytest.raises(ConfigError, match="divide the hour"):
        WindowGrid(length)


def test_start_of_when_at_a_boundary_then_the_instant_opens_the_window() -> None:
    boundary = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert QUARTER.start_of(boundary) == boundary
    assert QUARTER.start_of(boundary - timedelta(microseconds=1)) == boundary - timedelta(minutes=15)
    assert QUARTER.end_of(boundary) == boundary + timedelta(minutes=15)


@given(
    st.integers(-(2**51), 2**52),
    st.sampled_from(LENGTHS),
)
def test_start_of_when_any_instant_then_it_lies_in_its_window(micros: int, minutes: int) -> None:
    grid, instant = WindowGrid(timedelta(minutes=minutes)), from_micros(micros)
    start = grid.start_of(instant)
    assert start <= instant < grid.end_of(instant) == start + grid.length
    assert start.minute % minutes == 0
    assert start.second == start.microsecond == 0


def test_starts_when_the_span_is_half_open_then_its_end_opens_no_window() -> None:
    ten = datetime(2026, 11, 22, 10, tzinfo=UTC)
    starts = QUARTER.starts(ten + timedelta(minutes=7), ten + timedelta(minutes=30))
    assert starts == [ten, ten + timedelta(minutes=15)]
    assert QUARTER.starts(ten, ten) == []


def test_partition_key_when_parsed_back_then_the_same_window() -> None:
    start = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert partition_key(start) == "2026-11-22T10:15"
    assert parse_partition_key("2026-11-22T10:15") == start


def test_parse_partition_key_when_not_a_key_then_refused() -> None:
    with pytest.raises(ValueError, match="does not match format"):
        parse_partition_key("2026-11-22")
