"""Whether the entities of a page lie on the business day that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from resources.erp.business_days import DayOf
from resources.erp.pulling.members import Member


class DayCheck:
    """Finds entities of another day than the one asked for: the sign of a service that ignores `$filter`."""

    def __init__(self, path: str, day: date, day_of: DayOf) -> None:
        """Look at the property `path` (dotted), whose day `day_of` tells."""
        self._member = Member(path)
        self._day = day
        self._day_of = day_of

    def stranger(self, entities: Iterable[bytes]) -> str | None:
        """Return the day of an entity that is another one's; None if there is none. What is no date tells nothing.

        Raises:
            DataError: An entity that cannot be read.
        """
        days = (self._day_of(text) for text in self._member.values(entities))
        others = [day for day in days if day is not None and day != self._day]
        return min(others).isoformat() if others else None
