"""Which business day a value names: dates in the forms that ERP systems write, instants by the clock of a zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

_V2 = re.compile(r"^/Date\((-?\d{1,15})([+-]\d{1,4})?\)/$")
_DIGITS = re.compile(r"^(\d{4})(\d{2})(\d{2})(?:\d{6})?$")


def business_day(value: str | None, zone: ZoneInfo) -> date | None:
    """Return the business day of a value; None where it names none.

    `2026-11-22`, `20261122`, `20261122101500`, `/Date(1763769600000)/` and date-times without zone are the system's own
    dates as they stand; a date-time with a zone is an instant, whose day is told by the clock of `zone`. A date-time of
    V2 without an offset is such a date at midnight UTC; with one, it is an instant.
    """
    text = (value or "").strip()
    try:
        if found := _V2.match(text):
            return datetime.fromtimestamp(int(found[1]) / 1000, zone if found[2] else UTC).date()
        if found := _DIGITS.match(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if len(text) == 10:
            return date.fromisoformat(text)
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return (instant if instant.tzinfo is None else instant.astimezone(zone)).date()
