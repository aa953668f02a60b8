from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.clock import ManualClock, SystemClock, from_micros, to_micros

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.integers(-(2**51), 2**52))
def test_micros_when_converted_there_and_back_then_the_same(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


@pytest.mark.parametrize(
    ("instant", "micros"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), 1),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
    ],
    ids=["epoch", "one-microsecond", "before-epoch", "other-zone"],
)
def test_to_micros_when_given_an_instant_then_exact(instant: datetime, micros: int) -> None:
    assert to_micros(instant) == micros


def test_manual_clock_when_advanced_then_both_clocks_move() -> None:
    clock = ManualClock(NOON)
    clock.advance(1.5)
    assert clock.now() == NOON + timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5


def test_manual_clock_when_the_wall_steps_back_then_monotonic_stands() -> None:
    clock = ManualClock(NOON)
    clock.step_wall(-3600)
    assert clock.now() == NOON - timedelta(hours=1)
    assert clock.monotonic() == 0.0


def test_system_clock_when_read_twice_then_aware_and_never_back() -> None:
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()
    assert second >= first
    assert clock.now().tzinfo is UTC
