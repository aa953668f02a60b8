"""Windows of source time: half-open `[start, end)`, aligned to the hour, named by their start.

The partition key of a window is its start, minutes resolution, UTC: `2026-11-22T10:15`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resources.core.clock import from_micros, to_micros
from resources.core.errors import ConfigError

PARTITION_KEY_FORMAT = "%Y-%m-%dT%H:%M"
"""Format of a window's partition key, UTC."""

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """All windows of one length; `length` is 1 to 60 whole minutes and divides the hour."""

    length: timedelta

    def __post_init__(self) -> None:
        """Refuse a length that does not divide the hour.

        Raises:
            ConfigError: The length is not a whole number of minutes that divides 60.
        """
        if self.length < _MINUTE or self.length > _HOUR or _HOUR % self.length or self.length % _MINUTE:
            raise ConfigError(f"window {self.length}: must be whole minutes from 1m to 1h that divide the hour")

    @property
    def length_us(self) -> int:
        """Length in microseconds."""
        return self.length // timedelta(microseconds=1)

    def start_of(self, instant: datetime) -> datetime:
        """Return the start of the window that holds `instant` (aware)."""
        micros = to_micros(instant)
        return from_micros(micros - micros % self.length_us)

    def end_of(self, instant: datetime) -> datetime:
        """Return the end of the window that holds `instant`; the end itself belongs to the next window."""
        return self.start_of(instant) + self.length

    def starts(self, first: datetime, until: datetime) -> list[datetime]:
        """Return the starts of all windows that touch `[first, until)`, ascending."""
        start, found = self.start_of(first), []
        while start < until:
            found.append(start)
            start += self.length
        return found


def partition_key(window_start: datetime) -> str:
    """Return the partition key of the window that starts at `window_start` (aware)."""
    return window_start.astimezone(UTC).strftime(PARTITION_KEY_FORMAT)


def parse_partition_key(key: str) -> datetime:
    """Return the start, aware UTC, of the window named `key`.

    Raises:
        ValueError: The key is not of the form `2026-11-22T10:15`.
    """
    return datetime.strptime(key, PARTITION_KEY_FORMAT).replace(tzinfo=UTC)
