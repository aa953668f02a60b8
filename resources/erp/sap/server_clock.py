"""The clock of a SAP system, known by the Date of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from resources.core.clock import Clock


class ServerClock:
    """How far a system's clock is from ours; threads may share it."""

    def __init__(self, clock: Clock) -> None:
        """Compare with `clock`."""
        self._clock = clock
        self.ahead: timedelta | None = None
        """How far the system's clock is ahead of ours, to the second; None before the first answer."""

    def told(self, header: str | None) -> None:
        """Take the Date header of an answer that has just come; a missing or odd one tells nothing."""
        try:
            moment = parsedate_to_datetime(header or "")
        except (TypeError, ValueError):
            return
        self.ahead = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - self._clock.now()

    def now(self) -> datetime | None:
        """Return the system's time, aware UTC; None before the first answer."""
        return None if self.ahead is None else (self._clock.now() + self.ahead).astimezone(UTC)
