"""What the filter remembers of each sensor, and the rows it lets go later than they came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resources.scada.report_filter.rules import Floats, Int64s, Mask, Slots

NEVER = np.iinfo(np.int64).min
"""Time of a sensor that nothing is known of."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings of filtered sensors, aligned arrays; times in microseconds."""

    slots: Slots
    times: Int64s
    values: Floats
    statuses: npt.NDArray[np.uint8]
    received: Int64s

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.slots)

    def take(self, chosen: Mask | Slots) -> Rows:
        """Return some of the rows."""
        return Rows(
            self.slots[chosen],
            self.times[chosen],
            self.values[chosen],
            self.statuses[chosen],
            self.received[chosen],
        )

    @staticmethod
    def concat(parts: list[Rows]) -> Rows:
        """Return several as one."""
        return Rows(
            np.concatenate([part.slots for part in parts]),
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.statuses for part in parts]),
            np.concatenate([part.received for part in parts]),
        )


class State:
    """One entry per filtered sensor, aligned.

    The anchor is the last reading kept. The held one is the newest of those left out since: it is let go (kept after
    all) when a door turns, and when a window, a connection or the run ends. Both have the anchor's status.
    """

    def __init__(self, count: int) -> None:
        """Know nothing of any sensor."""
        self.seen = np.full(count, NEVER, dtype=np.int64)
        """Newest source time; NEVER: the next value is a first one."""
        self.floor = np.full(count, NEVER, dtype=np.int64)
        """Newest source time of earlier connections and runs: what is not newer comes again, and is kept as it is."""
        self.time = np.zeros(count, dtype=np.int64)
        self.value = np.zeros(count)
        self.status = np.zeros(count, dtype=np.uint8)
        self.received = np.zeros(count, dtype=np.int64)
        self.held = np.zeros(count, dtype=np.bool_)
        self.held_time = np.zeros(count, dtype=np.int64)
        self.held_value = np.zeros(count)
        self.held_received = np.zeros(count, dtype=np.int64)
        self.low = np.full(count, -np.inf)
        """Least slope (unit per microsecond) of a line from the anchor that all readings left out lie close to."""
        self.high = np.full(count, np.inf)
        """Greatest such slope."""

    def anchor(self, rows: Rows) -> None:
        """Take `rows`, one per sensor, for the last ones kept."""
        slots = rows.slots
        self.seen[slots] = self.time[slots] = rows.times
        self.value[slots], self.status[slots], self.received[slots] = rows.values, rows.statuses, rows.received
        self.held[slots] = False
        self.low[slots], self.high[slots] = -np.inf, np.inf

    def hold(self, rows: Rows) -> None:
        """Leave `rows`, one per sensor, out for now."""
        slots = rows.slots
        self.seen[slots] = self.held_time[slots] = rows.times
        self.held_value[slots], self.held_received[slots] = rows.values, rows.received
        self.held[slots] = True

    def let_go(self, slots: Slots) -> Rows:
        """Return the held readings of `slots`, each of which has one; they are the anchors from now on."""
        rows = Rows(
            slots,
            self.held_time[slots],
            self.held_value[slots],
            self.status[slots],
            self.held_received[slots],
        )
        self.time[slots], self.value[slots], self.received[slots] = rows.times, rows.values, rows.received
        self.held[slots] = False
        self.low[slots], self.high[slots] = -np.inf, np.inf
        return rows

    def forget(self, slots: Slots) -> None:
        """Take the next value of each for a first one; what is held must have been let go."""
        self.seen[slots] = NEVER
