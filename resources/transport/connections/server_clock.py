"""The clock of a server, known by the Date of its answers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from resources.core.clock import Clock


class ServerClock:
    """What time it is at a server, whatever our own clock says meanwhile; threads may share it."""

    def __init__(self, clock: Clock) -> None:
        """Compare with `clock`."""
        self._clock = clock
        self._lock = threading.Lock()
        self._told: tuple[datetime, float] | None = None

    def told(self, date: str | None) -> None:
        """Take the Date header of an answer that has just come; a missing or odd one tells nothing."""
        try:
            moment = parsedate_to_datetime(date or "")
        except (TypeError, ValueError):
            return
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        with self._lock:
            self._told = (aware.astimezone(UTC), self._clock.monotonic())

    def now(self) -> datetime | None:
        """Return the server's time, aware UTC; None before the first answer."""
        with self._lock:
            told = self._told
        return None if told is None else told[0] + timedelta(seconds=self._clock.monotonic() - told[1])

    def now_or_ours(self) -> datetime:
        """Return the server's time, ours before the first answer."""
        return self.now() or self._clock.now()

    @property
    def ahead(self) -> timedelta | None:
        """How far the server's clock is ahead of ours, to the second; None before the first answer."""
        now = self.now()
        return None if now is None else now - self._clock.now()
