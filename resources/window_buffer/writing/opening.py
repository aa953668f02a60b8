"""What is settled when a buffer is opened: whose folder it is, how much disk it may take, and when nobody ran."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from resources.core.errors import ConfigError
from resources.core.tags import SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.books import GapBook
from resources.window_buffer.disk.columns import Int64s
from resources.window_buffer.disk.index import Index
from resources.window_buffer.disk.segments import SegmentFolder
from resources.window_buffer.windows import Windows

LEAST_CAP = 1 << 30
"""The default disk cap is never less than 1 GiB."""

_ON_ITS_WAY_US = 5_000_000
"""A source delivers within this time of measuring; one that has measured nothing for longer had nothing to deliver."""


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
    if (index.meta("collector"), index.meta("window_us")) != (collector, grid.length_us):
        with index.transaction():
            index.set_meta(collector=collector, window_us=grid.length_us)


def default_cap(*folders: SegmentFolder) -> int:
    """Return half of the disk that is free or ours already, in bytes, at least LEAST_CAP."""
    used = sum(sum(folder.sizes().values()) for folder in folders)
    return max(LEAST_CAP, (shutil.disk_usage(folders[0].folder).free + used) // 2)


def newest_times(catalog: SensorCatalog, last_known: Int64s) -> dict[str, int]:
    """Return source -> the newest source time that became a reading of it, microseconds."""
    newest: dict[str, int] = {}
    for sensor, at in zip(catalog.sensors, last_known.tolist(), strict=True):
        newest[sensor.source] = max(newest.get(sensor.source, at), at)
    return newest


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a run, as its first checkpoint notes it."""

    index: Index
    gaps: GapBook
    windows: Windows
    sources: frozenset[str]
    newest: Mapping[str, int]
    """Source -> the newest source time that became a reading of it."""
    heartbeat: int
    """When the last run was last known to be there, microseconds; 0 if there was none."""
    now: int

    def note(self, window: int) -> None:
        """Note since when nobody ran, and that somebody does, from `window` on; may be repeated if it was undone."""
        if self.heartbeat:
            before = frozenset(json.loads(self.index.meta("sources", "[]")))
            for source in before & self.sources:
                # what a source had measured, and not delivered when we ended, is missing as well
                on_its_way = self.heartbeat - _ON_ITS_WAY_US <= self.newest.get(source, 0) < self.heartbeat
                since = self.newest[source] if on_its_way else self.heartbeat
                self.gaps.note_absence([source], since, self.now)
        self.windows.open([window], self.sources)
        if self.index.meta("clean_end", 1) and self.now > window:
            self.windows.mark_partial(window)
        self.index.set_meta(clean_end=0, sources=json.dumps(sorted(self.sources)))
