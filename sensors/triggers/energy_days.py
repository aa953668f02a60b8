"""The trigger of days of energy: makes intensity and cost anew when what is booked or measured of a day has changed.

Nothing is marked here: the ledgers say when what a day is made from was stored, and from which state it was made.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg
import structlog

from gl_assets.asset_keys import DAILY_ASSETS, ENERGY_INTENSITY, HOURLY_READINGS
from gl_assets.checks.holding import why_held
from gl_assets.erp.days import first_day
from gl_assets.erp.feeds import standard_key
from gl_assets.jobs import energy_job
from gl_assets.process_heat.energy import ERP_TABLES, day_of, hours_of, places_of
from resources.core.errors import PlatformError
from resources.databases.timescale.derived.energy import due_days, made_from
from resources.databases.timescale.quality.gate_results import RecordedGate, red_gates
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.active_runs import RANGE_END_TAG, RANGE_START_TAG, run_key_is_taken

LOOK_BACK = timedelta(days=35)
"""Days this far back are made by themselves; older ones by a backfill."""

_DAY = timedelta(days=1)


def stretches(due: Mapping[date, datetime]) -> list[list[date]]:
    """Return the days that follow one another without a hole, each ascending; the newest ones first."""
    found: list[list[date]] = []
    for day in sorted(due, reverse=True):
        if found and found[-1][0] - day == _DAY:
            found[-1].insert(0, day)
        else:
            found.append([day])
    return found


def red_of_day(connection: psycopg.Connection, config: Integrations, day: date, state: datetime) -> list[RecordedGate]:
    """Return the red gates that hold a day back: of its hours, of what is booked, and of the day in this very state."""
    key, hours = day.isoformat(), hours_of(day_of(day, config.energy.time_zone))
    red = red_gates(connection, HOURLY_READINGS.to_user_string(), hours)
    for table in ERP_TABLES:
        red += red_gates(connection, standard_key(table).to_user_string(), [key])
    intensity = ENERGY_INTENSITY.to_user_string()
    if made_from(connection, intensity, day, site=config.site) == state:
        # made anew from the same sources it would be as red as it is
        red += red_gates(connection, intensity, [key])
    return red


def run_key_of(days: list[date], due: Mapping[date, datetime], now: datetime) -> str:
    """Return the key of a run: one attempt an hour for each state of what the days are made from."""
    state = max(due[day] for day in days)
    return f"energy/{days[0]}/{days[-1]}/{state:%Y%m%dT%H%M%S%f}/{now:%Y%m%dT%H}"


def build_energy_sensor(config: Integrations) -> list[dg.SensorDefinition]:
    """Return the sensor, in a list that is empty where nobody uses energy."""
    if not config.energy.all_consumers(tuple(config.boilers)):
        return []

    @dg.sensor(
        name="energy_days_sensor",
        job=energy_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Asks for energy intensity and cost of the days of which something new was booked or measured.",
    )
    def energy_days_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return a run for the newest days that are due and not asked for already, or what they wait for."""
        now, zone = datetime.now(UTC), config.energy.time_zone
        today = now.astimezone(ZoneInfo(zone)).date()
        since = max(first_day(config, zone), today - LOOK_BACK)
        try:
            with timescale.connection() as connection:
                assets = [key.to_user_string() for key in DAILY_ASSETS]
                due = due_days(connection, places_of(config), assets, since=since, until=today)
                red = {day: red_of_day(connection, config, day, state) for day, state in due.items()}
        except (PlatformError, psycopg.Error) as error:
            structlog.get_logger(__name__).warning("energy_days_wait", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        held = {day: gates for day, gates in red.items() if gates}
        free = {day: state for day, state in due.items() if day not in held}
        if not free:
            why = f"; {max(held)} waits: {why_held(held[max(held)])}" if held else ""
            return dg.SkipReason(f"every day with something booked or measured is made{why}")
        for days in stretches(free):
            key = run_key_of(days, free, now)
            # a day that stays due, since it fails, keeps none of the others waiting
            if not run_key_is_taken(context.instance, key):
                tags = {RANGE_START_TAG: days[0].isoformat(), RANGE_END_TAG: days[-1].isoformat()}
                return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, tags=tags)])
        return dg.SkipReason(f"{len(free)} days are due, all being made, or failed and tried again next hour")

    return [energy_days_sensor]
