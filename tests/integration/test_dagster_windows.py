from datetime import timedelta
from pathlib import Path

import psycopg

from gl_assets.scada.run import due_ranges, run_windows
from tests.integration.dagster_plant import HOUR, Plant, configuration

QUARTER = timedelta(minutes=15)


def count(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]


def test_run_windows_when_two_have_closed_then_both_are_stored_and_reported(tmp_path: Path, database_url: str):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.close_windows(HOUR, HOUR + QUARTER)
    run = run_windows(config, tmp_path, database_url)
    assert run.reasons == []
    assert sorted(run.stored) == ["2026-11-22T10:00", "2026-11-22T10:15"]
    assert run.stored["2026-11-22T10:00"]["rows"] == 90
    assert {check.check: check.passed for check in run.checks if check.window == "2026-11-22T10:15"} == {
        "stored_readings_match_the_schema": True,
        "rejected_rows_are_below_the_limit": True,
        "every_source_sent_readings": True,
    }
    assert count(database_url, "SELECT count(*) FROM scada.sensor_readings") == 180
    assert count(database_url, "SELECT count(*) FROM quality.gate_results WHERE passed") == 6
    assert due_ranges(config, tmp_path, database_url) == []
