"""Is a source's clock wrong? And has the collector's own wall clock stepped?"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import structlog

from resources.core.clock import Clock, to_micros

log = structlog.get_logger(__name__)

LOOK_BACK_S = 10.0
"""The share of future readings is judged over this time, so that one outlier in a small batch is not a wrong clock."""
LEAST_READINGS = 20
"""...but over at least so many readings, for sources that send seldom."""
STEP_S = 2.0
"""A wall clock that moves this much against the monotonic one has stepped."""


@dataclass(slots=True)
class _Recent:
    buckets: deque[tuple[float, int, int]] = field(default_factory=deque)
    total: int = 0
    future: int = 0

    def note(self, now: float, total: int, future: int) -> None:
        if self.buckets and now - self.buckets[-1][0] < 1.0:
            then, old_total, old_future = self.buckets.pop()
            self.buckets.append((then, old_total + total, old_future + future))
        else:
            self.buckets.append((now, total, future))
        self.total += total
        self.future += future
        while now - self.buckets[0][0] > LOOK_BACK_S and self.total - self.buckets[0][1] >= LEAST_READINGS:
            _, old_total, old_future = self.buckets.popleft()
            self.total -= old_total
            self.future -= old_future


class SkewWatch:
    """Knows of every source whether more than half of its recent readings are in the future."""

    def __init__(self) -> None:
        """No source is suspected."""
        self._recent: dict[str, _Recent] = {}
        self.alarms: dict[str, int] = {}
        """Source -> since when (wall, microseconds)."""

    def note(self, source: str, clock: Clock, total: int, future: int) -> bool:
        """Count readings of a source; return True while its clock is to be taken for wrong."""
        recent = self._recent.get(source)
        if recent is None:
            recent = self._recent[source] = _Recent()
        recent.note(clock.monotonic(), total, future)
        skewed = 2 * recent.future > recent.total
        if skewed and source not in self.alarms:
            self.alarms[source] = to_micros(clock.now())
            log.error(
                "clock_skew",
                source=source,
                remedy="set the clock of the device, or of this machine; readings are held for an hour, then rejected",
            )
        elif not skewed and source in self.alarms:
            since = self.alarms.pop(source)
            log.info("clock_skew_over", source=source, lasted_s=round((to_micros(clock.now()) - since) / 1e6))
        return skewed


class StepWatch:
    """Sees the wall clock step against the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        """Take the present difference of the two clocks as right."""
        self._clock = clock
        self._offset = self.offset_us()
        self.steps = 0
        self.last_step_s = 0.0

    def offset_us(self) -> int:
        """Return wall time less monotonic time: it changes when the wall clock is set."""
        return to_micros(self._clock.now()) - int(self._clock.monotonic() * 1e6)

    def check(self) -> float:
        """Return the seconds the wall clock stepped since the last call, negative for back, 0 if it did not."""
        offset = self.offset_us()
        step_s = (offset - self._offset) / 1e6
        self._offset = offset
        if abs(step_s) <= STEP_S:
            return 0.0
        self.note(step_s)
        return step_s

    def note(self, step_s: float) -> None:
        """Count a step and raise the alarm."""
        self.steps += 1
        self.last_step_s = step_s
        log.error("clock_step", step_s=round(step_s, 3), remedy="check the time service (NTP) of this machine")
