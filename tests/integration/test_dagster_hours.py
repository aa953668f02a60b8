from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from gl_assets.asset_keys import BOILER_EFFICIENCY, HOURLY_READINGS
from gl_assets.jobs import hourly_readings_job
from gl_assets.process_heat.boiler_efficiency import build_boiler_efficiency
from gl_assets.scada.history_window import Stretch, history_contents
from gl_assets.scada.hourly_readings import build_hourly_readings
from gl_assets.scada.persist import persist_window
from gl_assets.scada.run import run_windows
from gl_assets.scada.sensor_readings import build_sensor_readings
from resources.core.clock import to_micros
from resources.core.configuration.settings import parse_yaml
from resources.core.readings import ReadingBatch, Status, readings_batch
from resources.databases.timescale.derived import hourly_table
from resources.databases.timescale.derived.hours import due_hours
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.window_buffer.reader import BufferReader
from resources.wiring import TimescaleResource, WindowBufferResource
from tests.integration.dagster_plant import HOUR, Plant, configuration, configuration_text

QUARTERS = [HOUR + number * timedelta(minutes=15) for number in range(4)]
ASSETS = [HOURLY_READINGS.to_user_string(), BOILER_EFFICIENCY.to_user_string()]


@pytest.fixture
def stored(tmp_path: Path, database_url: str) -> str:
    """A database in which one hour is stored."""
    Plant(tmp_path, configuration()).close_windows(*QUARTERS)
    assert run_windows(configuration(), tmp_path, database_url).failed == []
    return database_url


def make_hours(url: str, first: str = "2026-11-21T10:00", last: str = "2026-11-21T10:00"):
    config = configuration()
    job = dg.Definitions(
        assets=[build_sensor_readings(config), build_hourly_readings(config), build_boiler_efficiency(config)],
        jobs=[hourly_readings_job],
        resources={"timescale": TimescaleResource(url=url), "window_buffer": WindowBufferResource()},
    ).resolve_job_def("hourly_readings_job")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        return result, {key: instance.get_materialized_partitions(key) for key in (HOURLY_READINGS, BOILER_EFFICIENCY)}


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, object]:
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def test_hour_when_its_windows_are_stored_then_readings_and_efficiency_are_made(stored: str):
    result, made = make_hours(stored)
    assert result.success
    assert made == {HOURLY_READINGS: {"2026-11-21T10:00"}, BOILER_EFFICIENCY: {"2026-11-21T10:00"}}
    with psycopg.connect(stored) as connection:
        hourly = connection.execute("SELECT sensor_id, readings, mean_value FROM scada.hourly_readings ORDER BY 1")
        assert ("B1/P", 60, 40.0) in hourly.fetchall()
        (row,) = connection.execute("SELECT boiler, efficiency, reason FROM process_heat.boiler_efficiency").fetchall()
        assert due_hours(connection, ASSETS, site="plant") == []
    # by the printed steam tables: 15 t/h from 443.0 to 3214.4 kJ/kg over 1 t/h of 47 MJ/kg
    assert row == ("boiler_1", pytest.approx(15 * (3214.4 - 443.0) / 47_000, rel=1e-3), None)
    assert metadata(result, HOURLY_READINGS)["readings"] == 360
    shown = metadata(result, BOILER_EFFICIENCY)
    assert "| boiler_1 | 88.4 % |" in shown["balance"]
    assert shown["last_48_hours"].startswith("![efficiency of the last hours](data:image/png;base64,iVBOR")


def test_hour_when_it_is_made_twice_then_there_is_one_row_each(stored: str):
    make_hours(stored)
    make_hours(stored)
    with psycopg.connect(stored) as connection:
        assert connection.execute("SELECT count(*) FROM scada.hourly_readings").fetchone() == (6,)
        assert connection.execute("SELECT count(*) FROM process_heat.boiler_efficiency").fetchone() == (1,)


def store_late(url: str, source: str, sensor: str, *, revision: int) -> None:
    """Merge one reading into the hour's first window, as history does."""
    config = configuration()
    catalog = config.catalog()
    times = ([to_micros(HOUR) + 5], [catalog.key(sensor)], [9.0], [Status.GOOD], to_micros(HOUR) + 10)
    batch = ReadingBatch(source, readings=readings_batch(*times))
    span = Stretch(HOUR, HOUR + timedelta(minutes=15), HOUR, HOUR + timedelta(minutes=15))
    with ReadingsStore(url) as store:
        contents = history_contents([batch], catalog.sensors, span, "c1-history")
        assert persist_window(replace(contents, revision=revision), store, config, run_id="late").stored


def hourly(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT sensor_id, readings FROM scada.hourly_readings").fetchall())


def test_hour_when_a_reading_comes_after_retention_then_its_rows_stay_and_only_new_sensors_are_added(stored: str):
    make_hours(stored)
    before = hourly(stored)
    with psycopg.connect(stored) as connection:
        connection.execute("DELETE FROM scada.readings")  # as retention on plain PostgreSQL does
        connection.execute("DELETE FROM scada.hourly_readings WHERE sensor_id = 'Y/AIR'")
        efficiency = connection.execute("SELECT boiler, efficiency FROM process_heat.boiler_efficiency").fetchall()
    for revision, (source, sensor) in enumerate((("boiler_house", "B1/P"), ("yard", "Y/AIR")), start=1):
        store_late(stored, source, sensor, revision=revision)
        with psycopg.connect(stored) as connection:
            assert [state.hour for state in due_hours(connection, ASSETS, site="plant")] == [HOUR]
        result, _ = make_hours(stored)
        assert result.success
    assert hourly(stored) == {**before, "Y/AIR": 1}
    assert metadata(result, HOURLY_READINGS)["kept_rows"] == 5
    with psycopg.connect(stored) as connection:
        assert (
            connection.execute("SELECT boiler, efficiency FROM process_heat.boiler_efficiency").fetchall() == efficiency
        )
        assert due_hours(connection, ASSETS, site="plant") == []


def test_hour_when_a_whole_window_is_stored_anew_with_fewer_readings_then_it_is_made_anew(
    tmp_path: Path, database_url: str
):
    Plant(tmp_path, configuration()).close_windows(*QUARTERS)
    run_windows(configuration(), tmp_path, database_url)
    make_hours(database_url)
    text = configuration_text().replace("topic: y/air", "topic: y/air, maximum: 5")  # what was stored is 8
    stricter = parse_yaml(text, Integrations, name="test.yaml")
    contents = BufferReader(tmp_path / "buffer").read(HOUR)
    with ReadingsStore(database_url) as store:
        assert persist_window(replace(contents, revision=2), store, stricter, run_id="stricter").stored
    make_hours(database_url)
    assert hourly(database_url)["Y/AIR"] == 45


def test_hour_when_it_does_not_fit_into_memory_at_once_then_it_is_read_in_parts(
    stored: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hourly_table, "MOST_ROWS", 100)
    result, _ = make_hours(stored)
    assert metadata(result, HOURLY_READINGS)["rows"] == 6


def test_hour_when_nothing_is_stored_in_it_then_it_is_empty(stored: str):
    result, made = make_hours(stored, "2026-11-21T11:00", "2026-11-21T11:00")
    assert result.success
    assert made[BOILER_EFFICIENCY] == {"2026-11-21T11:00"}
    assert metadata(result, BOILER_EFFICIENCY)["rows"] == 0


def test_hours_when_one_fails_then_the_others_count_as_made(stored: str):
    with psycopg.connect(stored) as connection:
        # a unit that does not convert into the tag's own, an hour later
        connection.execute(
            "INSERT INTO scada.origins (site, collector, source, unit, calibrated_unit)"
            " VALUES ('plant', 'x', 's', 's', 's')"
        )
        connection.execute(
            "INSERT INTO scada.readings SELECT time + interval '1 hour', value, value, ingested_at, sensor_key,"
            " CASE WHEN extract(minute FROM time) < 30 THEN (SELECT max(origin_key) FROM scada.origins)"
            " ELSE origin_key END, quality_score, status FROM scada.readings"
        )
    result, made = make_hours(stored, "2026-11-21T10:00", "2026-11-21T11:00")
    assert not result.success
    assert made == {HOURLY_READINGS: {"2026-11-21T10:00"}, BOILER_EFFICIENCY: set()}
    (event,) = result.get_step_failure_events()
    assert "do not convert" in event.step_failure_data.error.message


def test_hours_when_the_database_is_away_then_the_step_says_so():
    result, _ = make_hours("postgresql://nobody@127.0.0.1:9/none")
    (event,) = result.get_step_failure_events()
    assert "no connection" in event.step_failure_data.error.message
