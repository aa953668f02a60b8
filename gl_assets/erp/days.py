"""Business days of ERP systems: their partitions, and how a run works through its range of them."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import structlog

from gl_assets.partition_range import RangeOutcome
from resources.core.errors import AuthError, ConfigError, DataError, SourceError, ThrottledError, UnreachableError
from resources.integrations import Integrations

log = structlog.get_logger(__name__)

DAY = timedelta(days=1)


def first_day(config: Integrations, zone: str) -> date:
    """Return the first business day that is partitioned, by the clock of `zone`."""
    start = config.erp.start or config.start
    return (start.astimezone(ZoneInfo(zone)) if start.tzinfo else start).date()


def business_days(config: Integrations, zone: str) -> dg.DailyPartitionsDefinition:
    """Return one partition per business day of `zone`, key `2026-11-22`; the day under way has none yet."""
    return dg.DailyPartitionsDefinition(start_date=first_day(config, zone).isoformat(), timezone=zone)


def standard_zone(config: Integrations, dataset: str) -> str:
    """Return the zone whose days partition the standard asset: of several zones, the one whose day ends last."""
    zones = {system.time_zone for system in config.erp.systems.values() if dataset in system.datasets}

    def offset(zone: str) -> timedelta:
        return datetime.combine(first_day(config, zone), datetime.min.time(), ZoneInfo(zone)).utcoffset() or timedelta()

    return min(sorted(zones), key=offset)


def sync_range(config: Integrations, zone: str, overlap: timedelta, now: datetime) -> tuple[date, date] | None:
    """Return the days of the daily sync at `now`: yesterday and the overlap before it; None before `start`."""
    last = now.astimezone(ZoneInfo(zone)).date() - DAY
    first = max(first_day(config, zone), last - math.ceil(overlap / DAY) * DAY)
    return (first, last) if first <= last else None


def work_through_days(keys: Sequence[str], zone: str, one: Callable[[date], None]) -> RangeOutcome:
    """Call `one` for each day, oldest first; a day whose data is bad is set aside and the rest go on.

    What would meet all the others too (no answer, no permission, a wrong configuration) ends the work.
    """
    outcome = RangeOutcome()
    today = datetime.now(UTC).astimezone(ZoneInfo(zone)).date()
    remaining = sorted(keys)
    while remaining:
        key = remaining.pop(0)
        day = date.fromisoformat(key)
        try:
            if day >= today:
                raise DataError(f"business day {key} has not ended in {zone}")
            one(day)
        except (UnreachableError, ThrottledError, AuthError, ConfigError) as error:
            outcome.failed[key] = str(error)
            outcome.failed.update(dict.fromkeys(remaining, "not tried: the fault of the day before it meets all days"))
            log.error("erp_days_given_up", day=key, untried=len(remaining), error=str(error))
            break
        except (SourceError, DataError) as error:
            outcome.failed[key] = str(error)
            log.error("erp_day_set_aside", day=key, error=str(error))
        else:
            outcome.done.append(key)
    return outcome
