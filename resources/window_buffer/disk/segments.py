"""Segment files: one per window (or per minute of held readings), appended to, cut back after a crash, removed whole.

No frame is ever rewritten. A growing segment is filled ahead with zeros, at most 1 MiB: an fsync of bytes that replace
zeros needs no commit of the file system's journal, which halves its time (docs/decisions/0001-window-buffer.md).
The zeros are cut off when the window closes. A name is `<start in UTC>.<generation>.seg`; the generation rises when a
window that was dropped gets late readings, so that a left-over file is never taken for the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

from resources.core.clock import from_micros, to_micros
from resources.core.process.durable_file import sync_folder
from resources.window_buffer.disk.frames import Buffer
from resources.window_buffer.model import BufferLockedError

MOST_OPEN_FILES = 64
FILL_FROM = 1 << 16
FILL_MOST = 1 << 20
_ZEROS = bytes(FILL_MOST)
_NAME = re.compile(r"^(\d{8}T\d{6}Z)\.(\d+)\.seg$")
_TIME = "%Y%m%dT%H%M%SZ"


def segment_name(start_us: int, generation: int) -> str:
    """Return the file name of a window's segment."""
    return f"{from_micros(start_us):{_TIME}}.{generation}.seg"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Return (start in microseconds, generation) of a segment's file name, None if it is none."""
    match = _NAME.match(name)
    if match is None:
        return None
    return to_micros(datetime.strptime(match.group(1), _TIME).replace(tzinfo=UTC)), int(match.group(2))


def map_file(path: Path, size: int) -> mmap.mmap | bytes:
    """Return the first `size` bytes of a file for reading, without copying them.

    Raises:
        FileNotFoundError: There is no such file.
    """
    with path.open("rb") as file:
        size = min(size, os.fstat(file.fileno()).st_size)
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""


class SegmentFolder:
    """The segment files of one folder, opened for appending as needed, a bounded number at a time."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is absent."""
        self.folder = folder
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        self._open: OrderedDict[str, int] = OrderedDict()
        self._unsynced: set[str] = set()
        self._new_names = False
        self._filled: dict[str, tuple[int, int]] = {}
        """Name -> (end of the frames, end of the zeros)."""

    def sizes(self) -> dict[str, int]:
        """Return file name -> size of everything in the folder."""
        return {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)}

    def append(self, name: str, at: int, parts: list[Buffer]) -> int:
        """Write `parts` to the end of a file, which is at `at`, and return the new end; durable after `sync` only.

        Raises:
            OSError: The disk is full or broken; the caller cuts the file back.
        """
        descriptor = self._descriptor(name)
        self._unsynced.add(name)
        length = sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)
        written = os.pwritev(descriptor, parts, at)
        if written < length:
            # a short write (a nearly full disk): the rest in one piece, so that the error shows itself
            rest = memoryview(b"".join(bytes(part) for part in parts))[written:]
            while rest:
                step = os.pwrite(descriptor, rest, at + written)
                written, rest = written + step, rest[step:]
        self._fill(name, descriptor, at + length)
        return at + length

    def _fill(self, name: str, descriptor: int, end: int) -> None:
        """Keep zeros ahead of a segment that has shown to grow; half the time of the next fsyncs is worth one write."""
        filled = self._filled.get(name, (0, 0))[1]
        if end >= FILL_FROM and end > filled:
            grown = min(end, FILL_MOST)
            try:
                filled = end + os.pwrite(descriptor, _ZEROS[:grown], end)
            except OSError:
                filled = end  # a nearly full disk: the frame itself is written
        if filled:
            self._filled[name] = (end, filled)

    def trim(self, name: str) -> None:
        """Cut the zeros off a segment that is not expected to grow."""
        end, filled = self._filled.pop(name, (0, 0))
        if filled > end:
            os.ftruncate(self._descriptor(name), end)

    def sync(self) -> None:
        """Make everything appended so far durable, new names included."""
        for name in list(self._unsynced):
            os.fdatasync(self._descriptor(name))
            self._unsynced.discard(name)
        if self._new_names:
            sync_folder(self.folder)
            self._new_names = False

    def cut(self, name: str, size: int) -> None:
        """Cut a file back to `size`, durably; a file that does not exist is left alone."""
        if not (self.folder / name).exists():
            return
        descriptor = self._descriptor(name)
        self._filled.pop(name, None)
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
        self._unsynced.discard(name)

    def remove(self, name: str) -> None:
        """Remove a file; a missing one is fine."""
        self._filled.pop(name, None)
        self._close(name)
        self._unsynced.discard(name)
        (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Cut off all zeros and close all files."""
        for name in list(self._filled):
            self.trim(name)
        for name in list(self._open):
            self._close(name)

    def _close(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def _descriptor(self, name: str) -> int:
        descriptor = self._open.get(name)
        if descriptor is not None:
            self._open.move_to_end(name)
            return descriptor
        if len(self._open) >= MOST_OPEN_FILES:
            # closing does not sync, but a later fdatasync through another descriptor covers the same file
            self._close(next(iter(self._open)))
        path = self.folder / name
        self._new_names = self._new_names or not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._open[name] = descriptor
        return descriptor


class WriterLock:
    """The right to write to a buffer folder; the kernel takes it back when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            BufferLockedError: Another process has it; the message names it.
        """
        path = folder / "writer.lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            said = os.pread(self._descriptor, 32, 0).strip()
            os.close(self._descriptor)
            pid = int(said) if said.isdigit() else 0
            raise BufferLockedError(
                f"window buffer {folder} is written by process {pid or 'unknown'}: a buffer has one writer; "
                "stop that process, or set GL_HOME to another folder",
                pid=pid,
            ) from error
        with contextlib.suppress(OSError):
            # the number is for messages only: a full disk must not keep the buffer from being opened
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the lock back; the file stays, since removing it would let two processes hold two locks."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
