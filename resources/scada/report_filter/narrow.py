"""Many rows of one sensor, judged one after the other on plain numbers; the same rules as `wide`, which see.

Each row depends on what became of the one before, so arrays do not help here: this takes a microsecond per row, an
array operation of one element takes as long, and `wide` is some forty of them.
"""

from __future__ import annotations

import math

import numpy as np

from resources.scada.report_filter.rules import Frame, Rules
from resources.scada.report_filter.state import NEVER, Rows, State


class Run:
    """The state of one sensor in plain numbers, for the rows of one batch."""

    __slots__ = (
        "absolute", "door", "floor", "frame", "held", "held_received", "held_time", "held_value", "high", "let_go",
        "low", "received", "relative", "seen", "silence", "slot", "status", "time", "value",
    )  # fmt: skip

    def __init__(self, rules: Rules, frame: Frame, state: State, slot: int) -> None:
        """Take over what is known of the sensor at `slot`."""
        self.slot, self.frame = slot, frame
        self.door, self.silence = bool(rules.door[slot]), int(rules.silence[slot])
        self.absolute, self.relative = float(rules.absolute[slot]), float(rules.relative[slot])
        self.floor = int(state.floor[slot])
        self.seen, self.time, self.received = int(state.seen[slot]), int(state.time[slot]), int(state.received[slot])
        self.value, self.status, self.held = float(state.value[slot]), int(state.status[slot]), bool(state.held[slot])
        self.held_time, self.held_value = int(state.held_time[slot]), float(state.held_value[slot])
        self.held_received = int(state.held_received[slot])
        self.low, self.high = float(state.low[slot]), float(state.high[slot])
        self.let_go: list[tuple[int, float, int, int]] = []
        """(time, value, status, received) of held readings that are kept after all."""

    def judge(self, time: int, value: float, status: int, received: int, *, lost: bool) -> bool:
        """Return whether a row is kept."""
        frame = self.frame
        if time <= self.seen or time <= self.floor or time > received + frame.future or time < frame.start:
            return True
        if lost or self.seen == NEVER or status != self.status:
            if self.held:
                self._let_go()
            self._anchor(time, value, status, received)
            if lost:
                self.seen = NEVER
            return True
        return self._compare(time, value, received)

    def _compare(self, time: int, value: float, received: int) -> bool:
        length = self.frame.window
        window = time // length
        entered = self.time // length != window
        if entered and self.held:
            self._let_go()
        slope = (value - self.value) / (time - self.time)
        beyond = False
        if self.door:
            if slope < self.low or slope > self.high:
                self._let_go()
                slope = (value - self.value) / (time - self.time)
        else:
            beyond = abs(value - self.value) > max(self.absolute, self.relative * abs(self.value))
        ended = window < received // length and received <= (window + 1) * length + self.frame.grace
        if beyond or entered or ended or time - self.time >= self.silence:
            self._anchor(time, value, self.status, received)
            return True
        reach = self.absolute / (time - self.time)
        self.low, self.high = max(self.low, slope - reach), min(self.high, slope + reach)
        self.seen = self.held_time = time
        self.held_value, self.held_received, self.held = value, received, True
        return False

    def _anchor(self, time: int, value: float, status: int, received: int) -> None:
        self.seen = self.time = time
        self.value, self.status, self.received, self.held = value, status, received, False
        self.low, self.high = -math.inf, math.inf

    def _let_go(self) -> None:
        self.let_go.append((self.held_time, self.held_value, self.status, self.held_received))
        self.time, self.value, self.received, self.held = self.held_time, self.held_value, self.held_received, False
        self.low, self.high = -math.inf, math.inf

    def give_back(self, state: State) -> list[Rows]:
        """Write what is known into `state`; return the held readings that are kept after all."""
        slot = self.slot
        state.seen[slot], state.time[slot], state.received[slot] = self.seen, self.time, self.received
        state.value[slot], state.status[slot], state.held[slot] = self.value, self.status, self.held
        state.held_time[slot], state.held_value[slot] = self.held_time, self.held_value
        state.held_received[slot], state.low[slot], state.high[slot] = self.held_received, self.low, self.high
        if not self.let_go:
            return []
        times, values, statuses, received = zip(*self.let_go, strict=True)
        return [
            Rows(
                np.full(len(times), slot, dtype=np.intp),
                np.array(times, dtype=np.int64),
                np.array(values),
                np.array(statuses, dtype=np.uint8),
                np.array(received, dtype=np.int64),
            )
        ]
