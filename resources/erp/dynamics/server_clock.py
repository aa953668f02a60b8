"""The clock of a server, known by the Date of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from resources.core.clock import Clock


class ServerClock:
    """How far a server's clock is from ours; threads may share it."""

    def __init__(self, clock: Clock) -> None:
        """Compare with `clock`."""
        self._clock = clock
        self._ahead: timedelta | None = None

    def told(self, date: str | None) -> None:
        """Take the Date header of an answer that has just come; a missing or odd one tells nothing."""
        try:
            moment = parsedate_to_datetime(date or "")
        except (TypeError, ValueError):
            return
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        self._ahead = moment - self._clock.now()

    @property
    def ahead(self) -> timedelta | None:
        """How far the server's clock is ahead of ours, to the second; None before the first answer."""
        return self._ahead

    def now(self) -> datetime | None:
        """Return the server's time, aware UTC; None before the first answer."""
        return None if self._ahead is None else (self._clock.now() + self._ahead).astimezone(UTC)
