import dagster as dg
import psycopg
from structlog.testing import capture_logs

from resources.wiring import TimescaleResource
from sensors.triggers.run_failure import build_run_failure_sensor, describe_failure
from tests.integration.dagster_plant import configuration

WINDOWS = {
    "dagster/asset_partition_range_start": "2026-11-21T10:00",
    "dagster/asset_partition_range_end": "2026-11-21T10:30",
    "gl/attempt": "3",
}


def test_failure_when_a_trigger_asked_for_the_run_then_it_says_that_it_is_asked_for_again():
    run = dg.DagsterRun("sensor_readings_job", run_id="1", tags=WINDOWS)
    assert describe_failure(run, "disk full") == (
        "run 1 of sensor_readings_job over 2026-11-21T10:00 to 2026-11-21T10:30, attempt 3 failed: disk full; "
        "what it did not store is asked for again after a pause"
    )


def test_failure_when_a_person_started_the_run_then_it_says_that_nothing_repeats_it():
    run = dg.DagsterRun("broadcast_command", run_id="2", tags={"dagster/partition": "2026-11-21"})
    text = describe_failure(run, "no broker")
    assert text.startswith("run 2 of broadcast_command over 2026-11-21 failed: no broker; it is not repeated by itself")


@dg.op
def breaks() -> None:
    raise dg.Failure("the pump stands still", allow_retries=False)


@dg.job(tags=WINDOWS)
def sensor_readings_job() -> None:
    breaks()


def react(url: str) -> None:
    sensor = build_run_failure_sensor(configuration())
    with dg.DagsterInstance.ephemeral() as instance:
        result = sensor_readings_job.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources={"timescale": TimescaleResource(url=url)},
        ).for_run_failure()
        sensor(context)


def test_run_failure_sensor_when_a_run_fails_then_the_cause_is_a_row_of_the_events(database_url: str):
    react(database_url)
    with psycopg.connect(database_url) as connection:
        (row,) = connection.execute(
            "SELECT event_type, source, message, details->>'attempt' FROM scada.events"
        ).fetchall()
    assert row[:2] == ("run_failed", "sensor_readings_job")
    assert "the pump stands still" in row[2]
    assert row[3] == "3"


def test_run_failure_sensor_when_the_database_is_away_then_it_goes_on():
    with capture_logs() as logs:
        react("postgresql://nobody@127.0.0.1:9/none")
    assert [entry["event"] for entry in logs][-2:] == ["run_failed", "run_failure_not_recorded"]
