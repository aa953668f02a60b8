from __future__ import annotations

from datetime import UTC, datetime

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch, readings_batch
from sensors.collector.flow import Flow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def batch(*ages_s: float, first: bool = False) -> ReadingBatch:
    now_us = to_micros(NOW)
    times = [now_us - int(age * 1e6) for age in ages_s]
    return ReadingBatch("a", readings=readings_batch(times, [0] * len(times), times, 0, now_us), only_if_newer=first)


def test_latency_when_committed_then_source_time_to_durable() -> None:
    flow = Flow(("a",))
    flow.taken(batch(0.02, 0.2))
    flow.taken(batch(2.0))
    flow.committed(flow.cut(), 3, NOW, 0.001)
    buckets, total = flow.latency["a"].cumulative()
    assert dict(buckets)["0.025"] == 1.0
    assert dict(buckets)["0.25"] == 2.0
    assert total == 2.22
    assert (flow.rows, flow.commits.count) == (3, 1)


def test_latency_when_the_device_is_ahead_then_zero() -> None:
    flow = Flow(("a",))
    flow.taken(batch(-30.0))
    flow.committed(flow.cut(), 1, NOW, 0.001)
    assert flow.latency["a"].cumulative()[1] == 0.0


def test_latency_when_it_is_a_first_value_or_a_batch_without_readings_then_not_counted() -> None:
    flow = Flow(("a",))
    flow.taken(batch(86_400.0, first=True))
    flow.taken(ReadingBatch("a"))
    assert flow.cut() == []


def test_commit_when_refused_then_its_batches_count_with_the_next() -> None:
    flow = Flow(("a",))
    flow.taken(batch(0.0))
    flow.uncut(flow.cut())
    flow.taken(batch(0.0))
    flow.committed(flow.cut(), 2, NOW, 0.001)
    assert flow.refused_commits == 1
    assert flow.latency["a"].count == 2


def test_commit_when_nothing_was_pending_then_its_duration_does_not_count() -> None:
    flow = Flow(("a",))
    flow.committed(flow.cut(), 0, NOW, 0.001)
    assert flow.commits.count == 0
