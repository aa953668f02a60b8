"""What is raised when a window or an hour cannot be stored however often it is tried."""

from datetime import UTC, datetime

import structlog

from gl_assets.checks.gates import ASSET, STORED_GATE
from resources.core.windows import partition_key
from resources.databases.timescale.notes.events import record_event
from resources.databases.timescale.quality.gate_results import GateResult, record_results
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.planning import Plan

log = structlog.get_logger(__name__)


def raise_not_stored(timescale: TimescaleResource, config: Integrations, found: Plan) -> None:
    """Log, record as an event and as a red gate every window that keeps failing; the attempts go on.

    Raises:
        PlatformError: The database cannot be reached: the alarm is raised again by the next tick.
    """
    with timescale.connection() as connection:
        for start in found.alarms:
            attempt, key = found.memory[start], partition_key(start)
            message = (
                f"window {key} could not be stored in {attempt.number} attempts; it stays in the buffer and is tried "
                "every 10 minutes; see the failed runs of sensor_readings_job"
            )
            log.error("window_not_stored", window=key, revision=attempt.revision, attempts=attempt.number)
            details = {"window": key, "revision": attempt.revision, "attempts": attempt.number}
            record_event(
                connection,
                config.site,
                event_type="window_not_stored",
                source=key,
                message=message,
                details=details,
                time=datetime.now(UTC),
            )
            gate = GateResult(ASSET, key, attempt.revision, STORED_GATE, passed=False, blocking=False, metadata=details)
            record_results(connection, [gate])
