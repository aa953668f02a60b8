"""The trigger of alarms: what the collector raised and ended becomes rows; the agents were told long before."""

from pathlib import Path

import dagster as dg
import psycopg
import structlog

from resources.core.errors import PlatformError
from resources.core.process.home import gl_home
from resources.databases.timescale.notes.alarms import record_alarm_changes
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.collector.alarms.journal import STORE_FILE, AlarmJournal

CHANGES_PER_BATCH, BATCHES = 500, 20
"""Changes recorded by one transaction, and transactions in one tick."""


def record_waiting(path: Path, timescale: TimescaleResource, config: Integrations) -> int:
    """Record the changes that wait in the collector's file, and take them out of it; return how many.

    Raises:
        PlatformError: The file cannot be read, or the database cannot be reached: they are recorded by the next tick.
    """
    recorded = 0
    with AlarmJournal(path) as journal:
        for _ in range(BATCHES):
            waiting = journal.oldest(CHANGES_PER_BATCH)
            if not waiting:
                break
            with timescale.connection() as connection:
                changes = [entry.change for entry in waiting]
                record_alarm_changes(connection, changes, site=config.site, collector=config.collector.name)
            # after the commit: a crash in between brings them again, which changes nothing
            journal.remove(waiting[-1].number)
            recorded += len(waiting)
    return recorded


def build_alarm_events_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.sensor(
        name="alarm_events_sensor",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description="Records the alarms that the collector raised and ended in scada.alarms and scada.events.",
    )
    def alarm_events_sensor(context: dg.SensorEvaluationContext, timescale: TimescaleResource) -> dg.SkipReason:
        """Record what waits; it never asks for a run."""
        path = gl_home() / STORE_FILE
        if not path.exists():
            return dg.SkipReason("no collector with alarms has run here yet")
        try:
            recorded = record_waiting(path, timescale, config)
        except (PlatformError, psycopg.Error) as error:
            structlog.get_logger(__name__).warning("alarms_not_recorded", error=str(error).strip())
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        return dg.SkipReason(f"{recorded} changes of alarms recorded" if recorded else "no alarm has changed")

    return alarm_events_sensor
