"""The token bucket: never more than the rate and a burst of one second, and nobody waits longer than need be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.mqtt.pace import Pace


def test_pace_when_there_is_no_limit_then_everything_goes() -> None:
    pace = Pace()
    assert [pace.take(0.0) for _ in range(10_000)] == [0.0] * 10_000


def test_pace_when_fresh_then_a_second_s_worth_goes_at_once_and_the_next_waits_for_one_token() -> None:
    pace = Pace(4)
    assert [pace.take(10.0) for _ in range(4)] == [0.0] * 4
    assert pace.take(10.0) == pytest.approx(0.25)
    assert pace.take(10.1) == pytest.approx(0.15)
    assert pace.take(10.25) == 0.0
    assert pace.take(10.25) == pytest.approx(0.25)


def test_pace_when_idle_for_long_then_no_more_than_one_second_s_worth_has_gathered() -> None:
    pace = Pace(3)
    pace.take(0.0)
    assert [pace.take(1_000.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(1 / 3)]


@given(
    per_second=st.integers(1, 50),
    pauses=st.lists(st.floats(0.0, 0.4), min_size=1, max_size=200),
)
def test_pace_when_asked_at_any_times_then_the_rate_is_kept_over_every_span(
    per_second: int, pauses: list[float]
) -> None:
    pace, now, gone = Pace(per_second), 0.0, []
    for pause in pauses:
        now += pause
        if pace.take(now) == 0.0:
            gone.append(now)
    for first, begun in enumerate(gone):
        for last in range(first, len(gone)):
            assert last - first + 1 <= per_second * (gone[last] - begun) + per_second + 1e-6


@given(per_second=st.integers(1, 5_000), asked=st.integers(1, 100))
def test_pace_when_one_waits_as_long_as_it_is_told_then_it_goes(per_second: int, asked: int) -> None:
    pace, now = Pace(per_second), 0.0
    for _ in range(per_second + asked):
        wait_s = pace.take(now)
        now += wait_s
        if wait_s:
            assert pace.take(now) == 0.0
    assert now == pytest.approx(asked / per_second)
