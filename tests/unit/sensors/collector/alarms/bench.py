"""What the tests of alarms share: rules over the bench's sensors, and batches of single readings."""

from __future__ import annotations

from typing import Any

from resources.agents.alarms import AlarmRule
from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, Status, readings_batch
from sensors.collector.alarms.evaluator import Crossing, Evaluator
from sensors.collector.alarms.points import watch_points
from tests.unit.sensors.collector.bench import CATALOG

LATE_US = 30_000_000


def rule(**given: Any) -> AlarmRule:
    return AlarmRule.model_validate({"sensors": ["b1.s0"], "above": 10.0, **given})


def evaluator(clock: ManualClock, **rules: AlarmRule) -> Evaluator:
    return Evaluator(watch_points(rules, CATALOG), CATALOG, late_limit_us=LATE_US, clock=clock)


def readings(
    clock: ManualClock, *rows: tuple[float, float], sensor: int = 0, status: Status = Status.GOOD
) -> ReadingBatch:
    """A batch of (seconds ago, value) of one sensor."""
    now_us = to_micros(clock.now())
    times = [now_us - round(ago * 1e6) for ago, _ in rows]
    values = [value for _, value in rows]
    source = CATALOG.sensors[sensor].source
    return ReadingBatch(
        source, readings=readings_batch(times, [sensor] * len(rows), values, [int(status)] * len(rows), now_us)
    )


def judged(found: Evaluator, clock: ManualClock, *values: float, **given: Any) -> list[Crossing]:
    """What values say that come one second after the other."""
    crossings: list[Crossing] = []
    for value in values:
        clock.advance(1.0)
        crossings += found.judge(readings(clock, (0.0, value), **given))
    return crossings


def states(crossings: list[Crossing]) -> list[tuple[bool, float]]:
    return [(crossing.raised, crossing.value) for crossing in crossings]
