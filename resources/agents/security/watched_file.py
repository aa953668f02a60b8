"""A file that may be replaced while the program runs: keys are rotated and a roster is edited without a restart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import structlog

from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

Content = TypeVar("Content")

LOOK_EVERY_S = 0.05
"""A file is looked at so often at most: a call of the kernel for every message of a broadcast costs more than it tells,
and a revoked key that is believed this much longer was believed before."""

Stamp = tuple[int, ...]


class WatchedFile(Generic[Content]):
    """What a file says, read again once it was replaced or written to; safe from any thread.

    A file that turned unreadable keeps its last good content in force, and is logged once.
    """

    def __init__(
        self, path: Path, load: Callable[[Path], Content], *, unreadable: str, look_every_s: float | None = None
    ) -> None:
        """Read `path` with `load`.

        Args:
            path: The file.
            load: Makes the content of it.
            unreadable: The event that is logged when it cannot be read later.
            look_every_s: How often `current` looks at most; LOOK_EVERY_S if absent.

        Raises:
            ConfigError: What `load` raises.
        """
        self.path = path
        self._load = load
        self._unreadable = unreadable
        self._lock = Lock()
        # before it is read: what is written meanwhile is read again
        self._stamp = stamp(path)
        self._look_every_s = look_every_s
        self._look_at = self._next_look()
        self._broken = False
        self.content = load(path)
        """What it said when it was last read; `current` looks whether that still holds."""

    def current(self) -> Content:
        """Return what the file says, or said a moment ago."""
        if time.monotonic() >= self._look_at:
            self.look()
        return self.content

    def look(self) -> bool:
        """Look at the file now and return whether it was read again."""
        self._look_at = self._next_look()
        found = stamp(self.path)
        return found != self._stamp and self.read(found)

    def read(self, found: Stamp | None = None) -> bool:
        """Read the file whether or not it looks changed, and return whether it could be read."""
        with self._lock:
            self._stamp = stamp(self.path) if found is None else found
            try:
                self.content = self._load(self.path)
            except ConfigError as error:
                if not self._broken:
                    log.error(self._unreadable, path=str(self.path), error=str(error))
                self._broken = True
                return False
            self._broken = False
            return True

    def _next_look(self) -> float:
        return time.monotonic() + (LOOK_EVERY_S if self._look_every_s is None else self._look_every_s)


def stamp(path: Path) -> Stamp:
    """Return what changes when a file is replaced or written to; empty if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (status.st_ino, status.st_mtime_ns, status.st_size)
