"""The triggers of anomalies: windows are scored once they are stored, and equipment is trained when it is time.

Both look at the database alone. A window is due while its revision is not the one it was scored at; an equipment, while
it has no detectors, or such of another configuration, or old ones. History from before the first training is left to
backfills.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import structlog
from dagster import DagsterInstance

from gl_assets.asset_keys import ANOMALIES, SENSOR_READINGS
from gl_assets.scada.anomaly.jobs import anomalies_job, anomaly_training_job
from resources.core.errors import PlatformError
from resources.core.windows import parse_partition_key, partition_key
from resources.databases.timescale.anomaly.anomalies import due_windows
from resources.databases.timescale.anomaly.anomaly_models import StoredModel, first_trained, newest_models
from resources.databases.timescale.anomaly.equipment_rows import first_reading
from resources.databases.timescale.quality.gate_results import red_gates
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.active_runs import active_runs, run_key_is_taken
from sensors.triggers.planning import Situation, dump_memory, load_memory, plan
from sensors.triggers.requests import run_requests

BACKLOG = timedelta(days=7)
"""How far back a window is looked for that was stored late: an older one is scored by a backfill."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_RETRY_EVERY = timedelta(hours=1)
"""How often a training that failed is asked for again: there must be more readings by then."""


@dataclass(frozen=True, slots=True)
class StoredWindows:
    """What the trigger of scoring looks at."""

    config: Integrations
    instance: DagsterInstance
    timescale: TimescaleResource

    def look(self, now: datetime) -> tuple[Situation, str]:
        """Return the windows to score, and what is waited for where there is none.

        Raises:
            PlatformError: The database cannot be reached.
        """
        config = self.config
        runs = active_runs(self.instance, anomalies_job.name, [ANOMALIES], config.window)
        equipment = config.anomalies.equipment(config.tags().values())
        due: dict[datetime, int] = {}
        held: list[str] = []
        with self.timescale.connection() as connection:
            models = newest_models(connection, site=config.site, equipment=list(equipment))
            # windows from before the first training are left to backfills
            first = first_trained(connection, site=config.site, equipment=list(equipment))
            if first is not None:
                since = config.grid.start_of(max(first, now - BACKLOG))
                due = due_windows(connection, list(models), site=config.site, since=since)
                red = red_gates(connection, SENSOR_READINGS.to_user_string(), [partition_key(s) for s in due])
                held = sorted({gate.partition for gate in red})
        for key in held:
            del due[parse_partition_key(key)]
        situation = Situation(due, runs.busy, runs.backlog_runs, now, config.window, now - 2 * config.window)
        return situation, _waits_for(models, held)


def _waits_for(models: Mapping[str, StoredModel], held: Sequence[str]) -> str:
    if not models:
        return "no equipment is trained yet; anomaly_training_sensor says what it waits for"
    if held:
        return f"a blocking gate of {held[0]} is red: `gl gates list`, then `gl gates release {held[0]}`"
    return "every stored window is scored; waiting for the next one"


def build_anomalies_sensor(config: Integrations) -> list[dg.SensorDefinition]:
    """Return the sensor, in a list that is empty where no equipment is watched."""
    if not config.anomalies.equipment(config.tags().values()):
        return []

    @dg.sensor(
        name="anomalies_sensor",
        job=anomalies_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Asks for scada/anomalies of every stored window, again after a late revision.",
    )
    def anomalies_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return runs for the windows that are due, or what they wait for."""
        now, log = datetime.now(UTC), structlog.get_logger(__name__)
        try:
            situation, waits_for = StoredWindows(config, context.instance, timescale).look(now)
        except (PlatformError, psycopg.Error) as error:
            log.warning("anomalies_wait", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        found = plan(situation, load_memory(context.cursor))
        for start in found.alarms:
            log.error("window_not_scored", window=partition_key(start), attempts=found.memory[start].number)
        cursor, requests = dump_memory(found.memory), run_requests(context.instance, "anomalies", found.asks)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        if situation.due:
            waits_for = f"{len(situation.due)} windows are being scored, or pause after a failure"
        return dg.SensorResult(skip_reason=waits_for, cursor=cursor)

    return [anomalies_sensor]


def why_train(
    config: Integrations, sensors: Mapping[str, str], stored: StoredModel | None, since: datetime | None, now: datetime
) -> str | None:
    """Return why an equipment should be trained now, as a word for the run; None: it should not.

    Args:
        config: The configuration.
        sensors: Sensor -> canonical unit.
        stored: The detectors in force.
        since: Time of the oldest reading within the span that is trained on.
        now: The present.
    """
    block = config.anomalies
    if since is None or now - since < block.train_after:
        return None
    if stored is None or stored.trained_at is None:
        return "first"
    if stored.fingerprint != block.fingerprint(sensors):
        return "changed"
    return "old" if now - stored.trained_at >= block.retrain_after else None


def build_anomaly_training_sensor(config: Integrations) -> list[dg.SensorDefinition]:
    """Return the sensor, in a list that is empty where no equipment is watched."""
    equipment = config.anomalies.equipment(config.tags().values())
    if not equipment:
        return []

    @dg.sensor(
        name="anomaly_training_sensor",
        job=anomaly_training_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Asks for the training of an equipment's detectors: the first, after changes, and when they age.",
    )
    def anomaly_training_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return a run per equipment that is to be trained."""
        now = datetime.now(UTC)
        try:
            with timescale.connection() as connection:
                stored = newest_models(connection, site=config.site, equipment=list(equipment))
                oldest = {
                    name: first_reading(connection, sensors, since=now - config.anomalies.training_span)
                    for name, sensors in equipment.items()
                }
        except (PlatformError, psycopg.Error) as error:
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        requests = []
        for name, sensors in equipment.items():
            model = stored.get(name)
            why = why_train(config, sensors, model, oldest[name], now)
            # one attempt per equipment, version and hour: Dagster never repeats a run key
            key = f"train/{name}/v{model.version + 1 if model else 1}/{(now - _EPOCH) // _RETRY_EVERY}"
            if why is not None and not run_key_is_taken(context.instance, key):
                requests.append(dg.RunRequest(run_key=key, partition_key=name, tags={"gl/training": why}))
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SkipReason(_trained(config, list(equipment), list(stored)))

    return [anomaly_training_sensor]


def _trained(config: Integrations, equipment: Sequence[str], stored: Sequence[str]) -> str:
    untrained = sorted(set(equipment) - set(stored))
    if not untrained:
        return f"all {len(equipment)} equipment have detectors of the present configuration"
    return (
        f"{len(stored)} of {len(equipment)} equipment have detectors; {untrained[0]} is trained once its oldest "
        f"reading is {config.anomalies.train_after} old, and a failed training tried again after an hour"
    )
