"""Times for readings that carry none of their own: when they were received, no two of one source alike."""

from __future__ import annotations

STEP_BACK_US = 1_000_000
"""A wall clock that is this much behind where it has been was set back; less is a clock that is being steered."""


class ReceiveTimes:
    """The receive times of one source (microseconds, UTC): strictly increasing until the wall clock is set back.

    The clock may stand still or waver between two readings, and readings may share the instant of one turn: each gets
    a time after the last one. When the clock is set back (NTP), times begin anew from what it says now. Were they kept
    behind the last one, all readings would lie in the future until the clock has been there again, be held for a wrong
    clock and rejected in the end. A time that was given before the step may then be given once more: the buffer
    settles that as it does every duplicate, and loses neither.
    """

    __slots__ = ("_clock_us", "_last_us")

    def __init__(self) -> None:
        """No time was given yet."""
        self._clock_us = 0
        self._last_us = 0

    def take(self, now_us: int, count: int = 1) -> int:
        """Return the first of `count` times in a row, a microsecond apart; `now_us` is what the wall clock says."""
        if now_us < self._clock_us - STEP_BACK_US:
            self._clock_us, self._last_us = now_us, now_us - 1
        self._clock_us = max(self._clock_us, now_us)
        first = max(now_us, self._last_us + 1)
        self._last_us = first + count - 1
        return first

    def copy(self) -> ReceiveTimes:
        """Return one that goes on from here by itself."""
        other = ReceiveTimes()
        other._clock_us, other._last_us = self._clock_us, self._last_us
        return other
