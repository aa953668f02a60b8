"""The writer's side of the window buffer: one process appends, commits, and closes windows by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from resources.core.clock import Clock, SystemClock
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.model import BufferedWindow, BufferState, ClosedWindow, CommitResult, Gap, SourceCounts


class WindowBuffer:
    """The durable buffer, as its only writer.

    Threads: `append`, `add_counts`, `pending_rows` and `state` are quick and meant for the event loop; `commit`,
    `tick`, `close_all` and `close` wait for the disk and are meant for a worker thread (they exclude one another).
    The others write one row to the index and wait for its fsync.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own, all but the first by name
        self,
        folder: Path,
        *,
        collector: str,
        grid: WindowGrid,
        start: datetime,
        catalog: SensorCatalog,
        grace: timedelta = timedelta(seconds=5),
        retention: timedelta = timedelta(hours=24),
        max_bytes: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Open or make the buffer in `folder`, repair what a crash left, and note the time nobody ran as gaps.

        Args:
            folder: Made if absent.
            collector: Name in every key; must not change while windows are held.
            grid: The windows; must not change while windows are held.
            start: First accepted source time.
            catalog: The sensors of this process; `sensor_key` in every batch refers to it.
            grace: Revision 1 closes this long after the window's end.
            retention: How long a stored window is kept after its last close.
            max_bytes: Disk cap; half of the free disk, at least 1 GiB, if None.
            clock: Replaceable for tests.

        Raises:
            BufferLockedError: Another process writes to this folder.
            ConfigError: The folder holds windows of another collector or window length.
        """
        raise NotImplementedError

    @property
    def pending_rows(self) -> int:
        """Rows appended and not yet committed."""
        raise NotImplementedError

    def append(self, batch: ReadingBatch) -> None:
        """Take a batch into memory; it is durable, and to be acknowledged, when a later `commit` returns.

        The time rules are judged against the wall clock of this call.

        Raises:
            BufferFullError: The disk cap is reached or too many rows wait; the batch was not taken.
        """
        raise NotImplementedError

    def commit(self) -> CommitResult:
        """Make everything appended before the call durable (fsync) and return what is to be acknowledged.

        Raises:
            BufferFullError: No room; everything stays pending and nothing is to be acknowledged. Try again after `tick`.
        """
        raise NotImplementedError

    def tick(self) -> list[ClosedWindow]:
        """Open and close windows by the clock, drop what may go, note the heartbeat; to be called once a second.

        Returns:
            The revisions closed by this call, oldest window first.
        """
        raise NotImplementedError

    def close_all(self) -> list[ClosedWindow]:
        """Commit and close every window that holds readings, however young: the end of a run that is ended on purpose.

        The first and the last window of the run are marked partial. Acknowledgements still owed come from `commit`,
        which is to be called before.
        """
        raise NotImplementedError

    def open_gap(self, source: str, since: datetime, reason: str) -> None:
        """Note, durably, that `source` is not collected from `since` on; nothing happens if its gap is open already."""
        raise NotImplementedError

    def close_gap(self, source: str, until: datetime) -> None:
        """End the open gap of `source`, if there is one; a gap that ends before it began is removed."""
        raise NotImplementedError

    def gaps(self) -> list[Gap]:
        """Return all gaps, oldest first."""
        raise NotImplementedError

    def add_counts(self, source: str, **increments: int) -> None:
        """Add to durable counters, e.g. `add_counts("boiler_house", sent=20)`; durable with the next commit or tick."""
        raise NotImplementedError

    def counts(self) -> dict[str, SourceCounts]:
        """Return source -> counters, what is committed and the sent counts still in memory included."""
        raise NotImplementedError

    def held_windows(self) -> list[BufferedWindow]:
        """Return the last closed revision of every held window, oldest first."""
        raise NotImplementedError

    def stored_revisions(self, ledger: Mapping[datetime, int]) -> None:
        """Take what the ledger says of this collector's windows: start -> stored revision.

        The mapping speaks for all held windows: one that is missing counts as not stored, so it is never dropped.
        Where the ledger is ahead of this buffer (its folder was lost), the window goes on above the ledger's revision
        and is merged, not replaced.
        """
        raise NotImplementedError

    def state(self) -> BufferState:
        """Return what health and metrics show."""
        raise NotImplementedError

    def close(self) -> None:
        """Commit, note the clean end, release the folder. Windows stay open and go on when the buffer is opened again."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Return the buffer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
