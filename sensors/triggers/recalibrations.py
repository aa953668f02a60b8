"""The trigger of new calibrations: starts what a person has asked for, and says what is pending and was not asked for.

Nothing stored is changed unasked: a calibration that was added, changed or withdrawn leaves what is stored as it is
until `gl calibrations apply` says why it should not.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import structlog
from dagster import RunsFilter

from gl_assets.scada.recalibration import pending_windows
from gl_assets.scada.recalibration_job import RECALIBRATION_JOB
from resources.core.errors import PlatformError
from resources.databases.timescale.rework.recalibrations import requests
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.active_runs import ACTIVE
from sensors.triggers.planning import FIRST_PAUSE, LONGEST_PAUSE

LOOK_AGAIN = timedelta(minutes=10)
"""How long what was found pending is told again before it is looked for again: that reads the whole ledger."""


def build_recalibrations_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor for this configuration's calibrations."""

    @dg.sensor(
        name="recalibrations_sensor",
        job_name=RECALIBRATION_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Calibrates stored readings anew once `gl calibrations apply` has asked for it, and says how many "
        "windows were stored under other calibrations than hold now.",
    )
    def recalibrations_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return a run if one was asked for, or what waits to be asked for."""
        now = datetime.now(UTC)
        if context.instance.get_runs_count(RunsFilter(job_name=RECALIBRATION_JOB, statuses=ACTIVE)):
            return dg.SkipReason("a run is calibrating stored readings anew")
        try:
            with timescale.connection() as connection:
                return _look(connection, config, context.cursor, now)
        except (PlatformError, psycopg.Error) as error:
            structlog.get_logger(__name__).warning("recalibrations_wait", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}")

    return recalibrations_sensor


def _look(
    connection: psycopg.Connection, config: Integrations, cursor: str | None, now: datetime
) -> dg.SensorResult | dg.SkipReason:
    book = config.calibration_book.name
    asked = next((one for one in requests(connection, config.site, only_open=True) if one.book == book), None)
    if asked is not None:
        return _ask(asked.recalibration_id, asked.windows, cursor, now)
    memory = _memory(cursor)
    if memory.get("book") != book or now.timestamp() - memory.get("at", 0) > LOOK_AGAIN.total_seconds():
        memory = {"book": book, "at": now.timestamp(), "pending": len(pending_windows(connection, config))}
    reason = (
        f"{memory['pending']} windows were stored under other calibrations than hold now: `gl calibrations pending` "
        "shows them, `gl calibrations apply --because ...` calibrates them anew"
        if memory["pending"]
        else "every stored window is calibrated as the configuration says"
    )
    return dg.SensorResult(skip_reason=reason, cursor=json.dumps(memory))


def _ask(number: int, windows: int, cursor: str | None, now: datetime) -> dg.SensorResult | dg.SkipReason:
    """Return a run for what was asked for; where the last one has got nowhere, after a pause that doubles."""
    memory, state = _memory(cursor), f"{number}/{windows}"
    attempt = memory.get("attempt", 0) + 1 if memory.get("state") == state else 1
    pause: timedelta = min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 10), LONGEST_PAUSE)
    if attempt > 1 and now.timestamp() < memory.get("at", 0) + pause.total_seconds():
        return dg.SkipReason(f"the last run has changed nothing: see the runs of {RECALIBRATION_JOB}")
    remembered = {"state": state, "attempt": attempt, "at": now.timestamp()}
    run = dg.RunRequest(run_key=f"recalibration/{state}/a{attempt}/{now:%Y%m%dT%H%M%S}")
    return dg.SensorResult(run_requests=[run], cursor=json.dumps(remembered))


def _memory(cursor: str | None) -> dict[str, Any]:
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
