from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from resources.core.receive_times import STEP_BACK_US, ReceiveTimes

NOON_US = 1_795_348_800_000_000
HOUR_US = 3_600_000_000


@given(st.lists(st.tuples(st.integers(-STEP_BACK_US, HOUR_US), st.integers(1, 5)), min_size=1))
def test_take_when_the_clock_wavers_by_a_second_at_most_then_no_time_comes_twice(turns: list[tuple[int, int]]) -> None:
    times, latest, given_out = ReceiveTimes(), NOON_US, []
    for moved, count in turns:
        now_us = latest + moved
        latest = max(latest, now_us)
        first = times.take(now_us, count)
        assert first >= now_us
        given_out += range(first, first + count)
    assert all(earlier < later for earlier, later in pairwise(given_out))


def test_take_when_the_clock_was_set_back_then_times_begin_anew_and_rise_again() -> None:
    times = ReceiveTimes()
    times.take(NOON_US)
    back_us = NOON_US - HOUR_US
    assert [times.take(back_us), times.take(back_us), times.take(back_us + 5)] == [back_us, back_us + 1, back_us + 5]


def test_take_when_it_is_set_back_in_small_steps_then_their_sum_counts() -> None:
    times = ReceiveTimes()
    times.take(NOON_US)
    half = STEP_BACK_US // 2 + 1
    assert times.take(NOON_US - half) == NOON_US + 1
    assert times.take(NOON_US - 2 * half) == NOON_US - 2 * half


def test_take_when_more_readings_came_in_a_turn_than_microseconds_have_passed_then_that_is_no_step() -> None:
    times = ReceiveTimes()
    times.take(NOON_US, 5_000_000)
    assert times.take(NOON_US + 1_000_000) == NOON_US + 5_000_000


def test_copy_when_it_goes_on_then_the_first_does_not() -> None:
    times = ReceiveTimes()
    times.take(NOON_US)
    assert times.copy().take(NOON_US, 7) == NOON_US + 1
    assert times.take(NOON_US) == NOON_US + 1
