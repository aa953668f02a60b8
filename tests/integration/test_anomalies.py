"""From stored readings to anomalies: training, scoring, triggers, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psycopg
import pytest
from click.testing import CliRunner, Result

from gl_assets.asset_keys import ANOMALIES, ANOMALY_MODELS
from gl_assets.cli.main import cli
from gl_assets.definitions import build_definitions
from gl_assets.scada.anomaly.anomalies_asset import build_anomalies
from gl_assets.scada.anomaly.jobs import anomalies_job, anomaly_training_job, build_anomaly_jobs
from gl_assets.scada.anomaly.models_asset import build_anomaly_models
from gl_assets.transforms.anomaly.features import Floats
from resources.core.clock import to_micros
from resources.core.configuration.settings import parse_yaml
from resources.core.errors import DataError
from resources.core.windows import partition_key
from resources.databases.timescale.anomaly.anomalies import AnomalyRow, add_live, list_anomalies
from resources.databases.timescale.anomaly.anomaly_models import newest_models
from resources.databases.timescale.quality.gate_results import GateResult, Release, record_results, release
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.window import (
    REJECTED_ROWS_SCHEMA,
    TEXT_ROWS_SCHEMA,
    ReadingRows,
    SensorOrigin,
    WindowToStore,
)
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.anomalies import build_anomalies_sensor, build_anomaly_training_sensor
from tests.conftest import fresh_database
from tests.unit.gl_assets.transforms.anomaly.plants import NAMES, steady

CONFIG = """
site: plant
start: 2026-01-01T00:00:00Z
collector: {{name: c1}}
anomalies: {{train_after: {train_after}, training_span: 7d, exclude: [setpoint]}}
sources:
  house:
    kind: mqtt
    broker: {{host: 127.0.0.1, port: 1883}}
    client_id: test
    topic_filters: ["p/#"]
    tags:
      - {{sensor_id: flow, unit: kg/h, topic: p/1, equipment: boiler_1}}
      - {{sensor_id: pressure, unit: bar, topic: p/2, equipment: boiler_1}}
      - {{sensor_id: current, unit: A, topic: p/3, equipment: boiler_1}}
      - {{sensor_id: vibration, unit: g, topic: p/4, equipment: boiler_1}}
      - {{sensor_id: setpoint, unit: bar, topic: p/5, equipment: boiler_1}}
      - {{sensor_id: silent, unit: bar, topic: p/6, equipment: pump_1}}
      - {{sensor_id: mode, data: text, topic: p/7, equipment: boiler_1}}
      - {{sensor_id: air, unit: Cel, topic: p/8}}
"""
QUARTER = timedelta(minutes=15)
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
ROWS = 90
"""Rows of 10 s in a window."""

FAULT_FROM = 4
"""Window in which the current rises by half."""

STARTS = [START + number * QUARTER for number in range(6)]


def configuration(train_after: str = "30m") -> Integrations:
    return parse_yaml(CONFIG.format(train_after=train_after), Integrations, name="test.yaml")


def recording() -> Floats:
    values = steady(rows=ROWS * len(STARTS))
    values[ROWS * FAULT_FROM + 30 :, 2] += 20.0
    return values


def store(url: str, start: datetime, values: Floats, *, revision: int = 1) -> None:
    """Store one window: a reading of every sensor each 10 s."""
    times = to_micros(start) + 10_000_000 * np.arange(len(values)) + 3_000_000
    rows = ReadingRows(
        sensor=np.repeat(np.arange(len(NAMES), dtype=np.int32), len(values)),
        time_us=np.tile(times, len(NAMES)),
        value=values.T.ravel(),
        calibrated_value=values.T.ravel(),
        received_us=np.tile(times, len(NAMES)),
        quality_score=np.full(values.size, 100, dtype=np.float32),
        status=np.zeros(values.size, dtype=np.int16),
        sequence=np.arange(values.size, dtype=np.int64),
        defects=np.zeros(values.size, dtype=np.int16),
    )
    units = ("kg/h", "bar", "A", "g")
    with ReadingsStore(url) as database:
        database.replace_window(
            WindowToStore(
                site="plant",
                collector="c1",
                window_start=start,
                window_end=start + QUARTER,
                revision=revision,
                complete=True,
                partial=False,
                run_id="r",
                sensors=tuple(SensorOrigin(n, "house", u, u) for n, u in zip(NAMES, units, strict=True)),
                readings=rows,
                texts=TEXT_ROWS_SCHEMA.empty_table(),
                rejects=REJECTED_ROWS_SCHEMA.empty_table(),
                deduplicated={},
            )
        )


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database in which six windows of boiler_1 are stored and its detectors are trained on the first four."""
    for found in fresh_database(postgres):
        for number, start in enumerate(STARTS):
            store(found, start, recording()[number * ROWS : (number + 1) * ROWS])
        assert train(found).success
        yield found


@cache
def definitions(url: str) -> dg.Definitions:
    """Return what Dagster loads of this plant: with the gates of all tables."""
    return build_definitions(configuration(), resources={"timescale": TimescaleResource(url=url)})


def execute(url: str, job: object, tags: dict[str, str], **more: object) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        found = definitions(url).resolve_job_def(job.name)
        return found.execute_in_process(instance=instance, tags=tags, raise_on_error=False, **more)


def train(url: str, equipment: str = "boiler_1", **span: str) -> dg.ExecuteInProcessResult:
    span = span or {"until": (START + FAULT_FROM * QUARTER).isoformat()}
    config = {"ops": {"scada__anomaly_models": {"config": span}}}
    return execute(url, anomaly_training_job, {"dagster/partition": equipment}, run_config=config)


def score(url: str, first: datetime, last: datetime | None = None) -> dg.ExecuteInProcessResult:
    keys = partition_key(first), partition_key(last or first)
    return execute(
        url,
        anomalies_job,
        {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1]},
    )


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, dict[str, object]]:
    events = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    found = [event.step_materialization_data.materialization for event in events]
    return {m.partition: {name: value.value for name, value in m.metadata.items()} for m in found}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.error.message


def stored(url: str, start: datetime) -> list[AnomalyRow]:
    with psycopg.connect(url) as connection:
        return [row for row in list_anomalies(connection, site="plant", limit=1000) if row.window_start == start]


def test_models_when_trained_then_the_sensors_and_the_span_are_reported(url: str):
    with psycopg.connect(url) as connection:
        model = newest_models(connection, site="plant")["boiler_1"]
    assert tuple(model.sensors) == NAMES
    assert (model.trained_from, model.trained_to) == (START, START + FAULT_FROM * QUARTER)
    assert model.rows == ROWS * FAULT_FROM
    assert model.version >= 1
    shown = metadata(train(url), ANOMALY_MODELS)["boiler_1"]
    assert "| current | by itself |" in shown["sensors"]
    assert shown["training"].startswith("![distance from normal")
    assert shown["version"] > model.version


def test_models_when_there_are_no_readings_then_it_says_so_and_the_stored_ones_stay(url: str):
    result = train(url, "pump_1")
    assert "equipment pump_1" in failure(result)
    assert "needs 200 rows" in failure(result)


def test_models_when_an_instant_cannot_be_read_then_it_says_how_to_write_it(url: str):
    assert "since: 'yesterday' is no instant" in failure(train(url, since="yesterday"))


def test_anomalies_when_a_fault_is_in_the_window_then_it_is_stored_with_what_explains_it(url: str):
    result = score(url, STARTS[FAULT_FROM])
    assert result.success
    found = [row for row in stored(url, STARTS[FAULT_FROM]) if row.kind == "multivariate"]
    fault = max(found, key=lambda row: row.score)
    assert STARTS[FAULT_FROM] + timedelta(seconds=300) <= fault.time <= STARTS[FAULT_FROM] + timedelta(seconds=340)
    assert fault.ended_at == STARTS[FAULT_FROM] + QUARTER
    assert (fault.equipment, fault.sensor_id, fault.found_by) == ("boiler_1", "current", "asset")
    assert fault.details["contributions"]["current"] > 0.8
    (shown,) = metadata(result, ANOMALIES).values()
    assert "| boiler_1 | multivariate | current |" in shown["found"]
    assert shown["distance"].startswith("![distance from normal")
    assert shown["rows"] == ROWS
    assert shown["not_trained_yet"] == ["pump_1"]


def test_anomalies_when_a_window_is_scored_twice_then_the_rows_are_the_same(url: str):
    score(url, STARTS[FAULT_FROM])
    once = stored(url, STARTS[FAULT_FROM])
    score(url, STARTS[FAULT_FROM], STARTS[FAULT_FROM + 1])
    assert stored(url, STARTS[FAULT_FROM]) == once != []


def test_anomalies_when_the_collector_was_first_then_the_asset_replaces_what_it_wrote(url: str):
    start, row = STARTS[5], stored_like(STARTS[5])
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM scada.anomaly_ledger WHERE window_start = %s", (start,))
        assert add_live(connection, start, [row], site="plant", run_id="collector") == 1
        assert add_live(connection, start, [row], site="plant", run_id="collector") == 1
    assert [found.found_by for found in stored(url, start) if found.kind == "outlier"] == ["collector"]
    assert score(url, start).success
    assert {found.found_by for found in stored(url, start)} == {"asset"}
    with psycopg.connect(url) as connection:
        assert add_live(connection, start, [row], site="plant", run_id="collector") == 0


def stored_like(start: datetime) -> AnomalyRow:
    time = start + timedelta(seconds=50)
    return AnomalyRow("boiler_1", "outlier", time, "flow", 9.0, 1.0, 2.0, time + timedelta(seconds=10), 1)


def test_anomalies_when_more_than_half_is_anomalous_then_the_check_says_to_train_again(url: str):
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM scada.anomaly_ledger")
    result = score(url, STARTS[5])
    (check,) = [found for found in result.get_asset_check_evaluations() if found.partition is None]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert score(url, STARTS[0], STARTS[1]).success
    (check,) = [found for found in score(url, STARTS[5]).get_asset_check_evaluations() if found.partition is None]
    assert check.passed


def test_anomalies_when_a_blocking_gate_of_the_readings_is_red_then_nothing_is_scored_until_released(url: str):
    key = partition_key(STARTS[0])
    red = GateResult("scada/sensor_readings", key, 1, "made_up", passed=False, blocking=True)
    with psycopg.connect(url) as connection:
        record_results(connection, [red])
    assert "made_up" in failure(score(url, STARTS[0]))
    with psycopg.connect(url) as connection:
        release(connection, asset=red.asset, partition=key, said=Release("me", "looked at it"))
    assert score(url, STARTS[0]).success


def tick(url: str, build, *, config: Integrations | None = None, instance: dg.DagsterInstance | None = None):
    with instance or dg.DagsterInstance.ephemeral() as found:
        (sensor,) = build(config or configuration())
        resources = {"timescale": TimescaleResource(url=url)}
        # the job's partitions are looked up when a run of one is asked for
        repository = definitions(url).get_repository_def()
        context = dg.build_sensor_context(instance=found, resources=resources, repository_def=repository)
        data = sensor.evaluate_tick(context)
        return data.run_requests or data.skip_message


def test_scoring_trigger_when_a_window_has_a_late_revision_then_it_is_asked_for_again(url: str):
    assert score(url, STARTS[4], STARTS[5]).success
    assert "every stored window is scored" in tick(url, build_anomalies_sensor)
    store(url, STARTS[5], recording()[5 * ROWS :], revision=2)
    (request,) = tick(url, build_anomalies_sensor)
    assert request.tags["dagster/asset_partition_range_start"] == partition_key(STARTS[5])
    assert request.run_key.startswith("anomalies/")
    assert score(url, STARTS[5]).success


def test_scoring_trigger_when_nothing_is_trained_then_it_says_who_does(database_url: str):
    assert "anomaly_training_sensor" in tick(database_url, build_anomalies_sensor)


def test_scoring_trigger_when_the_database_is_away_then_it_waits():
    assert "waiting" in tick("postgresql://127.0.0.1:1/none", build_anomalies_sensor)
    assert "waiting" in tick("postgresql://127.0.0.1:1/none", build_anomaly_training_sensor)


def test_training_trigger_when_readings_are_old_enough_then_it_asks_once_an_hour(database_url: str):
    store(database_url, STARTS[0], recording()[:ROWS])
    (request,) = tick(database_url, build_anomaly_training_sensor)
    assert (request.partition_key, request.tags["gl/training"]) == ("boiler_1", "first")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {**request.tags, "dagster/run_key": request.run_key}
        instance.add_run(dg.DagsterRun("x", tags=tags, status=dg.DagsterRunStatus.FAILURE))
        assert "0 of 2 equipment" in tick(database_url, build_anomaly_training_sensor, instance=instance)


def test_training_trigger_when_sensors_have_changed_then_it_asks_again(url: str):
    assert "1 of 2 equipment" in tick(url, build_anomaly_training_sensor)
    data = configuration().model_dump()
    data["anomalies"]["exclude"] = ("setpoint", "flow")
    (request,) = tick(url, build_anomaly_training_sensor, config=Integrations.model_validate(data))
    assert request.tags["gl/training"] == "changed"
    assert "/v" in request.run_key


@pytest.fixture
def gl(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call `gl anomalies` as a user of this plant would."""
    (tmp_path / "integrations.yaml").write_text(CONFIG.format(train_after="30m"), encoding="utf-8")
    monkeypatch.setenv("GL_CONFIG", str(tmp_path / "integrations.yaml"))
    monkeypatch.setenv("GL_DATABASE_URL", url)
    # Dagster's own storage stays in memory: these tests are not about it
    monkeypatch.setattr("gl_assets.cli.stored.anomalies.gl_home", lambda: tmp_path)
    monkeypatch.delenv("GL_DAGSTER_POSTGRES_URL", raising=False)
    return lambda *words: CliRunner().invoke(cli, ["anomalies", *words], catch_exceptions=False)


def printed(result: Result) -> list[dict[str, Any]]:
    # `gl` itself sends what is logged elsewhere
    found: list[dict[str, Any]] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_list_command_when_there_are_anomalies_then_it_shows_and_filters_them(gl: Callable[..., Result], url: str):
    score(url, STARTS[FAULT_FROM])
    assert "current" in gl("list").stdout
    rows = printed(gl("list", "--kind", "multivariate", "--equipment", "boiler_1", "--json"))
    assert {row["kind"] for row in rows} == {"multivariate"}
    assert rows[0]["details"]["contributions"]
    assert printed(gl("list", "--since", "2100-01-01", "--json")) == []
    assert "nothing was found" in gl("list", "--equipment", "pump_1").stdout


def test_models_command_when_one_equipment_is_trained_then_it_shows_both(gl: Callable[..., Result]):
    rows = {row["equipment"]: row for row in printed(gl("models", "--json"))}
    assert rows["boiler_1"]["state"] == "in force"
    assert rows["pump_1"]["state"] == "not trained yet"
    assert "not trained yet" in gl("models").stdout


def test_train_command_when_a_span_is_named_then_a_new_version_is_in_force(gl: Callable[..., Result]):
    before = printed(gl("models", "--json"))[0]["version"]
    span = ("--from", f"{START:%Y-%m-%dT%H:%M}", "--to", f"{STARTS[3]:%Y-%m-%dT%H:%M}")
    (result,) = printed(gl("train", "boiler_1", *span, "--json"))
    assert (result["version"], result["rows"]) == (before + 1, 3 * ROWS)


def test_train_command_when_it_fails_then_the_reason_is_the_message(gl: Callable[..., Result]):
    with pytest.raises(DataError, match="equipment pump_1.*needs 200 rows"):
        gl("train", "pump_1")
    with pytest.raises(DataError, match="no watched equipment kiln: there is boiler_1, pump_1"):
        gl("train", "kiln")


def test_assets_when_no_equipment_is_watched_then_there_are_none():
    data = configuration().model_dump()
    data["anomalies"]["enabled"] = False
    config = Integrations.model_validate(data)
    builders = (
        build_anomaly_models,
        build_anomalies,
        build_anomaly_jobs,
        build_anomalies_sensor,
        build_anomaly_training_sensor,
    )
    assert [build(config) for build in builders] == [[]] * len(builders)
