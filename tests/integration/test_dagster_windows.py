from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.gates import GATES, judge, look_at_window
from gl_assets.jobs import sensor_readings_job
from gl_assets.scada.run import due_ranges, run_windows
from gl_assets.scada.sensor_readings import build_sensor_readings
from resources.core.errors import UnreachableError
from resources.core.windows import partition_key
from resources.databases.timescale.quality.gate_results import Release, list_results, release, unchecked_windows
from resources.integrations import Integrations
from resources.wiring import TimescaleResource, WindowBufferResource
from tests.integration.dagster_plant import HOUR, Plant, configuration

QUARTER = timedelta(minutes=15)


def rows(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def count(url: str, query: str) -> int:
    return rows(url, query)[0][0]


def execute(config: Integrations, home: Path, url: str, instance: dg.DagsterInstance, first: str, last: str):
    job = dg.Definitions(
        assets=[build_sensor_readings(config)],
        jobs=[sensor_readings_job],
        resources={
            "window_buffer": WindowBufferResource(folder=str(home / "buffer")),
            "timescale": TimescaleResource(url=url),
        },
    ).resolve_job_def("sensor_readings_job")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.error.message


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_run_windows_when_two_have_closed_then_both_are_stored_and_reported(tmp_path: Path, database_url: str):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.close_windows(HOUR, HOUR + QUARTER)
    run = run_windows(config, tmp_path, database_url)
    assert run.reasons == []
    assert run.failed == []
    assert sorted(run.stored) == ["2026-11-21T10:00", "2026-11-21T10:15"]
    assert run.stored["2026-11-21T10:00"]["rows"] == 90
    assert run.passed == len(run.checks) == 2 * len(GATES)
    assert {check.check for check in run.checks} == {gate.name for gate in GATES}
    assert count(database_url, "SELECT count(*) FROM scada.sensor_readings") == 180
    assert count(database_url, "SELECT count(*) FROM quality.gate_results WHERE passed") == 2 * len(GATES)
    assert due_ranges(config, tmp_path, database_url) == []
    newest, older = run.stored["2026-11-21T10:15"], run.stored["2026-11-21T10:00"]
    assert (newest["validity"], newest["uniqueness"]) == (100, 100)
    # this plant hands its readings over minutes late
    assert (newest["quality_level"], set(newest["lowered"])) == ("GOOD", {"too_old"})
    assert sum(share for name, share in newest.items() if name.startswith("step_")) == pytest.approx(100, abs=0.5)
    assert "data:image/png;base64," in newest["quality_over_time"]
    assert "quality_over_time" not in older


def test_run_windows_when_the_buffer_is_empty_then_nothing_happens(tmp_path: Path, database_url: str):
    run = run_windows(configuration(), tmp_path, database_url)
    assert (run.stored, run.failed, run.checks) == ({}, [], [])


def test_run_windows_when_the_database_is_away_then_it_says_so(tmp_path: Path):
    config = configuration()
    Plant(tmp_path, config).close_windows(HOUR)
    with pytest.raises(UnreachableError, match="no connection"):
        run_windows(config, tmp_path, "postgresql://nobody@127.0.0.1:9/none")


def test_window_when_a_late_reading_raises_its_revision_then_it_is_replaced_and_never_doubled(
    tmp_path: Path, database_url: str
):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.close_windows(HOUR)
    run_windows(config, tmp_path, database_url)
    late = plant.send(HOUR, sensors=("Y/AIR",), every_s=45)
    plant.move_to(plant.clock.now() + timedelta(minutes=6))
    assert due_ranges(config, tmp_path, database_url)[-1][0] == "2026-11-21T10:00"
    run = run_windows(config, tmp_path, database_url)
    assert run.stored["2026-11-21T10:00"]["revision"] == 2
    # of 20 readings every 45 s, 5 fall on the minute and are there already
    assert late == 20
    assert run.stored["2026-11-21T10:00"]["rows"] == 105
    assert (
        count(database_url, "SELECT count(*) FROM (SELECT DISTINCT sensor_id, time FROM scada.sensor_readings) d")
        == 105
    )


def test_range_when_one_window_is_refused_then_the_others_are_stored_and_materialised(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.close_windows(HOUR)
    plant.reject(HOUR + QUARTER, 300)
    plant.close_windows(HOUR + QUARTER, HOUR + 2 * QUARTER)
    result = execute(config, tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:30")
    assert not result.success
    assert "1 of 3 partitions failed" in failure(result)
    assert "2026-11-21T10:15" in failure(result)
    assert "rejected" in failure(result)
    assert instance.get_materialized_partitions(SENSOR_READINGS) == {"2026-11-21T10:00", "2026-11-21T10:30"}
    assert count(database_url, "SELECT count(*) FROM scada.window_ledger") == 2
    with psycopg.connect(database_url) as connection:
        (red,) = list_results(connection, red_only=True)
    assert (red.check, red.partition) == ("rejected_rows_are_below_the_limit", "2026-11-21T10:15")
    assert "nothing of it is stored" in red.metadata["refused"]


def test_window_when_a_source_is_silent_then_the_gate_names_it_and_does_not_block(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.close_windows(HOUR, sensors=("B1/P",))
    result = execute(config, tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:00")
    assert result.success
    red = {
        found.check_name: found
        for found in result.get_asset_check_evaluations()
        if not found.passed and found.partition
    }
    assert red.keys() == {"every_source_sent_readings", "enough_sensors_sent_readings"}
    assert red["every_source_sent_readings"].metadata["missing"].value == ["yard"]
    assert "| B1/FUEL |" in red["enough_sensors_sent_readings"].metadata["first_failing_rows"].value
    assert {found.severity for found in red.values()} == {dg.AssetCheckSeverity.WARN}


def test_window_when_it_has_not_ended_then_it_is_refused(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    config = configuration()
    key = partition_key(config.grid.start_of(datetime.now(UTC)))
    result = execute(config, tmp_path, database_url, instance, key, key)
    assert f"window {key} has not ended" in failure(result)
    assert instance.get_materialized_partitions(SENSOR_READINGS) == set()


def test_window_when_the_buffer_has_dropped_it_then_the_stored_rows_stay_as_they_are(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    config = configuration()
    plant = Plant(tmp_path, config, retention=timedelta(minutes=30))
    plant.close_windows(HOUR)
    run_windows(config, tmp_path, database_url)
    before = rows(database_url, "SELECT * FROM scada.sensor_readings ORDER BY sensor_id, time")
    plant.buffer.stored_revisions({HOUR: 1})
    plant.move_to(HOUR + timedelta(hours=2))
    result = execute(config, tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:00")
    assert "the buffer no longer holds it" in failure(result)
    assert "its stored rows are left as they are" in failure(result)
    assert rows(database_url, "SELECT * FROM scada.sensor_readings ORDER BY sensor_id, time") == before
    assert len(before) == 90


def test_window_when_its_run_died_before_the_gates_then_it_is_due_again_and_judged(tmp_path: Path, database_url: str):
    config = configuration()
    Plant(tmp_path, config).close_windows(HOUR)
    run_windows(config, tmp_path, database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM quality.gate_results")
        due = unchecked_windows(connection, "scada/sensor_readings", site="plant", collector="c1", since=HOUR)
    assert due == [HOUR]
    run = run_windows(config, tmp_path, database_url, [("2026-11-21T10:00", "2026-11-21T10:00")])
    assert "was stored at" in run.stored["2026-11-21T10:00"]["not_written"]
    assert count(database_url, "SELECT count(*) FROM quality.gate_results") == len(GATES)
    assert count(database_url, "SELECT count(*) FROM scada.sensor_readings") == 90


def test_window_when_the_configured_length_differs_then_it_is_refused_with_the_command(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    run_windows(configuration(), tmp_path, database_url)
    result = execute(configuration("5m"), tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:00")
    assert "gl window migrate" in failure(result)


def test_window_when_stored_rows_break_the_schema_then_the_run_is_red_and_the_gate_blocks(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    config = configuration()
    Plant(tmp_path, config).close_windows(HOUR)
    run_windows(config, tmp_path, database_url)
    with psycopg.connect(database_url) as connection:
        # somebody writes past the store
        connection.execute(
            "UPDATE scada.readings SET value = 'NaN', quality_score = -1 WHERE sensor_key = 1 AND time < %s",
            (HOUR + timedelta(minutes=2),),
        )
        connection.execute("DELETE FROM quality.gate_results")
    result = execute(config, tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:00")
    assert not result.success
    with psycopg.connect(database_url) as connection:
        (red,) = list_results(connection, red_only=True)
    assert red.blocking
    assert red.metadata["broken"] == {"a value is a finite number": 2, "quality_score lies between 0 and 100": 2}
    assert [row["value"] for row in red.metadata["first"]] == ["NaN", "NaN"]
    # the very same finding, once released, holds nothing back any more, and the run says who answers for it
    with psycopg.connect(database_url) as connection:
        release(connection, asset=red.asset, partition=red.partition, said=Release("M. Keller", "two known rows"))
    again = execute(config, tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:00")
    assert again.success
    told = [e for e in again.get_asset_check_evaluations() if e.check_name == red.check]
    assert [(e.passed, e.severity) for e in told] == [(False, dg.AssetCheckSeverity.WARN)] * 2
    assert told[0].metadata["released_by"].value == "M. Keller"
    assert told[1].metadata["plot"].value.startswith("![stored_readings_match_the_schema](data:image/png;base64,")
    # another finding does
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.readings SET quality_score = -1 WHERE sensor_key = 2")
    assert not execute(config, tmp_path, database_url, instance, "2026-11-21T10:00", "2026-11-21T10:00").success


def test_window_when_a_limit_is_narrowed_then_the_gate_counts_and_shows_the_rows_outside(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    Plant(tmp_path, configuration()).close_windows(HOUR)
    run_windows(configuration(), tmp_path, database_url)
    narrowed = configuration().model_dump()
    tags = list(narrowed["sources"]["boiler_house"]["tags"])
    tags[2] = tags[2] | {"minimum": 0.0, "maximum": 3.9, "unit": "MPa"}
    narrowed["sources"]["boiler_house"]["tags"] = tags
    narrowed["quality"]["gates"] = {"scada/sensor_readings": {"range": {"effect": "block"}, "score": {"effect": "off"}}}
    config = Integrations.model_validate(narrowed)
    with psycopg.connect(database_url) as connection:
        window = look_at_window(connection, config, "c1", HOUR, ())
    results = {result.check: result for result in judge(window, "run")}
    assert "the_windows_score_is_high_enough" not in results
    red = results["stored_values_are_within_their_limits"]
    assert (red.passed, red.blocking, red.metadata["failing"]) == (False, True, 15)
    first = red.metadata["first"][0]
    assert (first["sensor_id"], first["value"], first["unit"], first["maximum"]) == ("B1/P", 40.0, "bar", 39.0)
