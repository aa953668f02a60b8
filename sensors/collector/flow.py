"""What has passed through the pipeline: commits, acknowledgements, closed windows, and how long messages took."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch
from sensors.collector.histogram import ArrayHistogram

LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
COMMIT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Cut = list[tuple[str, npt.NDArray[np.int64]]]
"""(source, source times) of the batches between two commits."""


class Flow:
    """Figures of the pipeline since the start of the process."""

    def __init__(self, sources: tuple[str, ...]) -> None:
        """Begin with zeros for every source."""
        self.latency = {source: ArrayHistogram(LATENCY_BOUNDS_S) for source in sources}
        """Source time to durable, seconds, per source."""
        self.commits = ArrayHistogram(COMMIT_BOUNDS_S)
        """Duration of a group commit, seconds."""
        self.rows = 0
        """Rows made durable."""
        self.acknowledged = 0
        """Batches acknowledged."""
        self.closed_windows = 0
        """Revisions closed."""
        self.refused_commits = 0
        """Commits that the buffer refused because it was full."""
        self._open: Cut = []

    def taken(self, batch: ReadingBatch) -> None:
        """Note a batch that waits for its commit. First values are as old as they are: they say nothing of latency."""
        if batch.only_if_newer:
            return
        for part in (batch.readings, batch.texts):
            if part is not None and part.num_rows:
                self._open.append((batch.source, part.column("time").view("int64").to_numpy()))

    def cut(self) -> Cut:
        """Return the batches noted so far, and begin anew."""
        cut, self._open = self._open, []
        return cut

    def uncut(self, cut: Cut) -> None:
        """Take back a cut whose commit failed."""
        self.refused_commits += 1
        self._open = cut + self._open

    def committed(self, cut: Cut, rows: int, now: datetime, seconds: float) -> None:
        """Note that a cut is durable since `now`, by a commit that took `seconds`."""
        self.rows += rows
        if rows:
            self.commits.observe(seconds)
        now_us = to_micros(now)
        by_source: dict[str, list[npt.NDArray[np.int64]]] = {}
        for source, times in cut:
            by_source.setdefault(source, []).append(times)
        for source, parts in by_source.items():
            # a device whose clock is ahead must not count as faster than light
            self.latency[source].observe(np.maximum(now_us - np.concatenate(parts), 0) / 1e6)
