"""What the buffer hands out, and the errors it raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resources.core.errors import ConfigError, DataError, PlatformError


class BufferFullError(PlatformError):
    """The buffer takes nothing more for now: disk cap, full disk, or too many rows waiting for the disk.

    What was appended before stays pending and is committed once there is room. Stop acknowledging; a source that
    cannot wait gets a gap.
    """


class BufferLockedError(ConfigError):
    """Another process writes to this folder; `pid` is its number (0 if it did not say)."""

    def __init__(self, message: str, *, pid: int) -> None:
        """Keep the number of the process beside the message."""
        super().__init__(message)
        self.pid = pid


class WindowNotHeldError(DataError):
    """The buffer has no closed revision of this window: never opened, still open, or dropped after it was stored."""

    def __init__(self, message: str, *, window_start: datetime) -> None:
        """Keep the window beside the message."""
        super().__init__(message)
        self.window_start = window_start


@dataclass(frozen=True, slots=True)
class CommitResult:
    """One group commit: everything in it is on disk."""

    rows: int
    """Rows made durable: readings, texts and rejects, in windows or held."""
    acknowledgements: list[Callable[[], None]]
    """`ReadingBatch.acknowledge` of every batch in it, in order of arrival; to be called in the caller's event loop."""


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A revision that has just closed."""

    window_start: datetime
    revision: int
    rows: int
    """Rows in the segment, rejects included, before deduplication."""
    partial: bool


@dataclass(frozen=True, slots=True)
class BufferedWindow:
    """The last closed revision of a window that is held."""

    collector: str
    window_start: datetime
    window_end: datetime
    revision: int
    """1 at the first close; every later close and every replay raises it."""
    closed_at: datetime
    rows: int
    """Rows of that revision, rejects included, before deduplication."""
    bytes: int
    """Size of that revision in the segment."""
    partial: bool
    complete: bool
    """False: late readings of a window that was dropped before; the store merges them."""
    stored_revision: int
    """What the collector last heard from the ledger, 0 if nothing."""
    is_open: bool
    """True while a later revision collects."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a source was not collected; `until` is None while it lasts."""

    gap_id: int
    source: str
    since: datetime
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """Durable counters of one source since the buffer was made; they survive restarts."""

    sent: int = 0
    """What the source is held to have sent; of a polled one scheduled polls x tags. Written by the collector;
    of first values, birth metrics and retained messages those that are not `not_newer`, written by the buffer."""
    received: int = 0
    """Rows appended: readings, texts and rejects."""
    buffered: int = 0
    """Readings and texts on disk in a window."""
    rejected: int = 0
    """Rejects on disk: those that came as such, and those that broke a time rule."""
    not_newer: int = 0
    """First values, birth metrics and retained messages not newer than the sensor's last known time: not readings."""
    clock_skew: int = 0
    """Readings ever held because more than half of the source's readings were in the future."""
    in_gaps: int = 0
    """What was missed in gaps. Written by the collector."""
    other: Mapping[str, int] = field(default_factory=dict)
    """Any other counter that was added by name; `suppressed` are readings that said nothing new (`report` of a tag),
    which were received and are not counted as sent."""


@dataclass(frozen=True, slots=True)
class ClockAlarm:
    """More than half of a source's readings are more than 5 min in the future."""

    source: str
    since: datetime
    held_rows: int
    """Readings held now."""


@dataclass(frozen=True, slots=True)
class BufferState:
    """What health and metrics show."""

    held_windows: int
    bytes: int
    """Bytes of all segments and held readings."""
    max_bytes: int
    full: bool
    """True while nothing more is taken."""
    pending_rows: int
    """Rows appended and not yet committed."""
    dropped_windows: int
    """Windows dropped so far, by retention or cap; all were stored."""
    dropped_early: int
    """Those of them that the cap dropped before their retention was over."""
    clock_alarms: tuple[ClockAlarm, ...]
    clock_steps: int
    """How often the collector's wall clock stepped by more than 2 s against its monotonic clock."""
    last_clock_step_s: float
    """The last such step, negative for one back; 0 if there was none."""
    damaged_bytes: int
    """Bytes that were written once and can no longer be read (the disk's fault); 0 is right."""
