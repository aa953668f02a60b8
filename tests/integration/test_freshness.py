"""Freshness of tables: nothing is asked of what never was, and what waits too long is named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from gl_assets.checks.freshness import (
    JOB_NAME,
    build_freshness_checks,
    fresh_tables,
    freshness_jobs,
    freshness_schedules,
    judge_freshness,
)
from gl_assets.scada.run import run_windows
from gl_assets.scada.sensor_readings import build_sensor_readings
from resources.databases.timescale.derived.hours import record_hour
from resources.integrations import Integrations
from resources.wiring import TimescaleResource, WindowBufferResource
from tests.integration.dagster_plant import HOUR, Plant, configuration

QUARTERS = [HOUR + number * timedelta(minutes=15) for number in range(4)]


def everything_off() -> Integrations:
    plain = configuration().model_dump()
    plain["quality"]["gates"] = {"all": {"freshness": {"effect": "off"}}}
    return Integrations.model_validate(plain)


@pytest.fixture
def age(database_url: str) -> Callable[[str, datetime], tuple[bool, object]]:
    """Returns what a gate says at a time: passed, and what it names."""
    tables = {table.gate.name: table for table in fresh_tables(configuration())}

    def look(name: str, now: datetime) -> tuple[bool, object]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            found = judge_freshness(connection, tables[name], now, "run")
        what = found.metadata.get("what")
        return found.passed, None if what is None else what.value

    return look


def test_fresh_when_nothing_was_ever_stored_then_every_table_passes(
    database_url: str, age: Callable[[str, datetime], tuple[bool, object]]
):
    for table in fresh_tables(configuration()):
        assert age(table.gate.name, datetime.now(UTC)) == (True, None), table.gate.name


def test_fresh_when_windows_grow_old_and_hours_wait_then_both_are_named(
    tmp_path: Path, database_url: str, age: Callable[[str, datetime], tuple[bool, object]]
):
    Plant(tmp_path, configuration()).close_windows(*QUARTERS)
    assert run_windows(configuration(), tmp_path, database_url).failed == []
    end, now = HOUR + timedelta(hours=1), datetime.now(UTC)
    assert age("sensor_readings_are_fresh", end + timedelta(minutes=45)) == (True, "2026-11-21T10:45")
    assert age("sensor_readings_are_fresh", end + timedelta(minutes=46)) == (False, "2026-11-21T10:45")
    assert age("hourly_readings_are_fresh", now) == (True, "2026-11-21T10:00")
    assert age("hourly_readings_are_fresh", now + timedelta(hours=2)) == (False, "2026-11-21T10:00")
    with psycopg.connect(database_url) as connection:
        record_hour(connection, "scada/hourly_readings", HOUR, revision=4, rows=6, run_id="test")
    assert age("hourly_readings_are_fresh", now + timedelta(hours=2)) == (True, None)
    assert age("boiler_balances_are_fresh", now + timedelta(hours=2)) == (False, "2026-11-21T10:00")


def test_fresh_when_agents_are_silent_and_a_command_stays_open_then_both_are_named(
    database_url: str, age: Callable[[str, datetime], tuple[bool, object]]
):
    now = datetime.now(UTC)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO agents.registry (agent_id, agent_name, agent_type, status, last_heartbeat)"
            " VALUES ('GL-002', 'x', 'x', 'online', %s)",
            (now,),
        )
        connection.execute(
            "INSERT INTO agents.messages (message_id, message_type, priority, source_agent, target_agents, payload,"
            " sent_at, deadline, status) VALUES ('m1', 'command', 'normal', 'GL-001', '{GL-002}', '{}', %s, %s, 'x')",
            (now, now),
        )
        connection.execute(
            "INSERT INTO agents.deliveries (message_id, agent_id, state) VALUES ('m1', 'GL-002', 'sent')"
        )
    assert age("agents_are_fresh", now + timedelta(minutes=4)) == (True, "GL-002")
    assert age("agents_are_fresh", now + timedelta(minutes=6)) == (False, "GL-002")
    assert age("answers_are_fresh", now + timedelta(minutes=11)) == (False, "m1")


def test_job_when_run_then_every_table_has_a_result_with_a_plot(database_url: str):
    config = configuration()
    job = dg.Definitions(
        assets=[build_sensor_readings(config)],
        asset_checks=build_freshness_checks(config),
        jobs=freshness_jobs(config),
        resources={"timescale": TimescaleResource(url=database_url), "window_buffer": WindowBufferResource()},
    ).resolve_job_def(JOB_NAME)
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert found.keys() == {table.gate.name for table in fresh_tables(config)}
    assert all(one.passed for one in found.values())
    assert "base64" in found["sensor_readings_are_fresh"].metadata["plot"].value


def test_freshness_when_all_of_it_is_off_then_there_is_neither_check_nor_job_nor_schedule():
    config = everything_off()
    assert (build_freshness_checks(config), freshness_jobs(config), freshness_schedules(config)) == ([], [], [])
