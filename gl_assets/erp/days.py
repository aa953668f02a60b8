"""Business days of ERP systems: their partitions, and how a run works through its range of them."""

import math
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import structlog

from gl_assets.erp.feeds import feeds, feeds_of
from gl_assets.partition_range import RangeOutcome
from resources.core.errors import AuthError, ConfigError, DataError, SourceError, ThrottledError, UnreachableError
from resources.integrations import Integrations
from resources.transport.connections.errors import NoAnswerError

log = structlog.get_logger(__name__)

DAY = timedelta(days=1)


def first_day(config: Integrations, zone: str) -> date:
    """Return the first business day that is partitioned, by the clock of `zone`."""
    start = config.erp.start or config.start
    return (start.astimezone(ZoneInfo(zone)) if start.tzinfo else start).date()


def is_live(config: Integrations) -> bool:
    """Return whether the day under way has a partition: once changes of any facts are looked for between the pulls."""
    return any(feed.declared.poll_every is not None and not feed.declared.is_master for feed in feeds(config))


def business_days(config: Integrations, zone: str) -> dg.DailyPartitionsDefinition:
    """Return one partition per business day of `zone`, key `2026-11-22`; the day under way as `is_live` says."""
    return dg.DailyPartitionsDefinition(
        start_date=first_day(config, zone).isoformat(), timezone=zone, end_offset=int(is_live(config))
    )


def today_in(zone: str, now: datetime | None = None) -> date:
    """Return the business day under way in `zone`."""
    return (now or datetime.now(UTC)).astimezone(ZoneInfo(zone)).date()


def last_open_day(config: Integrations, zone: str) -> date:
    """Return the last business day that may be stored now: yesterday, or the day under way as `is_live` says."""
    return today_in(zone) - (timedelta(0) if is_live(config) else DAY)


def standard_zone(config: Integrations, table: str) -> str:
    """Return the zone whose days partition a standard table: of several zones, the one whose day ends last."""
    zones = {feed.settings.time_zone for feed in feeds_of(config, table)}

    def offset(zone: str) -> timedelta:
        return datetime.combine(first_day(config, zone), datetime.min.time(), ZoneInfo(zone)).utcoffset() or timedelta()

    return min(sorted(zones), key=offset)


def sync_range(config: Integrations, zone: str, overlap: timedelta, now: datetime) -> tuple[date, date] | None:
    """Return the days of the daily sync at `now`: yesterday and the overlap before it; None before `start`."""
    last = today_in(zone, now) - DAY
    first = max(first_day(config, zone), last - math.ceil(overlap / DAY) * DAY)
    return (first, last) if first <= last else None


def work_through_days(
    keys: Sequence[str], last: date, one: Callable[[date], None], *, told: Callable[[str, bool], None] | None = None
) -> RangeOutcome:
    """Call `one` for each day, oldest first; a day that fails is set aside and the rest go on.

    What would meet all the others too (no connection, no permission, a wrong configuration) ends the work. A day
    that is not answered may be too heavy for the system: the work ends only where the next one is not answered, either.

    Args:
        keys: The days, as partition keys.
        last: The last day that may be worked on; a later one fails.
        one: Does one day, wholly or not at all.
        told: Called after each day with its key and whether it failed.
    """
    outcome = RangeOutcome()
    remaining, unanswered = sorted(keys), False
    while remaining:
        key = remaining.pop(0)
        before, unanswered = unanswered, False
        try:
            if date.fromisoformat(key) > last:
                raise DataError(f"business day {key} has not ended: only whole days are stored, the last one is {last}")
            one(date.fromisoformat(key))
        except (UnreachableError, ThrottledError, AuthError, ConfigError) as error:
            outcome.failed[key] = str(error)
            unanswered = isinstance(error, NoAnswerError)
            if before or not unanswered:
                untried = dict.fromkeys(remaining, "not tried: the fault of the day before it meets all days")
                outcome.failed.update(untried)
                log.error("erp_days_given_up", day=key, untried=len(remaining), error=str(error))
                break
            log.error("erp_day_set_aside", day=key, error=str(error))
        except (SourceError, DataError) as error:
            outcome.failed[key] = str(error)
            log.error("erp_day_set_aside", day=key, error=str(error))
        except Exception as error:  # noqa: BLE001 - one day must not hold up the others; it is named at the end
            outcome.failed[key] = f"{type(error).__name__}: {error}"
            log.error("erp_day_set_aside", day=key, error=repr(error), where=traceback.format_exc(limit=-4))
        else:
            outcome.done.append(key)
        if told is not None:
            told(key, key in outcome.failed)
    return outcome
