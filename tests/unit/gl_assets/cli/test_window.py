"""`gl window migrate` over a real database, a real buffer and Dagster's own storage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner, Result

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.cli.main import cli
from gl_assets.cli.state import only_one, prepare_dagster_home
from gl_assets.cli.stored.window_migration import reportable
from gl_assets.scada.run import open_instance, run_windows
from resources.core.errors import ConfigError, DataError
from resources.core.readings import READINGS_SCHEMA
from resources.databases.timescale.derived import hours
from resources.databases.timescale.quality.gate_results import GateResult, record_results, red_gates
from resources.databases.timescale.rework.regrid import StoredWindow
from resources.window_buffer.model import BufferLockedError
from resources.window_buffer.reader import BufferReader
from tests.integration.dagster_plant import HOUR, VALUES, Plant, configuration, configuration_text

QUARTER = timedelta(minutes=15)
ASSETS = ["scada/hourly_readings", "process_heat/boiler_efficiency"]


@pytest.fixture
def home(tmp_path: Path, database_url: str, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GL_HOME whose platform and Dagster have databases of their own."""
    home = tmp_path / ".gl"
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    monkeypatch.setenv("GL_DAGSTER_POSTGRES_URL", empty_database_url.replace("postgresql://", "postgresql+psycopg2://"))
    monkeypatch.setenv("GL_CONFIG", str(tmp_path / "integrations.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(prepare_dagster_home(home)))
    configure("15m")
    return home


def configure(window: str) -> None:
    Path(os.environ["GL_CONFIG"]).write_text(configuration_text(window))


@pytest.fixture
def stored(home: Path, database_url: str) -> Plant:
    """A plant that collected three quarters of an hour, all stored, and ended."""
    plant = Plant(home, configuration())
    plant.reject(HOUR + timedelta(minutes=7), 3)
    plant.close_windows(HOUR, HOUR + QUARTER, HOUR + 2 * QUARTER)
    plant.buffer.close()
    assert run_windows(plant.config, home, database_url).failed == []
    return plant


def migrate(*words: str) -> Result:
    return CliRunner().invoke(cli, ["window", "migrate", *words], env={"COLUMNS": "300"}, catch_exceptions=False)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return connection.execute(statement).fetchall()


def ledger(url: str) -> dict[datetime, tuple[Any, ...]]:
    rows = query(url, "SELECT window_start, stored_revision, rows, rejected, complete FROM scada.window_ledger")
    return {row[0]: row[1:] for row in rows}


def reopen(home: Path, window: str, at: datetime) -> Plant:
    return Plant(home, configuration(window), at=at)


def test_migrate_when_not_confirmed_then_it_says_what_would_happen_and_changes_nothing(
    stored: Plant, home: Path, database_url: str
):
    before, held = ledger(database_url), BufferReader(home / "buffer").windows()
    configure("5m")
    result = migrate()
    assert "3 windows of 15m would be cut into 9 of 5m" in result.stderr
    assert "3 windows, all stored" in result.stderr or "4 windows, all stored" in result.stderr
    assert "9 windows would be reported anew" in result.stderr
    assert "Nothing has been changed" in result.stderr
    assert ledger(database_url) == before
    assert BufferReader(home / "buffer").windows() == held
    assert list(home.glob("buffer-*")) == []


def test_migrate_to_a_shorter_window_when_confirmed_then_the_ledger_counts_what_is_stored(
    stored: Plant, database_url: str
):
    readings = query(database_url, "SELECT * FROM scada.sensor_readings ORDER BY sensor_id, time")
    configure("5m")
    result = json.loads(migrate("--confirm", "--json").stdout)
    assert (result["ledger"]["windows_before"], result["ledger"]["windows_after"]) == (3, 9)
    found = ledger(database_url)
    assert sorted(found) == [HOUR + timedelta(minutes=m) for m in range(0, 45, 5)]
    for start, (revision, rows, rejected, complete) in found.items():
        assert (revision, rows, complete) == (1, 5 * len(VALUES), False)
        assert rejected == (3 if start == HOUR + timedelta(minutes=5) else 0)
    assert query(database_url, "SELECT DISTINCT window_start FROM scada.rejected_readings") == [
        (HOUR + timedelta(minutes=5),)
    ]
    assert query(database_url, "SELECT sum(rows), sum(rejected) FROM scada.window_sources") == [(270, 3)]
    assert query(database_url, "SELECT * FROM scada.sensor_readings ORDER BY sensor_id, time") == readings
    assert json.loads(show().stdout)["in_force"] == "5m"


def show() -> Result:
    return CliRunner().invoke(cli, ["window", "show", "--json"], catch_exceptions=False)


def test_migrate_to_a_longer_window_when_confirmed_then_windows_are_joined_and_no_rejected_row_is_lost(
    stored: Plant, database_url: str
):
    with psycopg.connect(database_url) as connection:
        # the same sequence in two windows that become one: a folder made anew under a clock set back
        connection.execute(
            "INSERT INTO scada.rejected_readings SELECT collector, sequence, time + interval '15 min', sensor_id,"
            " source, raw, reasons, window_start + interval '15 min', run_id, rejected_at, site"
            " FROM scada.rejected_readings"
        )
    configure("60m")
    migrate("--confirm")
    assert ledger(database_url) == {HOUR: (1, 45 * len(VALUES), 6, False)}
    assert query(
        database_url, "SELECT count(*), count(*) FILTER (WHERE sequence < 0) FROM scada.rejected_readings"
    ) == [(6, 3)]


def test_migrate_when_confirmed_then_dagster_knows_the_new_windows_only(stored: Plant, home: Path):
    configure("5m")
    result = migrate("--confirm")
    assert "9 windows are reported anew" in result.stderr
    with open_instance(home) as instance:
        assert instance.get_materialized_partitions(SENSOR_READINGS) == {
            f"2026-11-21T10:{minute:02d}" for minute in range(0, 45, 5)
        }
        event = instance.get_latest_materialization_event(SENSOR_READINGS)
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows"].value == 5 * len(VALUES)
    assert "nothing to do" in migrate("--confirm").stderr


def test_migrate_when_confirmed_then_the_buffer_goes_on_with_its_sensors_and_merges_late_readings(
    stored: Plant, home: Path, database_url: str
):
    configure("5m")
    (aside,) = [Path(json.loads(migrate("--confirm", "--json").stdout)["aside"])]
    assert BufferReader(aside).windows()[0].window_start == HOUR
    assert BufferReader(aside).read(HOUR).readings.num_rows == 15 * len(VALUES)
    counts = BufferReader(home / "buffer").counts()

    with closing(reopen(home, "5m", HOUR + timedelta(minutes=47)).buffer):
        pass
    plant = reopen(home, "5m", HOUR + timedelta(minutes=48))
    assert plant.buffer.counts()["yard"].buffered == counts["yard"].buffered == 45
    # one reading of a stored window comes late: without the ledger at hand it must not replace the other rows
    plant.send(HOUR + timedelta(minutes=10), sensors=("Y/AIR",), every_s=300, shift=1.0)
    plant.move_to(HOUR + timedelta(minutes=52))
    plant.buffer.close()
    run = run_windows(plant.config, home, database_url)
    assert run.failed == []
    revision, rows, rejected, complete = ledger(database_url)[HOUR + timedelta(minutes=10)]
    assert (revision, rows, complete) == (2, 5 * len(VALUES), False)
    assert rejected == 1  # the value that stood there before
    assert query(database_url, "SELECT count(*) FROM scada.sensor_readings") == [(270,)]


def test_migrate_when_a_first_value_is_not_newer_afterwards_then_it_is_still_known(stored: Plant, home: Path):
    configure("5m")
    migrate("--confirm")
    from resources.core.clock import to_micros
    from resources.core.readings import ReadingBatch, readings_batch

    plant = reopen(home, "5m", HOUR + timedelta(minutes=50))
    key = plant.catalog.key("Y/AIR")
    old = to_micros(HOUR + timedelta(minutes=20))
    batch = readings_batch([old], [key], [9.0], 0, to_micros(plant.clock.now()))
    assert batch.schema == READINGS_SCHEMA
    plant.buffer.append(ReadingBatch("yard", readings=batch, only_if_newer=True))
    plant.buffer.commit()
    assert plant.buffer.counts()["yard"].not_newer == 1
    plant.buffer.close()


def test_migrate_when_windows_are_open_or_unstored_then_it_names_them_and_what_to_do(home: Path, database_url: str):
    plant = Plant(home, configuration())
    plant.close_windows(HOUR)
    plant.send(HOUR + QUARTER, every_s=300)
    plant.buffer.close()
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO platform.settings (name, value) VALUES ('window:plant', '900')")
    configure("5m")
    with pytest.raises(DataError, match="gl ingest --for 1") as found:
        migrate("--confirm")
    assert "2026-11-21T10:00: revision 1 is closed, nothing is stored" in str(found.value)
    assert "2026-11-21T10:15: it is still open" in str(found.value)
    assert "Set window back to 15m" in str(found.value)


def test_migrate_when_late_readings_wait_in_a_stored_window_then_it_is_refused(stored: Plant, home: Path):
    plant = reopen(home, "15m", HOUR + timedelta(minutes=50))
    plant.send(HOUR, sensors=("Y/AIR",), every_s=300, shift=2.0)
    plant.buffer.close()
    configure("5m")
    with pytest.raises(DataError, match="10:00: late readings are still being collected"):
        migrate("--confirm")


def test_migrate_when_a_segment_is_in_no_index_then_it_is_refused(stored: Plant, home: Path):
    segments = home / "buffer" / "segments"
    (segments / "20261121T120000Z.0.seg").write_bytes((segments / "20261121T100000Z.0.seg").read_bytes())
    configure("5m")
    with pytest.raises(DataError, match=r"segment 20261121T120000Z\.0\.seg is not in the index"):
        migrate("--confirm")


def test_migrate_when_a_collector_or_a_platform_runs_then_it_is_refused(stored: Plant, home: Path):
    configure("5m")
    with closing(reopen(home, "15m", HOUR + timedelta(minutes=50)).buffer), pytest.raises(BufferLockedError):
        migrate("--confirm")
    with only_one(home, "a test"), pytest.raises(ConfigError, match="already runs the platform here"):
        migrate("--confirm")


def test_migrate_when_other_collectors_have_stored_then_it_wants_to_hear_that_they_stand(
    stored: Plant, database_url: str
):
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO scada.window_ledger SELECT 'c2', window_start, 1, 0, 0, 0, true, false, stored_at, run_id, site"
            " FROM scada.window_ledger WHERE window_start = %s",
            (HOUR,),
        )
    configure("60m")
    with pytest.raises(ConfigError, match="other collectors, too: c2"):
        migrate("--confirm")
    assert (
        json.loads(migrate("--confirm", "--other-collectors-stopped", "--json").stdout)["ledger"]["windows_after"] == 2
    )


def interrupted(step: str) -> Callable[..., None]:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt(step)

    return stop


def test_migrate_when_interrupted_after_the_database_then_it_can_be_repeated(
    stored: Plant, home: Path, monkeypatch: pytest.MonkeyPatch
):
    configure("5m")
    with monkeypatch.context() as patched:
        patched.setattr("resources.window_buffer.regrid.BufferRegrid.apply", interrupted("buffer"))
        with pytest.raises(click.Abort):
            CliRunner().invoke(cli, ["window", "migrate", "--confirm"], standalone_mode=False, catch_exceptions=False)
    with pytest.raises(ConfigError, match="gl window migrate"):
        reopen(home, "5m", HOUR + timedelta(minutes=50))
    again = json.loads(migrate("--confirm", "--json").stdout)
    assert again["ledger"] is None
    assert again["buffer_windows"] >= 3
    assert again["reported"] == 9
    reopen(home, "5m", HOUR + timedelta(minutes=50)).buffer.close()


def test_migrate_when_dagsters_storage_is_away_then_it_says_so_and_tells_it_the_next_time(
    stored: Plant, home: Path, monkeypatch: pytest.MonkeyPatch
):
    configure("5m")
    with monkeypatch.context() as patched:
        patched.setenv("GL_DAGSTER_POSTGRES_URL", "postgresql+psycopg2://u:p@127.0.0.1:1/none")
        assert "Dagster: not told" in migrate("--confirm").stderr
        assert "still to be told" in show().stdout
    assert json.loads(migrate("--confirm", "--json").stdout)["reported"] == 9
    assert json.loads(show().stdout)["dagster"] == "told"


def test_migrate_when_hours_were_made_and_gates_are_red_then_both_stay_so(stored: Plant, database_url: str):
    with psycopg.connect(database_url) as connection:
        for asset in ASSETS:
            hours.record_hour(connection, asset, HOUR, revision=3, rows=1, run_id="r")
        record_results(
            connection,
            [
                GateResult(
                    ASSETS[0].replace("hourly", "sensor"), "2026-11-21T10:15", 1, "c", passed=False, blocking=True
                )
            ],
        )
    configure("60m")
    migrate("--confirm")
    with psycopg.connect(database_url) as connection:
        assert hours.due_hours(connection, ASSETS, site="plant") == []
        (red,) = red_gates(connection, "scada/sensor_readings", ["2026-11-21T10:00"])
    assert red.metadata["found_in_window"] == "2026-11-21T10:15"


def test_migrate_when_an_hour_was_due_then_it_stays_due(stored: Plant, database_url: str):
    with psycopg.connect(database_url) as connection:
        for asset in ASSETS:
            hours.record_hour(connection, asset, HOUR, revision=1, rows=1, run_id="r")
    configure("60m")
    migrate("--confirm")
    with psycopg.connect(database_url) as connection:
        assert [state.hour for state in hours.due_hours(connection, ASSETS, site="plant")] == [HOUR]


def test_reportable_when_a_window_is_no_partition_then_it_is_left_out():
    windows = [StoredWindow(HOUR + n * QUARTER, 1, 0, 1, False, ("c1",)) for n in range(-1, 3)]
    found = reportable(configuration(), windows, HOUR + 2 * QUARTER + timedelta(minutes=14))
    assert [window.window_start for window in found] == [HOUR, HOUR + QUARTER]


def test_show_when_nothing_was_ever_stored_then_it_shows_that(home: Path):
    found = json.loads(show().stdout)
    assert (found["configured"], found["in_force"], found["windows_in_the_buffer"]) == ("15m", None, 0)
    table = CliRunner().invoke(cli, ["window", "show"], catch_exceptions=False).stderr
    assert "in force" in table
    assert "there is nothing to do" in migrate().stderr
