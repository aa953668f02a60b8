"""One equipment scored live: the row that is being filled every second, and each window anew with every whole row."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gl_assets.scada.anomaly.scoring import Watched, row_of
from gl_assets.transforms.anomaly.episodes import anomalies, judge_rows
from gl_assets.transforms.anomaly.model import Stream
from gl_assets.transforms.anomaly.rows import hold
from resources.core.clock import from_micros
from resources.databases.timescale.anomaly.live_anomalies import LiveWindow
from sensors.collector.anomalies.columns import Values
from sensors.collector.anomalies.rows import Floats, LatestRows

SETTLE_US = 2_000_000
"""A row is whole this long after its end: readings need a moment to arrive."""


JUDGE_EVERY_US = 4_000_000
"""A window is judged anew at most this often, however short the rows are."""


class EquipmentScorer:
    """Rows of one equipment, and what its detectors say of them."""

    def __init__(self, watched: Watched, places: Mapping[int, int], *, window_us: int, now_us: int) -> None:
        """Begin with nothing known.

        Args:
            watched: The equipment and its detectors.
            places: Position among all watched sensors -> column of the detectors.
            window_us: Length of a window.
            now_us: The present.
        """
        self.watched = watched
        self.distance = float("nan")
        """Of the latest row over the limit: 1 is the limit itself; NaN while too little is known."""
        self.stands = False
        """Whether the latest row belongs to an anomaly of all sensors together."""
        self.stray = 0
        """Readings that were too old, or lay in the future."""
        trained = watched.trained
        self._window_us, self._step_us = window_us, trained.step_us
        # the row that is half over is none: its mean would be of fewer readings than those of training
        self._whole = now_us // self._step_us + 1
        """Number of the first row that is not whole."""
        self._since = self._whole
        self._places = np.full(max(places, default=-1) + 1, -1, dtype=np.int64)
        self._places[list(places)] = list(places.values())
        self._lead = trained.lead_rows
        # the window that goes on, the one before until its last row is whole, and what both look back on
        most = self._lead + 2 * (window_us // self._step_us) + 1
        self._rows = LatestRows(len(trained.names), step_us=self._step_us, most=most, now_us=now_us)
        self._stream = Stream(trained.multivariate)
        self._told = self._whole
        """Number of the first row that no window was judged with."""
        self._judged_us = now_us

    def take(self, values: Values, now_us: int) -> None:
        """Add readings; those of other equipment are left alone."""
        known = values.sensor < len(self._places)
        place = np.where(known, self._places[np.where(known, values.sensor, 0)], -1) if len(self._places) else known - 1
        own = place >= 0
        self._rows.move_to(now_us)
        if own.any():
            self.stray += self._rows.add(values.time_us[own], place[own], values.value[own])

    def look(self, now_us: int) -> list[LiveWindow]:
        """Score what is there; return the windows in which rows became whole, with all that was found in them."""
        self._rows.move_to(now_us)
        whole = (now_us - SETTLE_US) // self._step_us
        if whole > self._whole:
            self._stream.push(self._held(self._whole, whole))
            self._whole = whole
        self._look_at_the_row_in_progress(now_us)
        if self._whole == self._told or now_us - self._judged_us < JUDGE_EVERY_US:
            return []
        first, last = (row * self._step_us // self._window_us for row in (self._told, self._whole - 1))
        self._told, self._judged_us = self._whole, now_us
        return [self._found(number * self._window_us) for number in range(first, last + 1)]

    def _look_at_the_row_in_progress(self, now_us: int) -> None:
        """Score the rows that are not whole yet, as far as they go, without keeping that in mind.

        What the row in progress lacks is taken from the row before: its mean is then as sure as that of a whole one.
        """
        current = now_us // self._step_us
        if current <= self._since:
            return
        rows = self._held(self._whole - 1, current + 1)
        if len(rows) > 1:
            share = (now_us % self._step_us) / self._step_us
            filled = share * rows[-1] + (1.0 - share) * rows[-2]
            rows[-1] = np.where(np.isnan(filled), rows[-1], filled)
        scores = copy.copy(self._stream).push(rows[1:])
        if len(scores.statistic):
            self.distance = float(scores.statistic[-1] / scores.limit)
            self.stands = bool(scores.is_anomalous[-1])

    def _found(self, window_start_us: int) -> LiveWindow:
        """Judge a window as far as its rows are whole, in the way in which it is judged once it is stored."""
        start, end = window_start_us // self._step_us, (window_start_us + self._window_us) // self._step_us
        first, end = start - self._lead, min(end, self._whole)
        times_us = np.arange(first, end, dtype=np.int64) * self._step_us
        since_us = max(window_start_us, self._since * self._step_us)
        judged = judge_rows(self.watched.trained, times_us, self._held(first, end), from_us=since_us)
        found = tuple(
            replace(row_of(self.watched, one), found_by="collector") for one in anomalies(self.watched.trained, judged)
        )
        return LiveWindow(self.watched.equipment, from_micros(window_start_us), from_micros(since_us), found)

    def _held(self, first: int, end: int) -> Floats:
        """Return rows `[first, end)`, missing values held."""
        reach = self.watched.trained.hold_rows
        means = self._rows.means(first - reach, end)
        means[: max(self._since - (first - reach), 0)] = np.nan
        return hold(means, reach)[reach:]
