"""From a connector's batch to the durable buffer: group commit, acknowledgements after it, bounded memory.

All state here belongs to the event loop; what touches the disk is done by one worker thread, one thing at a time.
While an acknowledgement is owed, the next commit starts when the last fsync has ended; polled values wait at most
`flush_interval`. What waits for its commit is bounded: beyond that `emit` does not return, so that a connector stops
reading and the pressure goes back to the device or the broker.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

import structlog

from resources.core.clock import Clock, to_micros
from resources.core.errors import PlatformError
from resources.core.readings import ReadingBatch
from resources.scada.report_filter.filter import ReportFilter
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import BufferFullError, ClosedWindow, CommitResult
from sensors.collector.flow import Flow

log = structlog.get_logger(__name__)

MAX_PENDING_ROWS = 50_000
"""Rows that may wait for their commit: about a second of a very large plant, under 3 MB."""

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""Bytes that may wait for their commit: binds where payloads are large (rejects keep the original)."""

TICK_S = 0.5
"""How often windows are opened and closed by the clock."""

FULL_RETRY_S = 1.0
"""How often a full buffer is asked again."""

Result = TypeVar("Result")


class PipelineWatch(Protocol):
    """Who judges what passes, on the spot."""

    def watch(self, batch: ReadingBatch) -> None:
        """Look at a batch; must be quick, and must not raise."""
        ...

    def durable(self) -> Awaitable[None]:
        """Return once all that was made of the batches seen is durable."""
        ...


class Pipeline:
    """Takes batches from all sources into the buffer. It is the supervisors' `SourcePort`."""

    def __init__(  # noqa: PLR0913 - each is a setting of its own, all but the first by name
        self,
        buffer: WindowBuffer,
        *,
        flow: Flow,
        clock: Clock,
        flush_interval_s: float,
        patient: frozenset[str] = frozenset(),
        observers: tuple[Callable[[ReadingBatch], None], ...] = (),
        alarms: PipelineWatch | None = None,
        reports: ReportFilter | None = None,
    ) -> None:
        """Write into `buffer`.

        Args:
            buffer: What makes batches durable.
            flow: Where figures are kept.
            clock: For instants and durations.
            flush_interval_s: Longest wait of a batch that owes no acknowledgement.
            patient: Sources whose peer keeps what is not acknowledged: a full buffer makes no gap in them.
            observers: Each sees every batch that was taken, before it is durable, and with what the filter leaves out.
            alarms: Sees every batch first; nothing is acknowledged before what it made of them is durable.
            reports: Leaves out what says nothing new; None keeps everything.
        """
        self._buffer = buffer
        self._flow = flow
        self._clock = clock
        self._flush_interval_s = flush_interval_s
        self._patient = patient
        self._gapped: set[str] = set()
        """Sources that a full buffer has kept waiting, and whose gap has not ended since."""
        self._observers = observers
        self._alarms = alarms
        self._reports = reports
        self._let_go: deque[ReadingBatch] = deque()
        """Readings that the filter had held and keeps after all, and that found no room yet."""
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="buffer")
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._pending_bytes = 0
        self._notes: deque[Callable[[], None]] = deque()
        self._counts: dict[str, Counter[str]] = {}
        self._waiting: Counter[str] = Counter()
        self._full_since: float | None = None
        self._committing = asyncio.Lock()

    # -- from the connectors -----------------------------------------------------------------------------------------

    async def emit(self, batch: ReadingBatch) -> None:
        """Take a batch; returns once it is in the buffer's memory, which waits while too much is pending or no room."""
        if batch.source in self._gapped and self._full_since is None:
            self.close_gap(batch.source, self._clock.now())
        if self._alarms is not None:
            # at once, not when there is room: a full disk must not hold back an emergency
            self._alarms.watch(batch)
        self._waiting[batch.source] += 1
        kept = self._filtered(batch)
        try:
            while not await self._has_taken(kept, batch):
                pass
        except asyncio.CancelledError:
            # it has been counted as sent: what little waits at the end of a run goes in above the limit
            self._take(kept, batch)
            raise
        finally:
            self._waiting[batch.source] -= 1

    def open_gap(self, source: str, since: datetime, reason: str) -> None:
        """Note that nothing is received from `since` on; durable with the next commit."""
        if self._reports is not None:
            self._reports.lost(source)
            self._take_let_go()
        self._notes.append(partial(self._buffer.open_gap, source, since, reason))

    def close_gap(self, source: str, until: datetime) -> None:
        """Note that readings come again from `until` on; durable with the next commit.

        While a full buffer keeps the source waiting its gap goes on, connected or not.
        """
        if source in self._gapped:
            if self._full_since is not None:
                return
            self._gapped.discard(source)
        self._notes.append(partial(self._buffer.close_gap, source, until))

    def add_gap(self, source: str, since: datetime, until: datetime, reason: str) -> None:
        """Note a gap that is over; durable with the next commit."""
        self.open_gap(source, since, reason)
        self.close_gap(source, until)

    def add_counts(self, source: str, increments: Mapping[str, int]) -> None:
        """Add to the source's durable counters; durable with the rows they speak of."""
        self._counts.setdefault(source, Counter()).update(increments)

    def end_reports(self) -> None:
        """Take what the filter still holds: nothing more is emitted in this run."""
        if self._reports is not None:
            self._reports.end()
            self._take_let_go()

    @property
    def full_for_s(self) -> float | None:
        """Seconds since the buffer refused to take more; None while it takes."""
        return None if self._full_since is None else self._clock.monotonic() - self._full_since

    def _filtered(self, batch: ReadingBatch) -> ReadingBatch:
        """Return what is to be kept of a batch, and count the rest."""
        if self._reports is None:
            return batch
        filtered = self._reports.apply(batch)
        if filtered.left_out or filtered.suppressed:
            # its connector has counted every row as sent
            self.add_counts(batch.source, {"sent": -filtered.left_out, "suppressed": filtered.suppressed})
        self._take_let_go()
        return filtered.batch

    def _take_let_go(self) -> None:
        """Put into the buffer what the filter has let go; what finds no room is tried again with the next tick."""
        assert self._reports is not None
        self._let_go.extend(self._reports.let_go())
        while self._let_go:
            batch = self._let_go[0]
            try:
                self._buffer.append(batch, {"sent": batch.rows})
            except BufferFullError:
                self._became_full()
                return
            self._pending_bytes += _size(batch)
            self._let_go.popleft()

    async def _has_taken(self, batch: ReadingBatch, seen: ReadingBatch) -> bool:
        """Wait for room and try once; return whether the batch is in."""
        while self._is_pressed():
            self._note_gap_of_full_buffer(batch.source)
            self._room.clear()
            self._wake.set()
            await self._room.wait()
        return self._take(batch, seen)

    def _take(self, batch: ReadingBatch, seen: ReadingBatch) -> bool:
        """Put `batch`, what is kept of `seen`, into the buffer; return False if that is full."""
        # with the counts that speak of it: a crash must not leave one without the other
        counts = self._counts.get(batch.source)
        try:
            self._buffer.append(batch, counts)
        except BufferFullError:
            self._became_full()
            return False
        self._counts.pop(batch.source, None)
        self._pending_bytes += _size(batch)
        self._flow.taken(batch)
        for observe in self._observers:
            observe(seen)
        if batch.acknowledge is not None or self._is_pressed():
            self._wake.set()
        return True

    # -- to the disk -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit and tick until cancelled.

        Raises:
            PlatformError: The disk under the buffer failed: nothing more can be made durable.
        """
        loops = [asyncio.create_task(self._commit_forever()), asyncio.create_task(self._tick_forever())]
        try:
            await asyncio.gather(*loops)
        except (OSError, sqlite3.Error) as error:
            raise PlatformError(
                f"the disk under the window buffer failed ({error}); nothing more was acknowledged: check the disk "
                "under GL_HOME, then start the collector again"
            ) from error
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def commit(self) -> None:
        """Make durable what was taken so far and acknowledge it; returns at once if the buffer is full."""
        async with self._committing:
            self._wake.clear()
            self._hand_over_counts()
            batches, size = self._flow.cut(), self._pending_bytes
            began = self._clock.monotonic()
            try:
                result = await self.on_disk(self._write)
            except BufferFullError as error:
                self._flow.uncut(batches)
                log.debug("commit_refused", error=str(error))
                self._became_full()
                return
            self._pending_bytes -= size
            self._maybe_has_room()
            self._flow.committed(batches, result.rows, self._clock.now(), self._clock.monotonic() - began)
            if self._alarms is not None:
                await self._alarms.durable()
            for acknowledge in result.acknowledgements:
                acknowledge()
            self._flow.acknowledged += len(result.acknowledgements)
            self._room.set()

    async def tick(self) -> list[ClosedWindow]:
        """Let the buffer open and close windows by the clock; a buffer that is full does it with a later tick."""
        if self._reports is not None:
            # before the window closes that the readings are of
            self._reports.tick(to_micros(self._clock.now()))
            self._take_let_go()
        try:
            closed = await self.on_disk(self._buffer.tick)
        except BufferFullError as error:
            log.debug("tick_refused", error=str(error))
            self._became_full()
            return []
        self._flow.closed_windows += len(closed)
        return closed

    async def on_disk(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns in the thread that alone writes to the buffer."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def shutdown(self) -> None:
        """End the worker thread; the buffer itself stays open."""
        self._disk.shutdown()

    async def _commit_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._flush_interval_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            if self._full_since is not None:
                # a full disk is asked once a second, not as fast as it can refuse
                await asyncio.sleep(FULL_RETRY_S)
            await self.commit()

    async def _tick_forever(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(TICK_S)

    def _is_pressed(self) -> bool:
        return (
            self._full_since is not None
            or self._buffer.pending_rows >= MAX_PENDING_ROWS
            or self._pending_bytes >= MAX_PENDING_BYTES
        )

    def _hand_over_counts(self) -> None:
        """Give the buffer the counts that no batch will take along; those of a batch that waits go with it."""
        for source in [name for name in self._counts if not self._waiting[name]]:
            self._buffer.add_counts(source, **self._counts.pop(source))

    def _write(self) -> CommitResult:
        """Write the notes of gaps, each once even if the buffer is full half-way, then what is pending."""
        while self._notes:
            try:
                self._notes[0]()
            except sqlite3.OperationalError as error:
                raise BufferFullError(f"window buffer: a gap could not be noted ({error}): free disk space") from error
            self._notes.popleft()
        return self._buffer.commit()

    def _became_full(self) -> None:
        if self._full_since is None:
            self._full_since = self._clock.monotonic()
        self._room.clear()

    def _note_gap_of_full_buffer(self, source: str) -> None:
        if self._full_since is None or source in self._patient or source in self._gapped:
            return
        self._gapped.add(source)
        self.open_gap(source, self._clock.now(), "full: the window buffer had no room, so the source was not read")

    def _maybe_has_room(self) -> None:
        if self._full_since is not None and not self._buffer.state().full:
            self._full_since = None


def _size(batch: ReadingBatch) -> int:
    return sum(part.nbytes for part in (batch.readings, batch.texts, batch.rejects) if part is not None)
