"""What a start does first: find what the last run wrote after its last checkpoint, and cut off what a crash tore.

Only the last commit before a crash can be torn, since the next one begins after its fsync. So bytes at the end of a
file that are no frame were never acknowledged and are cut; bytes before whole frames are a fault of the disk: they
are kept and counted, and the frames behind them are used.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from resources.window_buffer.disk.frames import Frame, scan
from resources.window_buffer.disk.index import INDEX_NAME, Index
from resources.window_buffer.disk.segments import SegmentFolder, map_file, parse_segment_name
from resources.window_buffer.held import HeldFile, HeldReadings
from resources.window_buffer.sensors import Sensors
from resources.window_buffer.windows import NOT_HEARD, Window, Windows
from resources.window_buffer.writing.group_writer import Counts, merge_counts

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Recovered:
    """What was found behind the last checkpoint."""

    counts: Counts = field(default_factory=dict)
    next_sequence: int = 0
    written_at: int = 0
    """Wall time of the newest frame, microseconds; 0 if none."""
    moved: dict[int, set[int]] = field(default_factory=dict)
    """Held file -> starts of the windows its rows have reached."""


def open_index(folder: Path) -> tuple[Index, bool]:
    """Return the index and whether it is new; an unreadable one is set aside, since the segments can replace it."""
    path = folder / INDEX_NAME
    fresh = not path.exists()
    try:
        index = Index(folder)
        if fresh or index.all("PRAGMA quick_check(1)") == [("ok",)]:
            return index, fresh
        index.close()
        fault = "quick_check failed"
    except sqlite3.OperationalError:
        raise  # locked or not writable: not the content's fault
    except sqlite3.DatabaseError as error:
        fault = str(error)
    number = sum(1 for _ in folder.glob(f"{INDEX_NAME}.damaged-*"))
    path.rename(folder / f"{INDEX_NAME}.damaged-{number}")
    for suffix in ("-wal", "-shm"):
        (folder / f"{INDEX_NAME}{suffix}").unlink(missing_ok=True)
    log.error(
        "index_damaged", fault=fault, kept_as=f"{INDEX_NAME}.damaged-{number}", remedy="rebuilt from the segments"
    )
    return Index(folder), True


class Recovery:
    """One pass over the files at start."""

    def __init__(self, index: Index, windows: Windows, sensors: Sensors) -> None:
        """Bring `windows` and `sensors` up to date with the files."""
        self._index = index
        self._windows = windows
        self._sensors = sensors
        self.found = Recovered()

    def segments(self, folder: SegmentFolder) -> None:
        """Go over the segments of all windows."""
        sizes = folder.sizes()
        for name, size in sorted(sizes.items()):
            parsed = parse_segment_name(name)
            if parsed is None:
                log.warning("unknown_file", name=name, folder=str(folder.folder))
                continue
            window = self._windows.held.get(parsed[0])
            if window is not None and window.generation == parsed[1]:
                self._catch_up(window, folder, size)
            elif self._index.window_rows("start = ? AND generation >= ?", parsed):
                folder.remove(name)  # dropped; the crash came between the index and the file
            else:
                self._adopt(folder, name, size)
        for window in self._windows.held.values():
            if window.bytes and window.name not in sizes:
                self._catch_up(window, folder, 0)

    def _adopt(self, folder: SegmentFolder, name: str, size: int) -> None:
        start, generation = parse_segment_name(name) or (0, 0)
        data = map_file(folder.folder / name, size)
        first = next((item for item in scan(data, 0, len(data)) if isinstance(item, Frame)), None)
        said = json.loads(first.stamp.meta or b"{}").get("w") if first else None
        if said is None:
            # not one acknowledged commit is in it, or its first frame is damaged: the grid's length is in the index
            said = {"end": start + int(self._index.meta("window_us")), "complete": False}
        window = Window(start, said["end"], generation, complete=said["complete"], stored_revision=NOT_HEARD)
        self._catch_up(window, folder, size)
        with self._index.transaction():
            self._windows.adopt(window)
        log.warning("segment_adopted", window=window.key, rows=window.rows)

    def _catch_up(self, window: Window, folder: SegmentFolder, size: int) -> None:
        if size == window.bytes:
            return
        counted = window.bytes
        if size < window.bytes:
            log.error(
                "segment_truncated", window=window.key, expected=window.bytes, found=size, remedy="check the disk"
            )
            window.damaged += window.bytes - size
            window.bytes = window.rows = 0
            window.complete = False
        for frame in self._frames(window, folder, size):
            window.rows += frame.rows.count
            meta = json.loads(frame.stamp.meta or b"{}")
            if frame.offset >= counted:
                merge_counts(self.found.counts, meta.get("c", {}))
            if "m" in meta:
                self.found.moved.setdefault(meta["m"], set()).add(window.start)
            self._learn(frame)
        window.closed_bytes = min(window.closed_bytes, window.bytes)
        window.closed_rows = min(window.closed_rows, window.rows)
        window.dirty = True

    def _learn(self, frame: Frame) -> None:
        self._sensors.learn(frame.stamp.sensors)
        for part in (frame.rows.readings, frame.rows.texts):
            if part is not None:
                np.maximum.at(self._sensors.last_known, part.key, part.time)
                self._sensors.dirty = True

    def _frames(self, file: Window | HeldFile, folder: SegmentFolder, size: int) -> list[Frame]:
        """Return the frames behind `file.bytes`, set it to the end of the last, and cut off what is torn."""
        if size == 0:
            return []
        frames = []
        data = map_file(folder.folder / file.name, size)
        for item in scan(data, file.bytes, len(data)):
            if isinstance(item, Frame):
                frames.append(item)
                self.found.next_sequence = max(self.found.next_sequence, item.next_sequence)
                self.found.written_at = max(self.found.written_at, item.stamp.written_at)
                file.bytes = item.end
            elif item.end == len(data):
                # zeros are what was filled ahead; anything else was torn
                torn = len(bytes(memoryview(data)[item.offset :]).rstrip(b"\0"))
                folder.cut(file.name, item.offset)
                file.bytes = item.offset
                if torn:
                    log.warning("torn_commit_cut", file=file.name, bytes=torn)
            elif isinstance(file, Window):
                file.damaged += item.end - item.offset
                file.complete = False
                log.error(
                    "segment_damaged",
                    file=file.name,
                    at=item.offset,
                    bytes=item.end - item.offset,
                    remedy="check the disk",
                )
        return frames

    def held(self, held: HeldReadings, folder: SegmentFolder, *, fresh_index: bool) -> None:
        """Go over the files of held readings."""
        names = {file.name: file for file in held.files.values()}
        for name, size in folder.sizes().items():
            file = names.get(name)
            if file is None and fresh_index:
                file = self._adopt_held(held, folder, name, size)
            if file is None:
                folder.remove(name)  # moved; the crash came between the index and the file
                continue
            for frame in self._frames(file, folder, size):
                file.rows += frame.rows.count
                merge_counts(self.found.counts, json.loads(frame.stamp.meta or b"{}").get("c", {}))
                self._sensors.learn(frame.stamp.sensors)
                file.dirty = True

    @staticmethod
    def _adopt_held(held: HeldReadings, folder: SegmentFolder, name: str, size: int) -> HeldFile | None:
        data = map_file(folder.folder / name, size)
        first = next((item for item in scan(data, 0, len(data)) if isinstance(item, Frame)), None)
        said = json.loads(first.stamp.meta or b"{}").get("h") if first else None
        stem = name.removesuffix(".held")
        return held.adopt(int(stem), *said) if said and stem.isdigit() else None
