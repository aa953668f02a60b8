"""Gates of hours: what is red holds process heat back, within a run and across runs, until it is released."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from gl_assets.asset_keys import BOILER_EFFICIENCY, HOURLY_READINGS
from gl_assets.checks.gated_tables import build_gates, judgings
from gl_assets.checks.gates import SOURCES_GATE
from gl_assets.checks.table_gates import facts_of
from gl_assets.jobs import hourly_readings_job
from gl_assets.process_heat.boiler_efficiency import build_boiler_efficiency
from gl_assets.scada.hourly_readings import build_hourly_readings
from gl_assets.scada.rejudging import rejudge
from gl_assets.scada.run import run_windows
from gl_assets.scada.sensor_readings import build_sensor_readings
from resources.core.contradictions import CONTRADICTIONS
from resources.databases.timescale.derived.hours import due_hours
from resources.databases.timescale.quality.gate_results import (
    GateResult,
    Release,
    history,
    list_results,
    record_results,
    red_gates,
    release,
)
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.wiring import TimescaleResource, WindowBufferResource
from sensors.triggers.hour_complete import held_by_gate
from tests.integration.dagster_plant import HOUR, VALUES, Plant, configuration

QUARTERS = [HOUR + number * timedelta(minutes=15) for number in range(4)]
KEY, NEXT = "2026-11-21T10:00", "2026-11-21T11:00"
HOURLY, BOILERS = HOURLY_READINGS.to_user_string(), BOILER_EFFICIENCY.to_user_string()


def narrowed(maximum: float = 39.0) -> Integrations:
    """The plant, whose pressure of 40 bar may not exceed `maximum`, and whose gates of range block."""
    plain = configuration().model_dump()
    tags = list(plain["sources"]["boiler_house"]["tags"])
    tags[2] = tags[2] | {"maximum": maximum}
    plain["sources"]["boiler_house"]["tags"] = tags
    plain["quality"]["gates"] = {HOURLY: {"range": {"effect": "block"}}}
    return Integrations.model_validate(plain)


@pytest.fixture
def stored(tmp_path: Path, database_url: str) -> str:
    """A database in which one hour is stored."""
    Plant(tmp_path, configuration()).close_windows(*QUARTERS)
    assert run_windows(configuration(), tmp_path, database_url).failed == []
    return database_url


def make_hours(
    url: str, config: Integrations, first: str = KEY, last: str = KEY
) -> tuple[dg.ExecuteInProcessResult, set[tuple[str, str]]]:
    job = dg.Definitions(
        assets=[build_sensor_readings(config), build_hourly_readings(config), build_boiler_efficiency(config)],
        asset_checks=[
            check
            for check in build_gates(config)
            if {key.asset_key for key in check.check_keys} <= {HOURLY_READINGS, BOILER_EFFICIENCY}
        ],
        jobs=[hourly_readings_job],
        resources={"timescale": TimescaleResource(url=url), "window_buffer": WindowBufferResource()},
    ).resolve_job_def("hourly_readings_job")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        assets = (HOURLY_READINGS, BOILER_EFFICIENCY)
        return result, {
            (key.to_user_string(), part) for key in assets for part in instance.get_materialized_partitions(key)
        }


def summaries(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in result.get_asset_check_evaluations() if found.partition is None}


def test_hour_when_all_is_well_then_every_gate_passes_with_figures_and_a_plot(stored: str):
    result, _ = make_hours(stored, configuration())
    assert result.success
    found = summaries(result)
    assert {name for name, said in found.items() if not said.passed} == set()
    assert found.keys() >= {
        "hourly_readings_match_the_schema",
        "hourly_readings_are_complete",
        "hourly_readings_are_within_their_limits",
        "hourly_readings_stand_once",
        "hourly_readings_score_high_enough",
        "boiler_balances_match_the_schema",
    }
    complete = found["hourly_readings_are_complete"].metadata
    assert (complete["expected"].value, complete["missing"].value, complete["measured"].value) == (6, 0, 1.0)
    assert complete["plot"].value.startswith("![hourly_readings_are_complete](data:image/png;base64,")
    with psycopg.connect(stored) as connection:
        kept = list_results(connection, red_only=False, asset=HOURLY)
    assert {(row.partition, row.passed, row.revision) for row in kept} == {(KEY, True, 4)}


def test_hour_when_a_blocking_gate_is_red_then_process_heat_waits_for_the_release(stored: str):
    config = narrowed()
    result, made = make_hours(stored, config)
    assert not result.success
    assert made == {(HOURLY, KEY)}
    red = summaries(result)["hourly_readings_are_within_their_limits"]
    assert (red.passed, red.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "| B1/P |" in red.metadata["first_failing_rows"].value
    with psycopg.connect(stored) as connection:
        (state,) = due_hours(connection, [HOURLY, BOILERS], site="plant")
        waiting = held_by_gate(connection, state)
        assert waiting is not None
        assert f"gl gates release {KEY} --asset {HOURLY}" in waiting.reason
        release(connection, asset=HOURLY, partition=KEY, said=Release("M. Keller", "the limit is too narrow"))
        assert held_by_gate(connection, state) is None
    again, made = make_hours(stored, config)
    assert again.success
    assert made == {(HOURLY, KEY), (BOILERS, KEY)}
    with psycopg.connect(stored) as connection:
        rows = history(connection, asset=HOURLY, partition=KEY, check=red.check_name)
    assert [(row.passed, row.released_by, row.released_because) for row in rows] == [
        (False, "M. Keller", "the limit is too narrow")
    ] * 2


def test_hour_when_its_windows_change_then_a_release_of_before_no_longer_counts(stored: str):
    config = narrowed()
    make_hours(stored, config)
    with psycopg.connect(stored) as connection:
        release(connection, asset=HOURLY, partition=KEY, said=Release("M. Keller", "fine"))
        connection.execute("UPDATE scada.window_ledger SET stored_revision = stored_revision + 1")
        (state,) = due_hours(connection, [HOURLY, BOILERS], site="plant")
        assert held_by_gate(connection, state) is None  # it is made anew, and then judged
    assert not make_hours(stored, config)[0].success
    with psycopg.connect(stored) as connection:
        assert [gate.partition for gate in red_gates(connection, HOURLY, [KEY])] == [KEY]


def test_hours_when_one_of_two_is_red_then_the_other_goes_on_and_the_red_one_is_named(stored: str):
    with psycopg.connect(stored) as connection:
        connection.execute(
            "INSERT INTO scada.readings SELECT time + interval '1 hour', value - 5, value - 5, ingested_at, sensor_key,"
            " origin_key, quality_score, status FROM scada.readings"
        )
    result, made = make_hours(stored, narrowed(), KEY, NEXT)
    assert made == {(HOURLY, KEY), (HOURLY, NEXT), (BOILERS, NEXT)}
    (event,) = result.get_step_failure_events()
    assert f"process_heat/boiler_efficiency {KEY} is not made" in event.step_failure_data.error.message


def test_hour_when_a_window_is_red_then_it_is_not_made_by_hand_either(stored: str):
    red = GateResult("scada/sensor_readings", "2026-11-21T10:15", 1, "any", passed=False, blocking=True)
    with psycopg.connect(stored) as connection:
        record_results(connection, [red])
    result, made = make_hours(stored, configuration())
    assert made == set()
    (event,) = result.get_step_failure_events()
    assert "gl gates release 2026-11-21T10:15 --asset scada/sensor_readings" in event.step_failure_data.error.message


def watched() -> Integrations:
    """The plant, whose boiler is watched for anomalies."""
    plain = configuration().model_dump()
    for source in plain["sources"].values():
        source["tags"] = [tag | {"equipment": "boiler_1"} for tag in source["tags"]]
    return Integrations.model_validate(plain)


def test_tables_when_nothing_is_stored_then_there_is_nothing_to_judge_but_the_agents(database_url: str):
    with psycopg.connect(database_url) as connection:
        newest = {judging.table.noun: judging.newest(connection) for judging in judgings(watched())}
    assert {noun for noun, key in newest.items() if key is not None} == {"agents"}


def test_tables_of_agents_and_anomalies_when_rows_are_stored_then_they_are_read_with_what_is_expected(
    database_url: str,
):
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO agents.registry (agent_id, agent_name, agent_type, status, last_heartbeat, performance_score,"
            " declared) VALUES ('GL-002', 'x', 'x', 'online', now(), 0.5, true),"
            " ('GL-003', 'x', 'x', 'offline', NULL, NULL, true)"
        )
        connection.execute(
            "INSERT INTO agents.messages (message_id, message_type, priority, source_agent, target_agents, payload,"
            " sent_at, deadline, status) VALUES ('m1', 'command', 'normal', 'GL-001', '{}', '{}', now(), now(), 'x')"
        )
        connection.execute(
            "INSERT INTO agents.deliveries (message_id, agent_id, state) VALUES ('m1', 'GL-002', 'answered'),"
            " ('m1', 'GL-003', 'expired')"
        )
        connection.execute(
            "INSERT INTO agents.responses (message_id, correlation_id, agent_id, payload, received_at, latency_ms)"
            """ VALUES ('r1', 'm1', 'GL-002', '{"status": "ok"}', now(), 5)"""
        )
        connection.execute(
            "INSERT INTO scada.anomaly_models (site, equipment, version, fingerprint, model, sensors, trained_from,"
            " trained_to, rows, run_id) SELECT 'plant', e, 1, 'f', '{}', '{}', now(), now(), 1, 'r'"
            " FROM unnest(ARRAY['boiler_1', 'boiler_2']) e"
        )
        connection.execute(
            "INSERT INTO scada.anomaly_ledger (site, window_start, equipment, revision, model_version, rows, anomalous,"
            " run_id) VALUES ('plant', %s, 'boiler_1', 1, 1, 90, 9, 'r')",
            (HOUR,),
        )
        connection.execute(
            "INSERT INTO scada.anomalies (site, window_start, equipment, kind, time, sensor_id, value, expected, score,"
            " ended_at, model_version, run_id) VALUES"
            " ('plant', %(start)s, 'boiler_1', 'outlier', %(start)s, 'B1/P', 1, 2, 3, %(start)s, 1, 'r')",
            {"start": HOUR},
        )
        parts = {}
        for judging in judgings(watched()):
            key = judging.newest(connection)
            if key is not None:
                parts[judging.table.noun] = (judging.table, judging.read(connection, key))
    assert parts.keys() == {"agents", "answers", "anomalies"}
    for table, part in parts.values():
        facts = facts_of(table, part)
        assert (facts.broken.failing, facts.outside.failing, facts.repeated.failing) == (0, 0, 0), facts
    assert {noun: (list(part.missing), part.score) for noun, (_, part) in parts.items()} == {
        "agents": (["GL-003"], 50.0),
        "answers": (["GL-003"], 100.0),
        "anomalies": (["boiler_2"], 90.0),
    }


def test_gate_when_it_warns_instead_of_blocking_then_its_newest_result_counts(database_url: str):
    found = GateResult("scada/sensor_readings", KEY, 1, "g", passed=False, blocking=True)
    for later in (replace(found, blocking=False), replace(found, revision=2, passed=True, blocking=False)):
        with psycopg.connect(database_url) as connection:
            record_results(connection, [found])
            assert red_gates(connection, found.asset, [KEY]) != []
            record_results(connection, [later])
            assert red_gates(connection, found.asset, [KEY]) == []


def test_gate_when_released_and_gaps_are_looked_at_then_it_stays_released(tmp_path: Path, database_url: str):
    plain = configuration().model_dump()
    plain["quality"]["gates"] = {"scada/sensor_readings": {SOURCES_GATE: {"effect": "block"}}}
    config = Integrations.model_validate(plain)
    plant = Plant(tmp_path, config)
    boiler = tuple(sensor for sensor in VALUES if sensor != "Y/AIR")
    plant.close_windows(HOUR, *QUARTERS[1:2], sensors=boiler)  # the first window is partial, and exempt
    run_windows(config, tmp_path, database_url)
    key = "2026-11-21T10:15"
    with psycopg.connect(database_url) as connection:
        (red,) = red_gates(connection, "scada/sensor_readings", [key])
        assert red.check == SOURCES_GATE
        release(connection, asset=red.asset, partition=key, said=Release("M. Keller", "the yard is closed"))
    with ReadingsStore(database_url) as store:
        judged = rejudge(store, config, QUARTERS[1], run_id="gaps")
    assert [result.released_by for result in judged.results if not result.passed] == ["M. Keller"]
    with psycopg.connect(database_url) as connection:
        assert red_gates(connection, red.asset, [key]) == []
        (newest,) = record_results(connection, [replace(red, released_by=None)])
        assert newest.released_by == "M. Keller"
        other = {**red.metadata, "collector": "c2"}
        record_results(connection, [replace(red, released_by=None)])
        (of_another,) = record_results(connection, [replace(red, released_by=None, metadata=other)])
        assert of_another.released_by is None


def contradicted(url: str) -> tuple[bool, float]:
    """Return what the gate of duplicates said last of the first window."""
    with psycopg.connect(url) as connection:
        found = history(
            connection, asset="scada/sensor_readings", partition=KEY, check="no_reading_contradicts_another"
        )
    return found[0].passed, found[0].metadata["measured"]


def test_contradictions_when_found_by_buffer_or_store_then_the_gate_counts_all_of_them(
    tmp_path: Path, database_url: str
):
    plant = Plant(tmp_path, configuration())
    plant.move_to(HOUR + timedelta(minutes=14))
    plant.send(HOUR)
    plant.send(HOUR, sensors=("Y/AIR",), every_s=300, shift=1.0)  # three of them, with another value
    plant.move_to(HOUR + timedelta(minutes=16))
    run_windows(plant.config, tmp_path, database_url)
    assert contradicted(database_url) == (False, 3)

    with psycopg.connect(database_url) as connection:  # as earlier versions stored them, and as the store words them
        for sequence, reason in enumerate(CONTRADICTIONS, start=-9):
            connection.execute(
                "INSERT INTO scada.rejected_readings SELECT collector, %s, time, sensor_id, source, raw, ARRAY[%s, 'x'],"
                " window_start, run_id, rejected_at, site FROM scada.rejected_readings WHERE sequence > 0 LIMIT 1",
                (sequence, reason),
            )
    with ReadingsStore(database_url) as store:
        rejudge(store, plant.config, HOUR, run_id="again", brought=1)
    assert contradicted(database_url) == (False, 6)
