"""The trigger of complete hours: makes hourly readings and process heat once an hour's windows are stored and good.

An hour waits for its windows to be stored at their last revision and for red blocking gates, of its windows and of its
own rows, to be released. A late revision raises the hour's revision above what its assets were made from, so the hour
is asked for again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import structlog
from dagster import DagsterInstance

from gl_assets.asset_keys import HOURLY_ASSETS, HOURLY_READINGS
from gl_assets.checks.gates import ASSET
from gl_assets.checks.holding import why_held
from gl_assets.jobs import hourly_readings_job
from gl_assets.partitions import HOUR, windows_of_hour
from resources.core.errors import PlatformError
from resources.core.windows import partition_key
from resources.databases.timescale.derived.hours import HourState, due_hours, recorded_revision
from resources.databases.timescale.quality.gate_results import red_gates
from resources.integrations import Integrations
from resources.window_buffer.model import BufferedWindow
from resources.wiring import TimescaleResource, WindowBufferResource
from sensors.triggers.active_runs import active_runs
from sensors.triggers.planning import Situation, dump_memory, load_memory, plan
from sensors.triggers.requests import run_requests

NEVER_OPENED_AFTER = timedelta(minutes=1)
"""A window that neither buffer nor ledger knows this long after it should have closed was never opened: a gap."""

LIVE_HOURS = timedelta(hours=3)
"""Hours this young go before the backlog."""

_ALONE_AFTER = 2
"""After so many failed attempts an hour is asked for alone, so that it cannot hold up its neighbours."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An hour that is not ready, and the sentence that says why."""

    hour: datetime
    reason: str


def judge_hour(
    config: Integrations, state: HourState, held: Mapping[datetime, BufferedWindow], now: datetime
) -> Waiting | None:
    """Return why the windows of an hour are not all there yet, None if they are."""
    closed_at = state.hour + HOUR + config.grace
    if now < closed_at:
        return Waiting(state.hour, f"it is not over before {closed_at:%H:%M:%S} UTC")
    for start in windows_of_hour(config, state.hour):
        window = held.get(start)
        if window is None:
            if start not in state.windows and now < closed_at + NEVER_OPENED_AFTER:
                return Waiting(state.hour, f"window {partition_key(start)} has not closed yet")
        elif window.is_open or window.revision > state.stored.get((window.collector, start), 0):
            return Waiting(state.hour, f"window {partition_key(start)} is not stored at its last revision yet")
    return None


@dataclass(frozen=True, slots=True)
class CompleteHours:
    """What the trigger looks at."""

    config: Integrations
    instance: DagsterInstance
    window_buffer: WindowBufferResource
    timescale: TimescaleResource

    def look(self, now: datetime) -> tuple[Situation, list[Waiting]]:
        """Return the hours that are ready and due, and those that wait.

        Raises:
            PlatformError: The database cannot be reached.
        """
        runs = active_runs(self.instance, hourly_readings_job.name, HOURLY_ASSETS, HOUR)
        held = {window.window_start: window for window in self.window_buffer.reader().windows()}
        due: dict[datetime, int] = {}
        waiting = []
        with self.timescale.connection() as connection:
            assets = [key.to_user_string() for key in HOURLY_ASSETS]
            for state in due_hours(connection, assets, site=self.config.site):
                held_back = judge_hour(self.config, state, held, now) or held_by_gate(connection, state)
                if held_back:
                    waiting.append(held_back)
                else:
                    due[state.hour] = state.revision
        situation = Situation(due, runs.busy, runs.backlog_runs, now, HOUR, now - LIVE_HOURS, alone_after=_ALONE_AFTER)
        return situation, waiting


def held_by_gate(connection: psycopg.Connection, state: HourState) -> Waiting | None:
    """Return which red gate holds an hour back: of one of its windows, or of its own rows in their present state."""
    red = red_gates(connection, ASSET, [partition_key(start) for start in sorted(state.windows)])
    hourly = HOURLY_READINGS.to_user_string()
    if not red and recorded_revision(connection, hourly, state.hour) == state.revision:
        # made anew from the same windows it would be as red as it is
        red = red_gates(connection, hourly, [partition_key(state.hour)])
    return Waiting(state.hour, why_held(red)) if red else None


def build_hour_complete_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor for this configuration's hours."""

    @dg.sensor(
        name="hour_complete_sensor",
        job=hourly_readings_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Asks for hourly readings and process heat once an hour's windows are stored and no gate holds it.",
    )
    def hour_complete_sensor(
        context: dg.SensorEvaluationContext, window_buffer: WindowBufferResource, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return runs for the hours that are due, or what they wait for."""
        now = datetime.now(UTC)
        log = structlog.get_logger(__name__)
        try:
            situation, waiting = CompleteHours(config, context.instance, window_buffer, timescale).look(now)
        except (PlatformError, psycopg.Error) as error:
            log.warning("hour_complete_waits", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        found = plan(situation, load_memory(context.cursor))
        for hour in found.alarms:
            log.error("hour_not_made", hour=partition_key(hour), attempts=found.memory[hour].number)
        requests = run_requests(context.instance, "hours", found.asks)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=dump_memory(found.memory))
        return dg.SensorResult(skip_reason=_reason(situation, waiting), cursor=dump_memory(found.memory))

    return hour_complete_sensor


def _reason(situation: Situation, waiting: list[Waiting]) -> str:
    if situation.due:
        failing = len([hour for hour in situation.due if hour not in situation.busy])
        made = len(situation.due) - failing
        return f"{len(situation.due)} hours are due: {made} being made, {failing} pausing after a failure"
    if waiting:
        newest = waiting[-1]
        return f"{len(waiting)} hours wait; {partition_key(newest.hour)}: {newest.reason}"
    return "every hour with stored windows is made; waiting for the next one"
