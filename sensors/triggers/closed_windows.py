"""The trigger of closed windows: asks for every window whose buffer revision is above the stored one.

A tick waits until something is due, so that a window is asked for within a fraction of a second of its closing; the
daemon alone would look every five seconds at best. Nothing is marked here: the buffer says what there is, the ledger
what is stored, Dagster what is being worked on, and the cursor only counts attempts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import structlog
from dagster import DagsterInstance

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.gates import ASSET
from gl_assets.jobs import sensor_readings_job
from resources.core.errors import PlatformError
from resources.core.windows import partition_key
from resources.databases.timescale.quality.gate_results import unchecked_windows
from resources.databases.timescale.settings import ensure_window
from resources.databases.timescale.window_store.ledger import stored_revisions
from resources.integrations import Integrations
from resources.window_buffer.model import BufferedWindow
from resources.wiring import TimescaleResource, WindowBufferResource
from sensors.triggers.active_runs import active_runs
from sensors.triggers.alarms import raise_not_stored
from sensors.triggers.planning import Memory, Plan, Situation, dump_memory, load_memory, plan
from sensors.triggers.requests import run_requests

TICK_S = 20.0
"""How long a tick waits for something to do. The gRPC limit is 60 s."""

CLOSING_SOON_S = 8.0
"""A tick about to end waits on if a window closes within this time: the daemon may take 5 s to begin the next tick."""

_LOOK_AGAIN_S = 5.0
"""Longest wait between two looks: a run may have died, or the database come back, without the buffer changing."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the trigger saw, in time order: active runs first, so that what they commit meanwhile is seen as stored."""

    windows: Mapping[datetime, BufferedWindow]
    situation: Situation


@dataclass(frozen=True, slots=True)
class ClosedWindows:
    """What the trigger looks at."""

    config: Integrations
    instance: DagsterInstance
    window_buffer: WindowBufferResource
    timescale: TimescaleResource

    def look(self, now: datetime) -> Look:
        """Return what is due, and what is being worked on.

        Raises:
            PlatformError: The database cannot be reached, or holds windows of another length.
        """
        runs = active_runs(self.instance, sensor_readings_job.name, [SENSOR_READINGS], self.config.window)
        windows = {window.window_start: window for window in self.window_buffer.reader().windows()}
        due: dict[datetime, int] = {}
        if windows:
            stored, unchecked = self._stored(min(windows), next(iter(windows.values())).collector)
            due = {
                start: window.revision
                for start, window in windows.items()
                if window.revision > stored.get(start, 0) or start in unchecked
            }
        live_since = now - 2 * self.config.window - self.config.grace - timedelta(seconds=30)
        situation = Situation(due, runs.busy, runs.backlog_runs, now, self.config.window, live_since)
        return Look(windows, situation)

    def _stored(self, since: datetime, collector: str) -> tuple[dict[datetime, int], set[datetime]]:
        site = self.config.site
        with self.timescale.connection() as connection:
            ensure_window(connection, site=site, window=self.config.window)
            stored = stored_revisions(connection, site=site, collector=collector, since=since)
            return stored, set(unchecked_windows(connection, ASSET, site=site, collector=collector, since=since))

    def wait(self, memory: Memory, deadline: Callable[[], float]) -> tuple[Look, Plan]:
        """Look until there is something to ask for or `deadline` (monotonic seconds) has passed."""
        reader, token = self.window_buffer.reader(), ""
        while True:
            token = reader.wait_for_change(token, 0.0)
            now = datetime.now(UTC)
            look = self.look(now)
            found = plan(look.situation, memory)
            remaining = deadline() - time.monotonic()
            if found.asks or found.alarms or remaining <= 0:
                return look, found
            memory = found.memory
            pause = (found.next_at - now).total_seconds() if found.next_at else _LOOK_AGAIN_S
            token = reader.wait_for_change(token, max(0.05, min(remaining, pause, _LOOK_AGAIN_S)))


def tick_deadline(config: Integrations, started: float) -> float:
    """Return when a tick that started at `started` should end: later if a window is about to close just then."""
    left = started + TICK_S - time.monotonic()
    if left > 0:
        return started + TICK_S
    now = datetime.now(UTC)
    # the window that closes next: its end lies at most `grace` in the past
    closes = config.grid.end_of(now - config.grace) + config.grace
    until_close = (closes - now).total_seconds()
    return time.monotonic() + until_close + 1.0 if until_close < CLOSING_SOON_S else started + TICK_S


def waiting_for(config: Integrations, look: Look, found: Plan, now: datetime) -> str:
    """Return the sentence that tells the operator what the trigger waits for."""
    situation = look.situation
    if not look.windows:
        return (
            "waiting for the first window to close: the buffer holds none yet; "
            "check that the collector runs (`gl buffer stats`)"
        )
    pausing = [start for start in situation.due if start not in situation.busy]
    busy = len(situation.due) - len(pausing)
    if pausing:
        oldest = min(pausing)
        attempt = found.memory.get(oldest)
        until = f", next attempt at {found.next_at:%H:%M:%S} UTC" if found.next_at else ""
        tried = (
            f", of which {partition_key(oldest)} has failed {attempt.number} times"
            if attempt and attempt.failed_at
            else ""
        )
        return (
            f"{len(pausing)} windows are due{tried}{until}; {busy} more are being stored; "
            "see the failed runs of sensor_readings_job"
        )
    if busy:
        return f"{busy} windows are being stored by active runs; nothing else is due"
    closes = config.grid.end_of(now - config.grace) + config.grace
    return f"all {len(look.windows)} windows the buffer holds are stored; the next one closes at {closes:%H:%M:%S} UTC"


def build_closed_windows_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor for this configuration's windows."""

    @dg.sensor(
        name="closed_windows_sensor",
        job_name=sensor_readings_job.name,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=1,
        description="Asks for every window that the collector has closed, or closed again after late readings, and "
        "that is not stored yet.",
    )
    def closed_windows_sensor(
        context: dg.SensorEvaluationContext, window_buffer: WindowBufferResource, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return runs for the due windows, or what is waited for."""
        log = structlog.get_logger(__name__)
        if not window_buffer.path().exists():
            return dg.SkipReason(
                f"waiting for the collector: its buffer {window_buffer.path()} does not exist yet; "
                "`gl up` starts one, `gl collect` runs it alone"
            )
        started = time.monotonic()
        watch = ClosedWindows(config, context.instance, window_buffer, timescale)
        try:
            look, found = watch.wait(load_memory(context.cursor), lambda: tick_deadline(config, started))
            if found.alarms:
                raise_not_stored(timescale, config, found)
        except (PlatformError, psycopg.Error) as error:
            log.warning("closed_windows_wait", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}; the collector goes on buffering, nothing is lost")
        cursor = dump_memory(found.memory)
        requests = run_requests(context.instance, "windows", found.asks)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        return dg.SensorResult(skip_reason=waiting_for(config, look, found, datetime.now(UTC)), cursor=cursor)

    return closed_windows_sensor
