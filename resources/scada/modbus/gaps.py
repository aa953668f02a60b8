"""Stretches of time that were not read although the connection was up, told as few long gaps. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from resources.core.clock import from_micros
from resources.scada.connector import StatusSink

_LONGEST_US = 60_000_000
"""A gap that goes on is told in pieces of this length: what was not told is lost when the process is killed."""


_CALM_US = 5_000_000


@dataclass(slots=True)
class _Gap:
    since_us: int
    until_us: int
    reason: str


class Gaps:
    """Gaps by what they are of: a unit that is silent, or the grid."""

    def __init__(self, status: StatusSink) -> None:
        """Tell `status`."""
        self._status = status
        self._open: dict[str, _Gap] = {}

    def extend(self, key: str, since_us: int, until_us: int, reason: str) -> None:
        """Note that nothing of `key` was read up to `until_us`; `since_us` counts where no gap is open yet."""
        gap = self._open.get(key)
        if gap is not None and until_us < gap.until_us:
            # the wall clock was set back: what is missed from now on lies before this gap, and is one of its own
            self.close(key)
            gap = None
        if gap is None:
            gap = self._open[key] = _Gap(min(since_us, until_us), until_us, reason)
        gap.until_us, gap.reason = max(until_us, gap.until_us), reason
        if gap.until_us - gap.since_us >= _LONGEST_US:
            self._tell(gap)
            gap.since_us = gap.until_us

    def close(self, key: str, until_us: int | None = None) -> None:
        """Note that `key` is read again, from `until_us` on if that is known better than by the last `extend`."""
        gap = self._open.pop(key, None)
        if gap is not None:
            gap.until_us = max(gap.until_us, until_us or gap.until_us)
            self._tell(gap)

    def settle(self, key: str, now_us: int) -> None:
        """Close a gap of `key` whose end lies back for a while: what comes and goes is one gap, not hundreds."""
        gap = self._open.get(key)
        if gap is not None and now_us - gap.until_us >= _CALM_US:
            self.close(key)

    def close_all(self) -> None:
        """Tell what is open, where the connection ends."""
        for key in list(self._open):
            self.close(key)

    def _tell(self, gap: _Gap) -> None:
        if gap.until_us > gap.since_us:
            self._status.missed(from_micros(gap.since_us), from_micros(gap.until_us), gap.reason)
