"""The filter of one kind of sensors (numbers, or texts as numbers): which rows are kept, which are let go later."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from resources.scada.report_filter import wide
from resources.scada.report_filter.narrow import Run
from resources.scada.report_filter.rules import Frame, Int64s, Mask, Rules, Slots
from resources.scada.report_filter.state import Rows, State

WIDE_FROM = 8
"""Sensors per round from which array operations are the faster way (`python -m benchmarks.scada.report_filter`)."""


class Engine:
    """Judges rows in their order, sensor by sensor; `let_go` collects held rows that are kept after all."""

    def __init__(self, rules: Rules, frame: Frame, sensors: int) -> None:
        """Filter by `rules`; the catalog has `sensors` sensors."""
        self.rules, self.frame = rules, frame
        self.state = State(len(rules))
        self._slots: Slots = np.full(sensors + 1, -1, dtype=np.intp)
        """Number of a sensor in the catalog -> its slot, -1 if it is not filtered; the last is for unknown numbers."""
        self._slots[rules.keys] = np.arange(len(rules))
        self._let_go: list[Rows] = []

    def slots_of(self, keys: npt.NDArray[np.int32]) -> Slots:
        """Return the slots of sensors by their numbers; -1 for those that are not filtered, or not in the catalog."""
        # a negative number is a large one when taken for unsigned
        return self._slots[np.minimum(keys.view(np.uint32), len(self._slots) - 1)]

    @property
    def held(self) -> int:
        """How many readings are held."""
        return int(np.count_nonzero(self.state.held))

    def know(self, times: Int64s) -> None:
        """Take `times`, by the number of the sensor in the catalog, for the newest ones of earlier runs."""
        self.state.floor[:] = times[self.rules.keys]

    def judge(self, rows: Rows, lost: Mask) -> Mask:
        """Return which of `rows` are kept; `lost` is true where there is no value to compare with."""
        if len(rows) == 1:
            return np.array(self._judge_one(rows, lost))
        order = np.argsort(rows.slots, kind="stable")
        edges = np.flatnonzero(np.diff(rows.slots[order])) + 1
        if len(edges) + 1 == len(rows) and len(rows) >= WIDE_FROM:
            return wide.judge(self.rules, self.frame, self.state, rows, lost, self._let_go)
        starts = np.concatenate(([0], edges))
        lengths = np.diff(np.append(starts, len(rows)))
        keep = np.zeros(len(rows), dtype=np.bool_)
        if len(rows) < WIDE_FROM * int(lengths.max()):
            for part in np.split(order, edges):
                keep[part] = self._judge_one(rows.take(part), lost[part])
            return keep
        rank = np.arange(len(rows)) - np.repeat(starts, lengths)
        by_rank = np.argsort(rank, kind="stable")
        for part in np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]):
            keep[part] = wide.judge(self.rules, self.frame, self.state, rows.take(part), lost[part], self._let_go)
        return keep

    def _judge_one(self, rows: Rows, lost: Mask) -> list[bool]:
        run = Run(self.rules, self.frame, self.state, int(rows.slots[0]))
        columns = (rows.times, rows.values, rows.statuses, rows.received, lost)
        keep = [
            run.judge(time, value, status, received, lost=none)
            for time, value, status, received, none in zip(*(column.tolist() for column in columns), strict=True)
        ]
        self._let_go += run.give_back(self.state)
        return keep

    def first(self, rows: Rows, lost: Mask) -> None:
        """Take `rows`, which are kept whatever they are, for the last ones kept, where they are newer than those."""
        rows, lost = self._believed(rows, lost)
        order = np.argsort(rows.times, kind="stable")[::-1]
        newest = order[np.unique(rows.slots[order], return_index=True)[1]]
        state, slots = self.state, rows.slots[newest]
        newest = newest[rows.times[newest] > np.maximum(state.seen[slots], state.floor[slots])]
        rows, lost = rows.take(newest), lost[newest]
        self.release(self.state.held[rows.slots], rows.slots)
        self.state.anchor(rows)
        self.state.forget(rows.slots[lost])

    def _believed(self, rows: Rows, lost: Mask) -> tuple[Rows, Mask]:
        good = (rows.times <= rows.received + self.frame.future) & (rows.times >= self.frame.start)
        return rows.take(good), lost[good]

    def release(self, chosen: Mask, slots: Slots | None = None) -> None:
        """Let the held rows go where `chosen`, by slot."""
        where = np.flatnonzero(chosen) if slots is None else slots[chosen]
        if len(where):
            self._let_go.append(self.state.let_go(where))

    def forget(self, slots: Slots) -> None:
        """Let the held rows of `slots` go, and take the next value of each for a first one.

        Not one that is older than what is kept already: a broker gives again what was not acknowledged. Were it
        compared with, readings would be left out that are close to it, but not to what stands behind it in the store.
        """
        self.release(self.state.held[slots], slots)
        self.state.floor[slots] = np.maximum(self.state.floor[slots], self.state.seen[slots])
        self.state.forget(slots)

    def release_due(self, now_us: int, window_us: int | None) -> None:
        """Let go what was held for the longest silence, and what lies before the window that begins now, if any."""
        state = self.state
        due = state.held & (now_us - state.received >= self.rules.silence)
        if window_us is not None:
            due |= state.held & (state.held_time < window_us)
        if due.any():
            self.release(due)

    def take_let_go(self) -> Rows | None:
        """Return the held rows that were let go since the last call."""
        if not self._let_go:
            return None
        rows, self._let_go = Rows.concat(self._let_go), []
        return rows
