"""What is written down beside the windows: gaps, counters, and what the writer counts of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from resources.window_buffer.disk.index import Index
from resources.window_buffer.model import Gap
from resources.window_buffer.writing.group_writer import Counts, merge_counts

ABSENT = "no collector ran"


class GapBook:
    """The gaps, each change durable at once."""

    def __init__(self, index: Index) -> None:
        """Write into `index`."""
        self._index = index

    def all(self) -> list[Gap]:
        """Return all gaps, oldest first."""
        return self._index.gaps()

    def open(self, source: str, since_us: int, reason: str) -> None:
        """Open a gap, unless the source has one open."""
        with self._index.transaction():
            if not self._open_ones(source):
                self._index.run("INSERT INTO gaps (source, since, reason) VALUES (?, ?, ?)", (source, since_us, reason))

    def close(self, source: str, until_us: int) -> None:
        """Close the open gap; one that would end before it began never was."""
        with self._index.transaction():
            self._index.run("DELETE FROM gaps WHERE source = ? AND until IS NULL AND since >= ?", (source, until_us))
            self._index.run("UPDATE gaps SET until = ? WHERE source = ? AND until IS NULL", (until_us, source))

    def note_absence(self, sources: Iterable[str], since_us: int, until_us: int, reason: str = ABSENT) -> None:
        """Note a closed gap for each source, except where one is open: that one goes on."""
        if until_us <= since_us:
            return
        with self._index.transaction():
            self._index.run_many(
                "INSERT INTO gaps (source, since, until, reason) VALUES (?, ?, ?, ?)",
                [(s, since_us, until_us, reason) for s in sorted(sources) if not self._open_ones(s)],
            )

    def _open_ones(self, source: str) -> bool:
        return bool(self._index.all("SELECT 1 FROM gaps WHERE source = ? AND until IS NULL", (source,)))


class CountBook:
    """Counters: what the index has, and what is durable in segments but not in the index yet.

    The pair is replaced as a whole, so that the event loop can read it while another thread commits.
    """

    def __init__(self, index: Index) -> None:
        """Load the counters."""
        self._index = index
        self._pair: tuple[Counts, Counts] = (index.raw_counts(), {})

    def add(self, more: Counts) -> None:
        """Add what has become durable in segments."""
        saved, unsaved = self._pair
        self._pair = (saved, _sum(unsaved, more))

    def save(self) -> None:
        """Write what is unsaved into the running transaction; `saved` follows when that is durable."""
        self._index.add_counts(self._pair[1])

    def saved(self) -> None:
        """Note that the transaction is durable."""
        self._pair = (_sum(*self._pair), {}) if self._pair[1] else self._pair

    def total(self, waiting: Counts) -> Counts:
        """Return all counters, those that wait in memory included."""
        return _sum(_sum(*self._pair), waiting)


def _sum(one: Counts, other: Counts) -> Counts:
    total = {source: dict(some) for source, some in one.items()}
    merge_counts(total, other)
    return total


@dataclass(slots=True)
class Tally:
    """What the writer counts of itself; it survives restarts, and readers can see it."""

    max_bytes: int = 0
    full: bool = False
    dropped_windows: int = 0
    dropped_early: int = 0
    clock_steps: int = 0
    last_clock_step_s: float = 0.0
    clock_alarms: dict[str, int] | None = None
    """Source -> since when, microseconds."""

    @staticmethod
    def load(index: Index) -> Tally:
        """Return the tally of the last checkpoint."""
        return Tally(**json.loads(index.meta("tally", "{}")))
