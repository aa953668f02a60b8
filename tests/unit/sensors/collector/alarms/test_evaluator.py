"""Threshold, hysteresis, duration and what is no live reading; beside a plain model of the same, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.alarms import AlarmRule
from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, Status, readings_batch, texts_batch
from resources.core.tags import Sensor, SensorCatalog
from sensors.collector.alarms.evaluator import Evaluator
from sensors.collector.alarms.points import watch_points
from tests.unit.sensors.collector.alarms.bench import evaluator, judged, readings, rule, states
from tests.unit.sensors.collector.bench import CATALOG, NOON

SECOND_US = 1_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def test_judge_when_the_limit_is_reached_and_not_passed_then_nothing_is_raised(clock: ManualClock) -> None:
    assert judged(evaluator(clock, high=rule()), clock, 9.0, 10.0) == []


def test_judge_when_above_then_raised_once_and_over_once(clock: ManualClock) -> None:
    crossings = judged(evaluator(clock, high=rule()), clock, 9.0, 10.5, 11.0, 10.0, 9.0, 12.0)
    assert states(crossings) == [(True, 10.5), (False, 10.0), (True, 12.0)]
    assert [crossing.time_us - to_micros(NOON) for crossing in crossings] == [2_000_000, 4_000_000, 6_000_000]


def test_judge_when_below_then_the_other_way_round(clock: ManualClock) -> None:
    low = rule(above=None, below=2.0, hysteresis=1.0)
    assert states(judged(evaluator(clock, low=low), clock, 2.0, 1.9, 2.5, 3.0, 1.0)) == [
        (True, 1.9),
        (False, 3.0),
        (True, 1.0),
    ]


def test_judge_when_back_by_less_than_the_hysteresis_then_it_stands(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(hysteresis=2.0))
    assert states(judged(found, clock, 11.0, 9.0, 8.1, 10.5, 8.0)) == [(True, 11.0), (False, 8.0)]


def test_judge_when_beyond_for_less_than_the_duration_then_nothing(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(duration="3s"))
    assert judged(found, clock, 11.0, 11.0, 11.0, 9.9, 11.0, 11.0, 11.0) == []
    crossing = judged(found, clock, 12.0)[0]
    assert crossing.raised
    assert crossing.time_us - crossing.began_us == 3 * SECOND_US


def test_judge_when_one_batch_spans_the_duration_then_raised_at_the_reading_that_decided(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(duration="3s"))
    crossings = found.judge(readings(clock, (5.0, 11.0), (4.0, 12.0), (2.0, 13.0), (1.0, 14.0)))
    assert states(crossings) == [(True, 14.0)]


def test_judge_when_one_batch_goes_up_and_down_then_every_crossing_in_order(clock: ManualClock) -> None:
    batch = readings(clock, (1.0, 12.0), (4.0, 11.0), (3.0, 9.0), (2.0, 10.0))
    assert states(evaluator(clock, high=rule()).judge(batch)) == [(True, 11.0), (False, 9.0), (True, 12.0)]


def test_tick_when_nothing_new_comes_for_the_duration_then_raised(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(duration="3s"))
    assert judged(found, clock, 11.0) == []
    clock.advance(2.9)
    assert found.tick(lambda _: True) == []
    clock.advance(0.2)
    assert states(found.tick(lambda _: True)) == [(True, 11.0)]
    assert found.tick(lambda _: True) == []


def test_tick_when_the_connection_is_lost_then_the_duration_begins_anew(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(duration="3s"))
    judged(found, clock, 11.0)
    assert found.tick(lambda source: source != "boilers") == []
    clock.advance(10.0)
    assert found.tick(lambda _: True) == []
    assert judged(found, clock, 11.0, 11.0) == []


@pytest.mark.parametrize("ago", [31.0, -31.0], ids=["late", "ahead"])
def test_judge_when_not_live_then_it_neither_raises_nor_ends_and_is_counted(clock: ManualClock, ago: float) -> None:
    found = evaluator(clock, high=rule())
    assert found.judge(readings(clock, (ago, 99.0))) == []
    assert states(judged(found, clock, 11.0)) == [(True, 11.0)]
    clock.advance(60.0)
    assert found.judge(readings(clock, (ago, 1.0))) == []
    assert found.late == {"boilers": 2}


def test_judge_when_older_than_what_was_judged_then_ignored(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule())
    assert judged(found, clock, 9.0) == []
    assert found.judge(readings(clock, (5.0, 11.0))) == []


def test_judge_when_a_clock_that_was_ahead_is_put_right_then_heard_again(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule())
    assert found.judge(readings(clock, (-20.0, 9.0))) == []
    assert states(judged(found, clock, 11.0)) == [(True, 11.0)]


@pytest.mark.parametrize("step_s", [-2.0, -3600.0])
def test_judge_when_our_own_clock_was_set_back_then_heard_at_once_and_order_still_counts(
    clock: ManualClock, step_s: float
) -> None:
    found = evaluator(clock, high=rule())
    assert judged(found, clock, 9.0) == []
    clock.step_wall(step_s)
    assert states(found.judge(readings(clock, (0.0, 11.0)))) == [(True, 11.0)]
    assert found.judge(readings(clock, (5.0, 1.0))) == []
    assert states(judged(found, clock, 1.0)) == [(False, 1.0)]


def test_judge_when_bad_or_without_a_value_then_the_alarm_stands(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule())
    judged(found, clock, 11.0)
    assert judged(found, clock, 1.0, status=Status.BAD) == []
    assert judged(found, clock, float("nan")) == []
    assert states(judged(found, clock, 12.0, 1.0, status=Status.UNCERTAIN)) == [(False, 1.0)]


@pytest.mark.parametrize(
    "unknown",
    [(0.0, Status.BAD), (99.0, Status.BAD), (float("nan"), Status.GOOD), (float("inf"), Status.GOOD)],
    ids=["bad", "bad and beyond", "without a value", "infinite"],
)
def test_tick_when_a_spike_is_followed_by_bad_readings_then_nothing_is_raised(
    clock: ManualClock, unknown: tuple[float, Status]
) -> None:
    found = evaluator(clock, high=rule(duration="3s"))
    assert judged(found, clock, 99.0) == []
    for _ in range(5):
        assert judged(found, clock, unknown[0], status=unknown[1]) == []
        assert found.tick(lambda _: True) == []
    assert judged(found, clock, 99.0, 99.0, 99.0) == []
    assert states(judged(found, clock, 98.0)) == [(True, 98.0)]


def test_judge_when_a_bad_reading_lies_between_in_one_batch_then_the_duration_begins_anew(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(duration="3s"))
    now_us = to_micros(clock.now())
    times = [now_us - ago * SECOND_US for ago in (4, 2, 0)]
    statuses = [int(Status.GOOD), int(Status.BAD), int(Status.GOOD)]
    batch = readings_batch(times, [0, 0, 0], [11.0, 11.0, 11.0], statuses, now_us)
    assert found.judge(ReadingBatch("boilers", readings=batch)) == []
    assert found.tick(lambda _: True) == []


def test_judge_when_a_value_is_older_than_a_bad_reading_then_it_is_judged(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule())
    assert judged(found, clock, float("nan"), status=Status.BAD) == []
    assert states(found.judge(readings(clock, (5.0, 11.0)))) == [(True, 11.0)]


def test_judge_when_nothing_is_watched_or_there_are_texts_only_then_nothing(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule())
    assert judged(found, clock, 99.0, sensor=1) == []
    assert found.judge(ReadingBatch("boilers")) == []
    now_us = to_micros(clock.now())
    assert found.judge(ReadingBatch("boilers", texts=texts_batch([now_us], [0], ["on"], [0], now_us))) == []


def test_judge_when_two_rules_watch_a_sensor_then_each_has_its_own_alarm(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(sensors=["*"]), higher=rule(above=20.0))
    crossings = judged(found, clock, 15.0, 25.0, 15.0, 5.0)
    assert [(crossing.rule, crossing.raised) for crossing in crossings] == [
        ("high", True),
        ("higher", True),
        ("higher", False),
        ("high", False),
    ]


def test_restore_when_it_stood_then_not_raised_again(clock: ManualClock) -> None:
    found = evaluator(clock, high=rule(), other=rule(sensors=["b1.s1"]))
    assert found.restore("high", 0)
    assert not found.restore("high", 1)
    assert not found.restore("high", 99)
    assert states(judged(found, clock, 11.0, 9.0)) == [(False, 9.0)]


def test_judge_when_a_very_large_plant_is_quiet_then_no_row_is_looked_at_alone(clock: ManualClock) -> None:
    catalog = SensorCatalog(Sensor(f"s{n}", "bar", "plc") for n in range(10_000))
    found = Evaluator(watch_points({"high": AlarmRule(above=10.0)}, catalog), catalog, late_limit_us=10**7, clock=clock)
    now_us = to_micros(clock.now())
    values = np.full(10_000, 5.0)
    values[4_321] = 11.0
    batch = readings_batch(np.full(10_000, now_us), np.arange(10_000), values, 0, now_us)
    crossings = found.judge(ReadingBatch("plc", readings=batch))
    assert [(crossing.sensor_key, crossing.value) for crossing in crossings] == [(4_321, 11.0)]


@dataclass
class PlainModel:
    """The same rule, one reading after the other."""

    rule: AlarmRule
    raised: bool = False
    since_us: int | None = None

    def take(self, time_us: int, value: float) -> Iterator[tuple[bool, int]]:
        sign = 1.0 if self.rule.above is not None else -1.0
        turned, limit = sign * value, sign * self.rule.threshold
        if self.raised:
            if turned <= limit - self.rule.hysteresis:
                self.raised, self.since_us = False, None
                yield False, time_us
        elif turned <= limit:
            self.since_us = None
        else:
            self.since_us = time_us if self.since_us is None else self.since_us
            if time_us - self.since_us >= self.rule.duration.total_seconds() * 1e6:
                self.raised = True
                yield True, time_us


batches = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(-3, 3)), min_size=1, max_size=8),
    min_size=1,
    max_size=6,
)


@given(batches, st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from(["0s", "2s", "4s"]), st.booleans())
def test_judge_when_any_readings_come_in_any_batches_then_as_the_plain_model_says_but_for_where_a_run_is_cut(
    found_batches: list[list[tuple[int, int, int]]], hysteresis: float, duration: str, below: bool
) -> None:
    limit = {"below": 0.0, "above": None} if below else {"above": 0.0}
    watched = rule(sensors=["b1.*"], hysteresis=hysteresis, duration=duration, **limit)
    clock = ManualClock(NOON)
    found = evaluator(clock, watched=watched)
    models = {key: PlainModel(watched) for key in range(3)}
    for rows in found_batches:
        times, us = [], to_micros(clock.now())
        for _, step, _ in rows:
            us += step * SECOND_US
            times.append(us)
        clock.advance((us - to_micros(clock.now())) / 1e6)
        keys, values = [key for key, _, _ in rows], [float(value) for _, _, value in rows]
        expected = [
            (key, *step)
            for key, time, value in zip(keys, times, values, strict=True)
            for step in models[key].take(time, value)
        ]
        batch = ReadingBatch("boilers", readings=readings_batch(times, keys, values, 0, us))
        told = [(c.sensor_key, c.raised, c.time_us) for c in found.judge(batch)]
        # which reading of a run decides may be the last of it; that it was raised in this batch may not differ
        assert sorted((key, raised) for key, raised, _ in told) == sorted((key, raised) for key, raised, _ in expected)
        if duration == "0s":
            assert sorted(told) == sorted(expected)
    assert len(CATALOG) == 4
