"""The reader's side of the window buffer: any process, beside the writer or without it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from resources.window_buffer.contents import WindowContents
from resources.window_buffer.model import BufferedWindow, Gap, SourceCounts


class BufferReader:
    """Reads a buffer folder; a folder that does not exist yet is an empty buffer. Safe in several threads."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is opened yet."""
        self._folder = folder

    def windows(self) -> list[BufferedWindow]:
        """Return the last closed revision of every held window, oldest first."""
        raise NotImplementedError

    def wait_for_change(self, token: str, timeout_s: float) -> str:
        """Wait until a revision has closed since `token` was returned, at most `timeout_s`; return the new token.

        The token is opaque and may be kept in a cursor; `""` returns at once. An unchanged token means time-out.
        """
        raise NotImplementedError

    def read(self, window_start: datetime) -> WindowContents:
        """Return the last closed revision of a window, deduplicated and sorted.

        Raises:
            WindowNotHeldError: No closed revision of this window is held.
        """
        raise NotImplementedError

    def gaps(self) -> list[Gap]:
        """Return all gaps, oldest first."""
        raise NotImplementedError

    def counts(self) -> dict[str, SourceCounts]:
        """Return source -> counters as of the writer's last checkpoint (at most a second or one tick old)."""
        raise NotImplementedError
