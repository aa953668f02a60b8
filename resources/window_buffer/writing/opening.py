"""What is settled before a buffer is opened: whose folder it is, and how much disk it may take."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

from resources.core.errors import ConfigError
from resources.core.windows import WindowGrid
from resources.window_buffer.disk.index import Index
from resources.window_buffer.disk.segments import SegmentFolder

LEAST_CAP = 1 << 30
"""The default disk cap is never less than 1 GiB."""


def agree(index: Index, folder: Path, collector: str, grid: WindowGrid) -> None:
    """Make the folder this collector's, with these windows.

    Raises:
        ConfigError: It holds windows of another collector or length.
    """
    held = len(index.window_rows("held"))
    was, was_us = index.meta("collector", collector), index.meta("window_us", grid.length_us)
    if held and was != collector:
        raise ConfigError(
            f"window buffer {folder} holds {held} windows of collector {was}, but collector.name is {collector}: "
            f"set it back to {was}, or set GL_HOME to another folder"
        )
    if held and was_us != grid.length_us:
        raise ConfigError(
            f"window buffer {folder} holds {held} windows of {timedelta(microseconds=was_us)}, but window is "
            f"{grid.length}: set it back, or store them with the old length and then run `gl window migrate`"
        )
    with index.transaction():
        index.set_meta(collector=collector, window_us=grid.length_us)


def default_cap(*folders: SegmentFolder) -> int:
    """Return half of the disk that is free or ours already, in bytes, at least LEAST_CAP."""
    used = sum(sum(folder.sizes().values()) for folder in folders)
    return max(LEAST_CAP, (shutil.disk_usage(folders[0].folder).free + used) // 2)
