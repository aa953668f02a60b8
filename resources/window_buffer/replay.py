"""Replay: raise the revision of held windows, so that the trigger asks for them again and they are stored anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from resources.core.clock import SystemClock, from_micros, to_micros
from resources.core.errors import UnreachableError
from resources.core.windows import WindowGrid
from resources.window_buffer.disk.index import INDEX_NAME, SEGMENTS, Index
from resources.window_buffer.disk.segments import SegmentFolder, WriterLock
from resources.window_buffer.model import BufferLockedError, ClosedWindow
from resources.window_buffer.windows import Windows

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What became of a replay; every window of the range is in exactly one of the three."""

    raised: dict[datetime, int]
    """Window start -> its new revision: it will be stored again."""
    still_open: list[datetime]
    """Held, and collecting: the revision closes by itself and is stored then."""
    not_held: list[datetime]
    """Dropped after they were stored, or never opened: backfill them from a historian."""


def replay(
    folder: Path,
    since: datetime,
    until: datetime,
    *,
    timeout_s: float = 30.0,
    waiting: Callable[[], None] | None = None,
) -> ReplayOutcome:
    """Raise the revision of every held window that touches `[since, until)`; works beside a running collector.

    Args:
        folder: The buffer.
        since: First instant.
        until: First instant after.
        timeout_s: How long a running collector may take to answer (it looks once a second).
        waiting: Called again and again while it has not answered.

    Raises:
        UnreachableError: A collector holds the buffer and did not answer; the request stands and it may do it later.
    """
    if not (folder / INDEX_NAME).exists():
        return ReplayOutcome({}, [], [])
    index = Index(folder)
    try:
        with index.transaction():
            request = index.run(
                "INSERT INTO replays (since, until) VALUES (?, ?)", (to_micros(since), to_micros(until))
            )
        raised = _answer(index, folder, request, timeout_s, waiting or (lambda: None))
        return _outcome(index, since, until, raised)
    finally:
        index.close()


def _answer(index: Index, folder: Path, request: int, timeout_s: float, waiting: Callable[[], None]) -> dict[int, int]:
    """Do it ourselves if nobody writes, else wait until the writer has; either way the request row has the answer."""
    deadline = time.monotonic() + timeout_s
    pid = 0
    while True:
        answer = index.all("SELECT raised FROM replays WHERE id = ? AND raised IS NOT NULL", (request,))
        if answer:
            return {int(start): revision for start, revision in json.loads(answer[0][0]).items()}
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"replay in {folder}: the collector (process {pid}) did not take the request up in {timeout_s:.0f} s; "
                "the request stands: look at the collector's /healthz and log, and at gl buffer stats afterwards"
            )
        try:
            lock = WriterLock(folder)
        except BufferLockedError as error:
            pid = error.pid
            waiting()
            time.sleep(_POLL_S)
            continue
        try:
            _answer_offline(index, folder)
        finally:
            lock.release()


def _answer_offline(index: Index, folder: Path) -> None:
    clock = SystemClock()
    grid = WindowGrid(timedelta(microseconds=index.meta("window_us")))
    windows = Windows(index, SegmentFolder(folder / SEGMENTS), grid, timedelta(0), clock)
    with index.transaction():
        answer_requests(index, windows)


def answer_requests(index: Index, windows: Windows) -> list[ClosedWindow]:
    """Do what is asked for, in the running transaction of the only writer; return the revisions closed by it."""
    closed: list[ClosedWindow] = []
    for request, since, until in index.all("SELECT id, since, until FROM replays WHERE raised IS NULL ORDER BY id"):
        chosen = [w for w in windows.held.values() if not w.is_open and w.start < until and w.end > since]
        done = windows.close(sorted(chosen, key=lambda w: w.start))
        answer = {to_micros(one.window_start): one.revision for one in done}
        index.run("UPDATE replays SET raised = ? WHERE id = ?", (json.dumps(answer), request))
        closed += done
    return closed


def _outcome(index: Index, since: datetime, until: datetime, raised: dict[int, int]) -> ReplayOutcome:
    grid = WindowGrid(timedelta(microseconds=index.meta("window_us")))
    held = {row[0] for row in index.window_rows("held")}
    others = [start for start in grid.starts(since, until) if to_micros(start) not in raised]
    return ReplayOutcome(
        raised={from_micros(start): revision for start, revision in sorted(raised.items())},
        still_open=[start for start in others if to_micros(start) in held],
        not_held=[start for start in others if to_micros(start) not in held],
    )
