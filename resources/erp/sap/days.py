"""On which business day an entity lies, whatever form its date has on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from resources.core.errors import DataError
from resources.erp.pulling.members import Member

_V2 = re.compile(r"/Date\((-?\d{1,17})([+-]\d{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DayCheck:
    """Finds entities of another day than the one asked for: the sign of a service that ignores `$filter`."""

    def __init__(self, path: str, day: date, zone: ZoneInfo, *, is_instant: bool) -> None:
        """Look at the property `path` (dotted); an instant's day is that of `zone`."""
        self._member = Member(path)
        self._day = day
        self._zone = zone
        self._is_instant = is_instant

    def stranger(self, entities: Iterable[bytes]) -> str | None:
        """Return the day of an entity that is another one's; None if there is none. What is no date tells nothing.

        Raises:
            DataError: An entity that cannot be read.
        """
        days = (self._day_of(text) for text in self._member.values(entities))
        others = [day for day in days if day is not None and day != self._day]
        return min(others).isoformat() if others else None

    def _day_of(self, text: str) -> date | None:
        try:
            return day_of(text, self._zone if self._is_instant else None)
        except DataError:
            return None


def day_of(text: str, zone: ZoneInfo | None) -> date:
    """Return the day that a date of OData V4 or V2 names: as it stands, or that of an instant in `zone`.

    Raises:
        DataError: It is none of the forms.
    """
    found = _V2.fullmatch(text)
    try:
        if found is not None:
            instant = _EPOCH + timedelta(milliseconds=int(found.group(1)))
        elif len(text) == 10:
            return date.fromisoformat(text)
        else:
            instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{text[:40]!r} is no date") from error
    if instant.tzinfo is None or zone is None:
        return instant.date()
    return instant.astimezone(zone).date()
