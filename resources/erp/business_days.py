"""Which business day a value names: dates in the forms that ERP systems write, instants by the clock of a zone.

One function for whatever sorts records by day: pulls of a day, reads of changes, looks at them. How a dataset's dates
are meant is said by its configuration (`SystemConfig.day_of`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo

DayOf = Callable[[str | None], date | None]
"""Tells the business day of a value of a dataset; None where it names none."""

_V2 = re.compile(r"^/Date\((-?\d{1,15})([+-]\d{1,4})?\)/$")
_DIGITS = re.compile(r"^(\d{4})(\d{2})(\d{2})(?:\d{6})?$")
_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:Z|[+-]\d{2}:\d{2})?$")


def business_day(value: str | None, zone: tzinfo | None, *, is_instant: bool = False) -> date | None:
    """Return the business day of a value; None where it names none.

    `2026-11-22`, `20261122`, `20261122101500`, `/Date(1763769600000)/` and date-times without zone are the system's own
    dates as they stand, as is `2026-11-22-08:00`, a date of XML with a zone; a date-time with a zone is an instant,
    whose day is told by the clock of `zone`. A date-time of V2 without an offset is such a date at midnight UTC; with
    one, it is an instant.

    Args:
        value: As the system wrote it.
        zone: Of instants; None where they stand for the date that is written, of V2 for that in UTC.
        is_instant: True where a date-time of V2 is an instant without an offset, too.
    """
    text = (value or "").strip()
    try:
        if found := _V2.match(text):
            local = zone if found[2] or is_instant else None
            return datetime.fromtimestamp(int(found[1]) / 1000, local or UTC).date()
        if found := _DIGITS.match(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := _DATE.match(text):
            return date.fromisoformat(found[1])
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo is None or zone is None else instant.astimezone(zone)).date()
    except (ValueError, OverflowError, OSError):
        return None


def utc_day(value: str | None) -> date | None:
    """Return the business day of a value of a system whose days are those of UTC."""
    return business_day(value, UTC)
