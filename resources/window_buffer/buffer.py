"""The writer's side of the window buffer: one process appends, commits, and closes windows by the clock."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from resources.core.clock import Clock, SystemClock, from_micros, to_micros
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.books import CountBook, GapBook, Tally
from resources.window_buffer.disk.columns import Int64s
from resources.window_buffer.disk.index import HELD, SEGMENTS, source_counts
from resources.window_buffer.disk.segments import SegmentFolder, WriterLock
from resources.window_buffer.held import HeldFile, HeldReadings
from resources.window_buffer.judging.clock_skew import StepWatch
from resources.window_buffer.judging.time_rules import TimeRules
from resources.window_buffer.model import (
    BufferedWindow,
    BufferFullError,
    BufferState,
    ClockAlarm,
    ClosedWindow,
    CommitResult,
    Gap,
    SourceCounts,
)
from resources.window_buffer.replay import answer_requests
from resources.window_buffer.sensors import Sensors
from resources.window_buffer.windows import Window, Windows
from resources.window_buffer.writing.checkpoint import Checkpoint
from resources.window_buffer.writing.committer import Committer, Limits, Parts
from resources.window_buffer.writing.intake import Intake
from resources.window_buffer.writing.opening import Start, agree, default_cap, newest_times
from resources.window_buffer.writing.recovery import Recovered, Recovery, open_index

log = structlog.get_logger(__name__)

LONGEST_TICK_S = 86_400.0
"""Windows are opened for at most a day behind the clock, should `tick` not have been called for longer."""


class WindowBuffer:
    """The durable buffer, as its only writer.

    Threads: `append`, `add_counts`, `counts`, `pending_rows` and `state` are quick and meant for the event loop;
    `commit`, `tick`, `stored_revisions`, `close_all` and `close` wait for the disk and for one another, and are meant
    for a worker thread. `open_gap` and `close_gap` write one row to the index and wait for its fsync.
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

        Where the disk is too full to note anything, the buffer opens full and notes it as soon as it can.

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
            BufferFullError: The disk is too full even to open it: it is new, or has sensors that it must learn.
            ConfigError: The folder holds windows of another collector or window length.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock or SystemClock()
        self._grid = grid
        self._retention = retention
        self._sources = frozenset(sensor.source for sensor in catalog.sensors)
        self._io = threading.RLock()
        self._lock = WriterLock(folder)
        try:
            self._index, fresh = open_index(folder)
            try:
                self._open(collector, start, catalog, grace, max_bytes, fresh=fresh)
            except BaseException:
                self._index.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._closed = False

    def _open(
        self,
        collector: str,
        start: datetime,
        catalog: SensorCatalog,
        grace: timedelta,
        max_bytes: int | None,
        *,
        fresh: bool,
    ) -> None:
        index, clock, folder = self._index, self._clock, self._folder
        agree(index, folder, collector, self._grid)
        self._steps = StepWatch(clock)
        self._gaps = GapBook(index)
        self._intake = Intake()
        segments, held_files = SegmentFolder(folder / SEGMENTS), SegmentFolder(folder / HELD)
        sensors = Sensors(index)
        windows = Windows(index, segments, self._grid, grace, clock)
        held = HeldReadings(index, held_files, clock, self._steps)
        self._parts = Parts(folder, segments, held_files, sensors, windows, held, CountBook(index))
        recovery = Recovery(index, windows, sensors)
        recovery.segments(segments)
        recovery.held(held, held_files, fresh_index=fresh)
        windows.resume(self._sources)
        self._keys = sensors.register(catalog)
        self._rules = TimeRules(catalog, self._keys, to_micros(start), clock)
        limits = Limits(collector, to_micros(start), self._grid.length_us, self._sources)
        self._tally = Tally.load(index)
        self._tally.max_bytes = max_bytes or default_cap(segments, held_files)
        self._committer = Committer(self._parts, self._rules, limits, self._tally, clock)
        self._checkpoint = Checkpoint(index, self._parts, self._committer, self._tally, clock)
        self._begin_run(recovery.found, newest_times(catalog, self.last_known()))

    def _begin_run(self, found: Recovered, newest: Mapping[str, int]) -> None:
        index, tally = self._index, self._tally
        self.began = self._clock.now()
        """When this run began; the time before it is noted as a gap of each source."""
        now_us = to_micros(self.began)
        # a folder made anew goes on above the sequences of a lost one, as long as clocks go forward
        self._committer.writer.next_sequence = max(index.meta("next_sequence", now_us), found.next_sequence)
        self._parts.counts.add(found.counts)
        self._steps.steps, self._steps.last_step_s = tally.clock_steps, tally.last_clock_step_s
        tally.full, tally.clock_alarms = False, {}
        self._last_tick = self._clock.monotonic()
        self._first_window = self._window_of(now_us)
        self._moved = found.moved
        heartbeat = max(index.meta("heartbeat", 0), found.written_at)
        if now_us < heartbeat:
            self._steps.note((now_us - heartbeat) / 1e6)
        start = Start(index, self._gaps, self._parts.windows, self._sources, newest, heartbeat, now_us)
        self._checkpoint.first = lambda: start.note(self._first_window)
        try:
            self._checkpoint.begin()
            for file in [file for file in self._parts.held.files.values() if file.verdict is not None]:
                self._move(file)
        except BufferFullError as error:
            # what is not done is done by the ticks; there is more to a collector than its buffer
            self._became_full(error)
        log.info("buffer_opened", folder=str(self._folder), held_windows=len(self._parts.windows.held))

    def _became_full(self, error: BufferFullError) -> None:
        if not self._tally.full:
            log.error("buffer_full", error=str(error))
        self._tally.full = True

    def _window_of(self, instant_us: int) -> int:
        return instant_us - instant_us % self._grid.length_us

    def _open_windows(self, since_us: int, until_us: int) -> None:
        """Open the windows that `[since, until]` touches."""
        first, last = self._window_of(since_us), self._window_of(until_us)
        self._parts.windows.open(range(first, last + 1, self._grid.length_us), self._sources)

    @property
    def pending_rows(self) -> int:
        """Rows appended and not yet committed."""
        return self._intake.rows + self._committer.stalled_rows

    def append(self, batch: ReadingBatch, counts: Mapping[str, int] | None = None) -> None:
        """Take a batch into memory; it is durable, and to be acknowledged, when a later `commit` returns.

        The time rules are judged against the wall clock of this call. `counts` are increments as of `add_counts`, for
        the batch's source: they become durable in the same commit as the batch.

        Raises:
            BufferFullError: The disk cap is reached or too many rows wait; the batch was not taken.
            DataError: A part of the batch has another schema than the contract's; the batch was not taken.
        """
        if self._tally.full:
            raise BufferFullError(
                f"window buffer {self._folder} is full and takes nothing until windows are stored or disk is freed"
            )
        self._intake.put(batch, to_micros(self._clock.now()), counts)

    def commit(self) -> CommitResult:
        """Make everything appended before the call durable (fsync) and return what is to be acknowledged.

        Raises:
            BufferFullError: No room; everything stays pending and nothing is to be acknowledged. Try again later.
        """
        with self._io:
            self._commit()
            committer = self._committer
            result = CommitResult(committer.rows, committer.acknowledgements)
            committer.rows, committer.acknowledgements = 0, []
            return result

    def _commit(self) -> None:
        tally = self._tally
        try:
            self._committer.retry()
            taken = self._intake.take()
            with_rows = bool(taken.entries) and self._committer.commit(taken)
            if not taken.entries:
                self._parts.counts.add(taken.increments)
            if tally.full or (taken.increments and not with_rows):
                # no rows carry these counts, and what they speak of (readings left out) may be acknowledged next;
                # and after a full disk more is taken only when the index, too, can be written again
                with self._checkpoint.saving():
                    pass
        except BufferFullError as error:
            self._became_full(error)
            raise
        if tally.full:
            log.info("buffer_takes_again")
            tally.full = False

    def tick(self) -> list[ClosedWindow]:
        """Commit, open and close windows by the clock, drop what may go, note the heartbeat; call it once a second.

        Acknowledgements that become due here come out of the next `commit`.

        Returns:
            The revisions closed by this call, oldest window first.

        Raises:
            BufferFullError: The index cannot be written; the buffer is full, and the next tick tries again.
        """
        with self._io:
            with contextlib.suppress(BufferFullError):
                self._commit()
            windows, held, last_tick = self._parts.windows, self._parts.held, self._last_tick
            with contextlib.suppress(BufferFullError):
                for file, verdict in held.due():
                    held.decide(file, verdict)
                    self._move(file)
            try:
                with self._checkpoint.saving():
                    self._follow_clock()
                    closed = windows.close(windows.due())
                    closed += answer_requests(self._index, windows)
            except BufferFullError as error:
                self._last_tick = last_tick  # the next one opens the windows that this one should have opened
                self._became_full(error)
                raise
            with contextlib.suppress(BufferFullError):
                self._drop(windows.droppable(self._retention))
            return sorted(closed, key=lambda one: one.window_start)

    def _follow_clock(self) -> None:
        """Open the windows since the last tick; where the wall clock jumped ahead, nobody can have collected."""
        step_s = self._steps.check()
        monotonic, now_us = self._clock.monotonic(), to_micros(self._clock.now())
        passed_us = int(min(monotonic - self._last_tick, LONGEST_TICK_S) * 1e6)
        self._last_tick = monotonic
        if step_s > 0:
            jumped = now_us - passed_us
            reason = f"the collector's clock jumped ahead by {step_s:.0f} s"
            self._gaps.note_absence(self._sources, jumped - int(step_s * 1e6), jumped, reason)
        self._open_windows(now_us - passed_us, now_us)
        self._checkpoint.observe(self._steps, self._rules.skew)

    def _move(self, file: HeldFile) -> None:
        self._committer.move(file, frozenset(self._moved.get(file.held_id, ())))
        with self._checkpoint.saving():
            self._parts.held.forget(file)
        self._parts.held.remove(file)
        self._committer.measure()
        log.info("held_readings_moved", source=file.source, rows=file.rows, verdict=file.verdict)

    def _drop(self, windows: list[Window]) -> None:
        if windows:
            self._parts.windows.drop(windows)
            self._committer.measure()
            self._tally.dropped_windows += len(windows)

    def close_all(self) -> list[ClosedWindow]:
        """Commit and close every window that holds readings, however young: the end of a run that is ended on purpose.

        The first and the last window of the run are marked partial. Acknowledgements still owed come out of the next
        `commit`.

        Raises:
            BufferFullError: What is pending found no room; nothing was closed.
        """
        with self._io:
            self._commit()
            windows = self._parts.windows
            with self._checkpoint.saving():
                windows.mark_partial(self._first_window)
                windows.mark_partial(self._window_of(to_micros(self._clock.now())))
                return windows.close([w for _, w in sorted(windows.held.items()) if w.is_open and w.rows])

    def open_gap(self, source: str, since: datetime, reason: str) -> None:
        """Note, durably, that `source` is not collected from `since` on; nothing happens if its gap is open already.

        Raises:
            BufferFullError: The index cannot be written: nothing was noted.
        """
        self._begin()
        self._gaps.open(source, to_micros(since), reason)

    def close_gap(self, source: str, until: datetime) -> None:
        """End the open gap of `source`, if there is one; a gap that ends before it began is removed.

        Raises:
            BufferFullError: The index cannot be written: nothing was noted.
        """
        self._begin()
        self._gaps.close(source, to_micros(until))

    def _begin(self) -> None:
        with self._io:
            self._checkpoint.begin()  # the time before this run is noted first

    def last_known(self) -> Int64s:
        """Return, by position in the catalog, the newest source time that became a reading; int64's least if none."""
        with self._io:
            return self._parts.sensors.last_known[self._keys]

    def gaps(self) -> list[Gap]:
        """Return all gaps, oldest first."""
        return self._gaps.all()

    def add_counts(self, source: str, **increments: int) -> None:
        """Add to durable counters, e.g. `add_counts("boiler_house", sent=20)`; durable with the next commit or tick."""
        self._intake.count(source, increments)

    def counts(self) -> dict[str, SourceCounts]:
        """Return source -> counters: what is durable, and the increments of `add_counts` that still wait."""
        return source_counts(self._parts.counts.total(self._intake.waiting_counts()))

    def held_windows(self) -> list[BufferedWindow]:
        """Return the last closed revision of every held window, oldest first."""
        return self._index.buffered_windows()

    def stored_revisions(self, ledger: Mapping[datetime, int]) -> None:
        """Take what the ledger says of this collector's windows: start -> stored revision.

        The mapping speaks for all held windows: one that is missing counts as not stored, so it is never dropped.
        Where the ledger is ahead of this buffer (its folder was lost), or level with a window that was found without
        its index row, the window goes on above the ledger's revision and is merged, not replaced.
        """
        with self._io:
            stored = {to_micros(start): revision for start, revision in ledger.items()}
            with self._checkpoint.saving():
                behind = self._parts.windows.hear_of_stored(stored)
                self._parts.windows.close(behind)

    def state(self) -> BufferState:
        """Return what health and metrics show."""
        tally, windows = self._tally, list(self._parts.windows.held.values())
        held_rows = self._parts.held.rows_by_source()
        return BufferState(
            held_windows=len(windows),
            bytes=self._committer.used_bytes,
            max_bytes=tally.max_bytes,
            full=tally.full,
            pending_rows=self.pending_rows,
            dropped_windows=tally.dropped_windows,
            dropped_early=tally.dropped_early,
            clock_alarms=tuple(
                ClockAlarm(source, from_micros(since), held_rows.get(source, 0))
                for source, since in sorted(self._rules.skew.alarms.items())
            ),
            clock_steps=self._steps.steps,
            last_clock_step_s=self._steps.last_step_s,
            damaged_bytes=sum(window.damaged for window in windows),
        )

    def close(self) -> None:
        """Commit, note the clean end, release the folder. Windows stay open and go on when the buffer is opened again.

        What found no room is given up without being acknowledged: its sources still have it. Where the disk is too full
        to note the clean end, the next start finds the rest from the files, as after a crash.
        """
        with self._io:
            if self._closed:
                return
            self._closed = True
            try:
                with contextlib.suppress(BufferFullError):
                    self._commit()
                with self._checkpoint.saving():
                    now_us = to_micros(self._clock.now())
                    if now_us > self._window_of(now_us):
                        self._parts.windows.mark_partial(self._window_of(now_us))
                    self._index.set_meta(clean_end=1)
            except BufferFullError as error:
                log.warning("buffer_closed_while_full", error=str(error))
            finally:
                self._release()

    def _release(self) -> None:
        self._parts.segments.close()
        self._parts.held_files.close()
        self._index.close()
        self._lock.release()

    def __enter__(self) -> Self:
        """Return the buffer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
