"""The retention job against real databases: TimescaleDB, and PostgreSQL alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from gl_assets.definitions import build_definitions
from gl_assets.schedules import build_upkeep_schedules
from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ConfigError
from resources.databases.timescale.migrate import migrate
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from tests.integration.dagster_plant import configuration_text

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)


def limited(retention: str) -> Integrations:
    return parse_yaml(configuration_text() + retention, Integrations, name="test.yaml")


def fill(url: str, ages: list[timedelta]) -> None:
    """Give every table one row of each age."""
    with psycopg.connect(url) as connection:
        for number, time in enumerate(NOW - age for age in ages):
            connection.execute("INSERT INTO scada.readings VALUES (%s, 1, 1, now(), 1, 1, 100, 0)", (time,))
            connection.execute(
                "INSERT INTO scada.text_readings VALUES (%s, 't', 'on', 'good', 's', 'c', 'plant', now())", (time,)
            )
            connection.execute(
                "INSERT INTO scada.hourly_readings (hour, sensor_id, readings, unit, site)"
                " VALUES (%s, 'a', 1, 'bar', 'plant')",
                (time,),
            )
            connection.execute(
                "INSERT INTO scada.rejected_readings VALUES ('c', %s, NULL, NULL, 's', '{}', '{no}', %s, 'r', now(), 'p')",
                (number, time),
            )


def left(url: str) -> dict[str, list[timedelta]]:
    """Return kind -> ages of the rows that stand."""
    columns = {
        "readings": "time FROM scada.readings",
        "texts": "time FROM scada.text_readings",
        "hours": "hour FROM scada.hourly_readings",
        "rejected": "window_start FROM scada.rejected_readings",
    }
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return {
            kind: sorted(NOW - row[0] for row in connection.execute(f"SELECT {what}")) for kind, what in columns.items()
        }


def run(config: Integrations, url: str) -> dg.ExecuteInProcessResult:
    job = build_definitions(config, resources={"timescale": TimescaleResource(url=url)}).resolve_job_def(
        "retention_job"
    )
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def said(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return the metadata of the step's output."""
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


ALL = "retention: {readings: 100d, texts: 100d, hours: 200d, rejected: 10d}\n"
AGES = [DAY, 99 * DAY, 150 * DAY, 300 * DAY]


def test_retention_when_the_database_has_chunks_then_old_chunks_go_and_the_run_names_them(database_url: str):
    fill(database_url, AGES)
    result = run(limited(ALL), database_url)
    assert result.success
    found = left(database_url)
    assert found["readings"] == [DAY, 99 * DAY]
    assert found["texts"] == [DAY, 99 * DAY]
    assert found["hours"] == [DAY, 99 * DAY, 150 * DAY]
    assert found["rejected"] == [DAY]
    told = said(result)
    assert told["readings"].startswith("dropped 2 chunks before ")
    assert "_hyper_" in told["readings"]
    assert told["rejected"].startswith("dropped 3 rows before ")


def test_retention_when_the_database_is_plain_postgresql_then_old_rows_go(empty_database_url: str):
    migrate(empty_database_url, with_timescale=False)
    fill(empty_database_url, AGES)
    result = run(limited(ALL), empty_database_url)
    found = left(empty_database_url)
    assert (found["readings"], found["hours"]) == ([DAY, 99 * DAY], [DAY, 99 * DAY, 150 * DAY])
    assert said(result)["readings"].startswith("dropped 2 rows before ")


def test_retention_when_nothing_is_older_than_the_limit_then_nothing_goes(database_url: str):
    ages = [DAY, 100 * DAY - timedelta(hours=2)]
    fill(database_url, ages)
    result = run(limited("retention: {readings: 100d, texts: 100d, hours: 100d, rejected: 100d}\n"), database_url)
    assert left(database_url) == dict.fromkeys(("readings", "texts", "hours", "rejected"), ages)
    assert said(result)["readings"].startswith("dropped no chunks before ")


def test_retention_when_a_kind_has_no_limit_then_it_stays(database_url: str):
    fill(database_url, AGES)
    result = run(limited("retention: {rejected: 10d}\n"), database_url)
    assert left(database_url)["readings"] == AGES
    assert set(said(result)) == {"rejected"}


def test_retention_when_not_configured_then_the_schedule_rests_and_the_job_drops_nothing(database_url: str):
    fill(database_url, AGES)
    config = limited("")
    assert said(run(config, database_url)) == {}
    assert left(database_url)["readings"] == AGES
    states = {schedule.name: schedule.default_status for schedule in build_upkeep_schedules(config)}
    assert states["retention_schedule"] is dg.DefaultScheduleStatus.STOPPED


def test_retention_when_configured_then_the_schedule_runs():
    states = {schedule.name: schedule.default_status for schedule in build_upkeep_schedules(limited(ALL))}
    assert states["retention_schedule"] is dg.DefaultScheduleStatus.RUNNING


def test_retention_when_the_database_is_away_then_the_run_says_so():
    result = run(limited(ALL), "postgresql://u:p@127.0.0.1:1/none")
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "127.0.0.1:1/none: no connection" in str(failure.step_failure_data.error)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("{readings: 5m}", "retention.readings"), ("{readings: 100d, hours: 10d}", "hours would be missing")],
    ids=["too-short", "hours-before-readings"],
)
def test_retention_when_a_limit_makes_no_sense_then_the_configuration_is_refused(wrong: str, message: str):
    with pytest.raises(ConfigError, match=message):
        limited(f"retention: {wrong}\n")
