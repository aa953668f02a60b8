"""Readings held while a clock is wrong: on disk, one file per source and minute of receiving, for at most an hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resources.core.clock import Clock, to_micros
from resources.window_buffer.disk.columns import Columns, Mask, Rows, TextRows
from resources.window_buffer.disk.frames import Frame, scan
from resources.window_buffer.disk.index import Index
from resources.window_buffer.disk.segments import SegmentFolder, map_file
from resources.window_buffer.judging.clock_skew import StepWatch
from resources.window_buffer.judging.time_rules import FUTURE_US

HOLD_US = 3_600_000_000
_MINUTE_US = 60_000_000

Verdict = Literal["release", "reject"]


@dataclass(slots=True)
class HeldFile:
    """What one source sent in one minute with times too far ahead."""

    held_id: int
    source: str
    minute: int
    ahead: int
    """How far the source times were ahead of the clock, microseconds (median of the first rows)."""
    offset: int
    """Wall less monotonic time when it was held: tells later by how much the wall clock was set since."""
    bytes: int = 0
    rows: int = 0
    verdict: Verdict | None = None
    described: Mask | None = None
    dirty: bool = False

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.held_id}.held"


class HeldReadings:
    """All held readings."""

    def __init__(self, index: Index, files: SegmentFolder, clock: Clock, steps: StepWatch) -> None:
        """Load what is held; how the clock was set while no collector ran cannot be told."""
        self._index = index
        self._files = files
        self._clock = clock
        self._steps = steps
        rows = index.all("SELECT id, source, minute, ahead, bytes, rows, verdict FROM held ORDER BY id")
        offset = steps.offset_us()
        self.files: dict[int, HeldFile] = {
            held_id: HeldFile(held_id, source, minute, ahead, offset, size, count, verdict)
            for held_id, source, minute, ahead, size, count, verdict in rows
        }
        self._current: dict[str, HeldFile] = {}

    def file_for(self, source: str, ahead: int) -> HeldFile:
        """Return the file that takes what `source` sends now, made durably in the index if it is new."""
        minute = to_micros(self._clock.now()) // _MINUTE_US * _MINUTE_US
        file = self._current.get(source)
        if file is None or file.minute != minute or file.held_id not in self.files:
            with self._index.transaction():
                held_id = self._index.run(
                    "INSERT INTO held (source, minute, ahead, bytes, rows) VALUES (?, ?, ?, 0, 0)",
                    (source, minute, ahead),
                )
            file = self._current[source] = HeldFile(held_id, source, minute, ahead, self._steps.offset_us())
            self.files[held_id] = file
        return file

    def adopt(self, held_id: int, source: str, minute: int, ahead: int) -> HeldFile:
        """Take over a file that the index (made anew) does not know."""
        with self._index.transaction():
            self._index.run(
                "INSERT INTO held (id, source, minute, ahead, bytes, rows) VALUES (?, ?, ?, ?, 0, 0)",
                (held_id, source, minute, ahead),
            )
        file = self.files[held_id] = HeldFile(held_id, source, minute, ahead, self._steps.offset_us())
        return file

    def due(self) -> list[tuple[HeldFile, Verdict]]:
        """Return what is decided: released where the wall clock was set right since, rejected after an hour."""
        now, offset = to_micros(self._clock.now()), self._steps.offset_us()
        decided: list[tuple[HeldFile, Verdict]] = []
        for file in self.files.values():
            set_by = offset - file.offset
            if file.verdict is not None:
                decided.append((file, file.verdict))
            elif file.ahead <= set_by + FUTURE_US:
                decided.append((file, "release"))
            elif now - set_by - file.minute >= HOLD_US + _MINUTE_US:
                decided.append((file, "reject"))
        return decided

    def decide(self, file: HeldFile, verdict: Verdict) -> None:
        """Note the verdict durably before a row is moved, so that a crash in between is finished, not repeated."""
        with self._index.transaction():
            self._index.run("UPDATE held SET verdict = ? WHERE id = ?", (verdict, file.held_id))
        file.verdict = verdict

    def read(self, file: HeldFile) -> Rows:
        """Return everything in a file."""
        try:
            data = map_file(self._files.folder / file.name, file.bytes)
        except FileNotFoundError:
            return Rows()
        frames = [frame for frame in scan(data, 0, len(data)) if isinstance(frame, Frame)]
        readings = [frame.rows.readings for frame in frames if frame.rows.readings is not None]
        texts = [frame.rows.texts for frame in frames if frame.rows.texts is not None]
        return Rows(Columns.concat(readings) if readings else None, TextRows.concat(texts) if texts else None)

    def forget(self, file: HeldFile) -> None:
        """Delete a file's index row in the running transaction; `remove` follows when that is durable."""
        self._index.run("DELETE FROM held WHERE id = ?", (file.held_id,))

    def remove(self, file: HeldFile) -> None:
        """Remove the file."""
        self.files.pop(file.held_id, None)
        self._files.remove(file.name)

    def save_dirty(self) -> None:
        """Write the index rows that are behind."""
        for file in self.files.values():
            if file.dirty:
                self._index.run(
                    "UPDATE held SET bytes = ?, rows = ? WHERE id = ?", (file.bytes, file.rows, file.held_id)
                )
                file.dirty = False

    def rows_by_source(self) -> dict[str, int]:
        """Return source -> readings held now."""
        found: dict[str, int] = {}
        for file in list(self.files.values()):
            found[file.source] = found.get(file.source, 0) + file.rows
        return found
