"""When gaps are dealt with: after the windows they touch have closed, and their source has written its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from resources.databases.timescale.rework.gap_work import GapWork
from resources.integrations import Integrations
from resources.scada.history import HistoryOptions

SETTLED_AFTER = timedelta(seconds=30)
"""A gap is left alone for so long after its last window has closed: the window itself is stored first."""

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """When the history of a source is read, and how much of it."""

    margin: timedelta = timedelta(0)
    """History is read from so long before a gap to so long after it."""
    delay: timedelta = timedelta(0)
    """How long after a gap its history is read."""


def timings(config: Integrations) -> dict[str, Timing]:
    """Return the sources of a configuration whose gaps are filled from their history, by name."""
    return {
        name: Timing(source.history_margin, source.history_delay)
        for name, source in config.sources.items()
        if isinstance(source, HistoryOptions) and source.history
    }


def is_over(config: Integrations, gap: GapWork, timing: Timing | None, now: datetime) -> bool:
    """Return whether the windows that a gap touches have closed, and its source has had time to write its history.

    Args:
        config: The configuration.
        gap: The gap.
        timing: Of its source; None: it has no history.
        now: The present instant.
    """
    margin, delay = (timing.margin, timing.delay) if timing else (timedelta(0), timedelta(0))
    return config.grid.end_of(gap.until + margin - _TICK) + config.grace + max(delay, SETTLED_AFTER) <= now


def is_due(config: Integrations, gap: GapWork, timing: Timing | None, now: datetime) -> bool:
    """Return whether there is something to do about a gap now; arguments as `is_over`."""
    if not is_over(config, gap, timing, now):
        return False
    unjudged = gap.judged_to is None or gap.judged_to < gap.until
    waits = gap.next_attempt_at is not None and gap.next_attempt_at > now
    fillable = timing is not None and gap.filled_at is None and not gap.is_withdrawn
    return unjudged or (fillable and not waits)
