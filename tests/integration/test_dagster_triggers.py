from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from gl_assets.asset_keys import HOURLY_ASSETS
from gl_assets.jobs import hourly_readings_job, sensor_readings_job
from gl_assets.scada.run import run_windows
from resources.databases.timescale.derived.hours import record_hour
from resources.databases.timescale.quality.gate_results import GateResult, Release, record_results, release
from resources.integrations import Integrations
from resources.wiring import TimescaleResource, WindowBufferResource
from sensors.triggers import closed_windows
from sensors.triggers.active_runs import active_runs, partitions_of
from sensors.triggers.closed_windows import build_closed_windows_sensor
from sensors.triggers.hour_complete import build_hour_complete_sensor
from sensors.triggers.planning import Attempt, dump_memory, load_memory
from tests.integration.dagster_plant import HOUR, Plant, configuration

QUARTER = timedelta(minutes=15)
STARTS = [HOUR + number * QUARTER for number in range(4)]


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_windows, "TICK_S", 0.0)
    monkeypatch.setattr(closed_windows, "CLOSING_SOON_S", 0.0)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


class Tick:
    """Evaluates a sensor as the daemon does, with its cursor kept."""

    def __init__(self, config: Integrations, home: Path, url: str, instance: dg.DagsterInstance, build) -> None:
        self.sensor = build(config)
        self.instance, self.cursor = instance, None
        self.resources = {
            "window_buffer": WindowBufferResource(folder=str(home / "buffer")),
            "timescale": TimescaleResource(url=url),
        }

    def __call__(self) -> list[dg.RunRequest] | str:
        """Return the run requests, or the skip reason."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=self.resources)
        data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor if data.cursor is not None else self.cursor
        return data.run_requests or data.skip_message

    def start(self, request: dg.RunRequest, job: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """Note a run in the instance as the daemon would."""
        tags = {**request.tags, "dagster/run_key": request.run_key}
        return self.instance.add_run(
            dg.DagsterRun(job, run_id=request.run_key.replace("/", "_"), tags=tags, status=status)
        )


@pytest.fixture
def tick(tmp_path: Path, database_url: str, instance: dg.DagsterInstance) -> Tick:
    return Tick(configuration(), tmp_path, database_url, instance, build_closed_windows_sensor)


@pytest.fixture
def hour_tick(tmp_path: Path, database_url: str, instance: dg.DagsterInstance) -> Tick:
    return Tick(configuration(), tmp_path, database_url, instance, build_hour_complete_sensor)


def test_closed_windows_when_there_is_no_buffer_then_it_says_who_makes_one(tick: Tick):
    assert "waiting for the collector: its buffer" in tick()


def test_closed_windows_when_nothing_has_closed_then_it_says_so(tick: Tick, tmp_path: Path):
    Plant(tmp_path, configuration())
    assert "waiting for the first window to close" in tick()


def test_closed_windows_when_windows_have_closed_then_one_run_is_asked_for(tick: Tick, tmp_path: Path):
    Plant(tmp_path, configuration()).close_windows(*STARTS[:2])
    (request,) = tick()
    assert request.run_key == "windows/2026-11-21T10:00/2026-11-21T10:15/r1/a1"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-21T10:00"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-21T10:15"
    assert request.tags["gl/lane"] == "backlog"


def test_closed_windows_when_all_is_stored_then_it_says_when_the_next_one_closes(
    tick: Tick, tmp_path: Path, database_url: str
):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    run_windows(configuration(), tmp_path, database_url)
    assert "all 1 windows the buffer holds are stored; the next one closes at" in tick()


def test_closed_windows_when_a_run_works_on_them_then_they_are_not_asked_for_twice(tick: Tick, tmp_path: Path):
    Plant(tmp_path, configuration()).close_windows(*STARTS[:2])
    (request,) = tick()
    tick.start(request, sensor_readings_job.name, dg.DagsterRunStatus.STARTED)
    assert "2 windows are being stored by active runs" in tick()


def test_closed_windows_when_the_run_died_then_they_are_asked_for_again_after_a_pause(tick: Tick, tmp_path: Path):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    (request,) = tick()
    tick.start(request, sensor_readings_job.name, dg.DagsterRunStatus.FAILURE)
    assert "has failed 1 times, next attempt at" in tick()
    failed = {HOUR: Attempt(1, 1, datetime.now(UTC) - timedelta(seconds=11))}
    tick.cursor = dump_memory(failed)
    (again,) = tick()
    assert again.run_key.endswith("/r1/a2")


def test_closed_windows_when_its_cursor_was_reset_then_a_taken_run_key_is_passed_over(tick: Tick, tmp_path: Path):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    (request,) = tick()
    tick.start(request, sensor_readings_job.name, dg.DagsterRunStatus.FAILURE)
    tick.cursor = None
    (again,) = tick()
    assert again.run_key.endswith("/a2")


def test_closed_windows_when_a_window_keeps_failing_then_the_alarm_is_raised(
    tick: Tick, tmp_path: Path, database_url: str
):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    tick.cursor = dump_memory({HOUR: Attempt(1, 7)})
    assert "has failed 7 times" in tick()
    with psycopg.connect(database_url) as connection:
        (event,) = connection.execute("SELECT event_type, source, message FROM scada.events").fetchall()
        assert event[:2] == ("window_not_stored", "2026-11-21T10:00")
        gate = (
            "SELECT passed FROM quality.gate_results WHERE \"check\" = 'every_closed_window_is_stored' ORDER BY gate_id"
        )
        assert connection.execute(gate).fetchall() == [(False,)]
    run_windows(configuration(), tmp_path, database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute(gate).fetchall() == [(False,), (True,)]


def test_closed_windows_when_the_database_is_away_then_it_waits_and_keeps_its_memory(tick: Tick, tmp_path: Path):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    tick.cursor = dump_memory({HOUR: Attempt(1, 3)})
    tick.resources["timescale"] = TimescaleResource(url="postgresql://nobody@127.0.0.1:9/none")
    reason = tick()
    assert "no connection" in reason
    assert "nothing is lost" in reason
    assert load_memory(tick.cursor)[HOUR].number == 3


def test_closed_windows_when_the_window_length_differs_then_it_says_what_to_do(
    tick: Tick, tmp_path: Path, database_url: str
):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    run_windows(configuration("30m"), tmp_path / "none", database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO platform.settings (name, value) VALUES ('window:plant', '300') ON CONFLICT DO NOTHING"
        )
    assert "gl window migrate" in tick()


def test_closed_windows_when_the_backlog_is_being_worked_on_then_live_windows_still_go_first(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    first = now - timedelta(minutes=9)
    config = configuration("1m", start=first)
    plant = Plant(tmp_path, config, at=first)
    plant.close_windows(*[first + timedelta(minutes=number) for number in range(9)])
    tick = Tick(config, tmp_path, database_url, instance, build_closed_windows_sensor)
    live, backlog = tick()
    assert (live.tags["gl/lane"], backlog.tags["gl/lane"]) == ("live", "backlog")
    assert live.tags["dagster/priority"] > backlog.tags["dagster/priority"]
    tick.start(backlog, sensor_readings_job.name, dg.DagsterRunStatus.STARTED)
    found = active_runs(instance, sensor_readings_job.name, [], config.window)
    assert found.backlog_runs == 1
    assert len(found.busy) == len(partitions_of(instance.get_runs()[0], config.window))


def test_hours_when_one_window_is_missing_then_the_hour_waits(hour_tick: Tick, tmp_path: Path, database_url: str):
    plant = Plant(tmp_path, configuration())
    plant.close_windows(*STARTS)
    run_windows(configuration(), tmp_path, database_url, [("2026-11-21T10:00", "2026-11-21T10:30")])
    assert "window 2026-11-21T10:45 is not stored at its last revision yet" in hour_tick()


def test_hours_when_all_is_stored_then_the_hour_is_asked_for_until_it_is_made(
    hour_tick: Tick, tmp_path: Path, database_url: str
):
    Plant(tmp_path, configuration()).close_windows(*STARTS)
    run_windows(configuration(), tmp_path, database_url)
    (request,) = hour_tick()
    assert request.run_key == "hours/2026-11-21T10:00/2026-11-21T10:00/r4/a1"
    hour_tick.start(request, hourly_readings_job.name, dg.DagsterRunStatus.STARTED)
    assert "1 hours are due: 1 being made" in hour_tick()
    with psycopg.connect(database_url) as connection:
        for key in HOURLY_ASSETS:
            record_hour(connection, key.to_user_string(), HOUR, revision=4, rows=6, run_id="test")
    assert "every hour with stored windows is made" in hour_tick()


def test_hours_when_a_blocking_gate_is_red_then_the_hour_waits_until_it_is_released(
    hour_tick: Tick, tmp_path: Path, database_url: str
):
    Plant(tmp_path, configuration()).close_windows(*STARTS)
    run_windows(configuration(), tmp_path, database_url)
    red = GateResult(
        "scada/sensor_readings", "2026-11-21T10:15", 1, "stored_readings_match_the_schema", passed=False, blocking=True
    )
    with psycopg.connect(database_url) as connection:
        record_results(connection, [red])
    assert "gl gates release 2026-11-21T10:15" in hour_tick()
    with psycopg.connect(database_url) as connection:
        assert (
            len(release(connection, asset=red.asset, partition=red.partition, said=Release("tester", "looked at it")))
            == 1
        )
    assert len(hour_tick()) == 1


def test_hours_when_the_database_is_away_then_it_waits(hour_tick: Tick):
    hour_tick.resources["timescale"] = TimescaleResource(url="postgresql://nobody@127.0.0.1:9/none")
    assert "no connection" in hour_tick()


def test_hours_when_a_late_revision_is_stored_then_the_hour_is_asked_for_again(
    hour_tick: Tick, tmp_path: Path, database_url: str
):
    plant = Plant(tmp_path, configuration())
    plant.close_windows(*STARTS)
    run_windows(configuration(), tmp_path, database_url)
    with psycopg.connect(database_url) as connection:
        for key in HOURLY_ASSETS:
            record_hour(connection, key.to_user_string(), HOUR, revision=4, rows=6, run_id="test")
    plant.send(HOUR, every_s=7)
    assert "every hour with stored windows is made" in hour_tick()
    plant.move_to(plant.clock.now() + timedelta(minutes=6))
    run_windows(configuration(), tmp_path, database_url)
    (request,) = hour_tick()
    assert request.run_key.endswith("/r5/a1")
