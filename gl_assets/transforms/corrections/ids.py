"""The name of a rejected reading, by which people and files mean it: `site/collector/2026-11-22T10:15/4711`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from resources.core.errors import DataError
from resources.core.windows import parse_partition_key, partition_key


@dataclass(frozen=True, slots=True, order=True)
class RejectedId:
    """What a rejected reading is known by: it stays the same when a later revision writes the row again."""

    site: str
    collector: str
    window_start: datetime
    sequence: int

    def __str__(self) -> str:
        """Return the name."""
        return f"{self.site}/{self.collector}/{partition_key(self.window_start)}/{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> RejectedId:
        """Return the id that a name stands for.

        Raises:
            DataError: It is no such name.
        """
        try:
            site, collector, window, sequence = text.strip().rsplit("/", 3)
            return cls(site, collector, parse_partition_key(window), int(sequence))
        except ValueError as error:
            raise DataError(
                f"{text[:80]!r} is not the id of a rejected reading, which looks like "
                "site/collector/2026-11-22T10:15/4711: `gl rejected readings --json` shows them"
            ) from error
