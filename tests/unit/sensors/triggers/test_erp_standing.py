"""What the trigger of ERP changes plans: when systems are looked at, and which runs are asked for."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from gl_assets.erp.feeds import Feed, feeds
from resources.erp.connector import Changed
from resources.erp.pulling.due import DuePart
from resources.erp.pulling.peek import Peek
from sensors.triggers.erp_changes import Remembered
from sensors.triggers.erp_polls import Looks, Polled, due_feeds
from sensors.triggers.erp_standing import WHOLE, as_instant, days_of, due_by_table, newest_range, request_of, working
from sensors.triggers.planning import Ask, Attempt
from tests.unit.resources.erp.support import integrations
from tests.unit.resources.transport.test_parts import settings

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ORDERS, ENERGY = dg.AssetKey(["erp", "production_schedule"]), dg.AssetKey(["erp", "energy_consumption"])


def polled(**datasets: Any) -> list[Feed]:
    return feeds(integrations({"sap": settings(datasets=datasets)}))


def test_feeds_when_due_are_those_that_wait_longest_first() -> None:
    found = polled(production_schedule={"poll_every": "60s"}, planned_orders={"poll_every": "5m"}, materials={})
    memory = {"sap/production_schedule": Polled(1000.0), "sap/planned_orders": Polled(500.0)}
    assert [str(feed) for feed in due_feeds(found, {}, 0.0)] == ["sap/production_schedule", "sap/planned_orders"]
    assert [str(feed) for feed in due_feeds(found, memory, 1059.0)] == ["sap/planned_orders"]
    assert [str(feed) for feed in due_feeds(found, memory, 1060.0)] == ["sap/planned_orders", "sap/production_schedule"]


@pytest.mark.parametrize(("failures", "pause_s"), [(0, 60), (1, 120), (3, 480), (20, 3600)])
def test_a_look_when_it_failed_is_repeated_after_a_pause_that_doubles_up_to_an_hour(
    failures: int, pause_s: int
) -> None:
    assert Polled(1000.0, failures).next_at(timedelta(seconds=60)) == 1000 + pause_s


@pytest.mark.parametrize(("asks", "pause_s"), [(0, 60), (1, 60), (2, 120), (4, 480), (20, 600)])
def test_a_feed_when_runs_that_were_asked_for_failed_is_looked_at_later_each_time(asks: int, pause_s: int) -> None:
    found = Polled(1000.0, asked_until=NOW.isoformat(), asks=asks)
    assert found.next_at(timedelta(seconds=60)) == 1000 + pause_s
    assert found.next_at(timedelta(hours=1)) == 1000 + 3600


def test_runs_when_the_cursor_did_not_reach_the_end_of_their_changes_have_failed() -> None:
    asked = Polled(1000.0, asked_until=NOW.isoformat(), asks=3)
    assert asked.runs_failed(NOW - timedelta(seconds=1)) == 3
    assert asked.runs_failed(NOW) == 0
    assert Polled(1000.0).runs_failed(NOW) == 0


def test_a_look_when_longer_than_a_tick_is_collected_by_a_later_one() -> None:
    (feed,) = polled(materials={"poll_every": "60s"})
    go_on, begun = threading.Event(), []
    looks = Looks()

    def look(feed: Feed, client: object) -> Peek:
        begun.append(str(feed))
        go_on.wait(30)
        return Peek(Changed(NOW, NOW), 0, (), complete=True)

    try:
        looks.begin([feed], look)
        assert looks.collect(0.0) == []
        assert looks.waiting == ["sap/materials"]
        looks.begin([feed], look)
        go_on.set()
        ((found, future),) = looks.collect(30.0)
        assert (found, future.result().records, begun) == (feed, 0, ["sap/materials"])
        assert looks.waiting == []
    finally:
        go_on.set()
        looks.close()


def test_parts_when_due_are_told_by_table_with_the_latest_change() -> None:
    fed = polled(production_schedule={}, planned_orders={}, materials={})
    day, early, late = date(2026, 11, 20), NOW - timedelta(hours=1), NOW
    parts = [
        DuePart("sap", "production_schedule", day, early),
        DuePart("sap", "planned_orders", day, late),
        DuePart("sap", "materials", None, early),
        DuePart("gone", "production_schedule", day, late),
    ]
    due = due_by_table(parts, fed)
    assert due["production_schedule"] == {as_instant(day): int(late.timestamp() * 1000)}
    assert due["materials"] == {WHOLE: int(early.timestamp() * 1000)}
    assert set(due) == {"production_schedule", "materials"}


def test_the_newest_range_when_days_lie_apart_is_the_last_neighbours() -> None:
    days = [date(2026, 11, day) for day in (3, 18, 19, 20)]
    assert newest_range(days) == (date(2026, 11, 18), date(2026, 11, 20))
    assert newest_range([None]) == (None, None)


def run(job: str, state: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, **tags: str) -> dg.DagsterRun:
    return dg.DagsterRun(job, run_id=f"{job}{len(tags)}", tags=tags, status=state)


def test_working_when_runs_are_active_knows_their_days_and_assets() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        span = {"dagster/asset_partition_range_start": "2026-11-18", "dagster/asset_partition_range_end": "2026-11-20"}
        instance.add_run(run("sync", **span))
        instance.add_run(run("sync", dg.DagsterRunStatus.SUCCESS, **{"dagster/partition": "2026-11-01"}))
        found = working(instance, {"sync": frozenset([ORDERS])})
    assert found.is_busy(ORDERS, date(2026, 11, 19))
    assert not found.is_busy(ORDERS, date(2026, 11, 1))
    assert found.is_busy(ORDERS, None)
    assert not found.is_busy(ENERGY, None)


def test_the_days_of_a_run_when_its_partitions_are_windows_are_none() -> None:
    assert days_of(run("x", **{"dagster/partition": "2026-11-22T10:15"})) == []
    assert days_of(run("x", **{"dagster/partition": "2026-11-22"})) == [date(2026, 11, 22)]
    assert days_of(run("x")) == []


def test_a_request_when_its_key_is_taken_gets_the_next_attempt() -> None:
    ask = Ask((as_instant(date(2026, 11, 20)),), 7, 1, live=True)
    with dg.DagsterInstance.ephemeral() as instance:
        first = request_of(instance, "energy_consumption", [ENERGY], ask)
        instance.add_run(run("x", **{"dagster/run_key": str(first.run_key)}))
        again = request_of(instance, "energy_consumption", [ENERGY], ask)
        whole = request_of(instance, "materials", [ENERGY], Ask((WHOLE,), 7, 1, live=False))
    assert str(first.run_key).endswith("/2026-11-20/2026-11-20/r7/a1")
    assert str(again.run_key).endswith("/a2")
    assert "dagster/asset_partition_range_start" not in whole.tags


@pytest.mark.parametrize("cursor", [None, "", "no json", "[]", '{"polled": {"a": {"b": 1}}}'])
def test_a_cursor_when_it_cannot_be_read_counts_as_empty(cursor: str | None) -> None:
    assert Remembered.load(cursor) == Remembered()


def test_a_cursor_when_written_is_read_as_it_was() -> None:
    memory = Remembered({"sap/x": Polled(1.0, 2)}, {"materials": {WHOLE: Attempt(3, 2, NOW)}})
    assert Remembered.load(memory.dump()) == memory
