"""A log file that rotates by size and may be written by several processes at once."""

from __future__ import annotations

import fcntl
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 20_000_000
"""Size at which a log file is rotated."""

KEPT = 5
"""Rotated files kept beside the one being written."""


class SharedRotatingFileHandler(RotatingFileHandler):
    """Rotates under a file lock, and follows when another process has rotated.

    The handler of the standard library would go on writing into the renamed file, and rename it again.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        """Append to `path`, rotating at `max_bytes`, keeping `kept` older files."""
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.chmod(self.baseFilename, 0o600)
        return stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record into the file that carries the name now."""
        if self._was_rotated():
            self._reopen()
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802  # the name is the standard library's
        """Rotate, unless another process has just done so."""
        with open(f"{self.baseFilename}.lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._was_rotated():
                self._reopen()
            else:
                super().doRollover()

    def _was_rotated(self) -> bool:
        if self.stream is None:
            return False
        try:
            there = os.stat(self.baseFilename)
        except FileNotFoundError:
            return True
        ours = os.fstat(self.stream.fileno())
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _reopen(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream = self._open()
