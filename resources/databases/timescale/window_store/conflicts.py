"""What to do with each row of a window, given what stands in the table: pure NumPy, no database.

The rule of duplicates: the same (sensor, time) with the same value is stored once and counted; with another value the
later arrival stands and the earlier one is kept as rejected. Arrival is `ingested_at`, the time of receipt.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows as scada.readings holds them; times are microseconds since 2000, as PostgreSQL counts."""

    sensor_key: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    calibrated_value: npt.NDArray[np.float64]
    ingested_at: npt.NDArray[np.int64]
    origin_key: npt.NDArray[np.int32]
    quality_score: npt.NDArray[np.float32]
    status: npt.NDArray[np.int16]
    defects: npt.NDArray[np.int16]

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.time)

    def take(self, rows: npt.NDArray[Any] | slice) -> TableRows:
        """Return the rows at these positions, under this mask or in this slice."""
        return TableRows(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})

    def keys(self, window_start: int) -> npt.NDArray[np.int64]:
        """Return one number per row that orders and identifies it: the key above the offset in the window.

        A window is at most an hour, 3.6e9 microseconds: less than 2**32.
        """
        return (self.sensor_key.astype(np.int64) << 32) | (self.time - window_start)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: positions in the incoming rows, and positions in the stored rows."""

    write: Positions
    """Incoming rows to write."""
    repeated: Positions
    """Incoming rows left out: the same value stands there from another arrival."""
    lost: Positions
    """Incoming rows that become rejected: a later arrival with another value stands."""
    stale: Positions
    """Stored rows of the replaced collector to remove before writing."""
    displaced: Positions
    """Stored rows that become rejected: an incoming row arrived later with another value."""


def same_value(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Mask:
    """Return where two columns hold the same value; no value equals no value."""
    same: Mask = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def plan(incoming: TableRows, stored: TableRows, own: Mask, window_start: int, *, restated: Mask | None = None) -> Plan:
    """Return what to do with every row.

    Args:
        incoming: Unique by (sensor_key, time), ascending.
        stored: All that stands in the window; unique, in any order.
        own: Which stored rows belong to the collector that is replaced; nowhere true when rows are merged.
        window_start: Microseconds since 2000.
        restated: Which stored rows are contradicted also by the same value that came in another way (its unit, say) or
            has another status: what a person corrected before; None: none.
    """
    new, old = incoming.keys(window_start), stored.keys(window_start)
    order = np.argsort(old, kind="stable")
    old = old[order]
    at = np.searchsorted(old, new)
    found = np.zeros(len(new), dtype=bool)
    inside = at < len(old)
    found[inside] = old[at[inside]] == new[inside]
    hit = np.flatnonzero(found)
    met = order[at[hit]]
    hit_own = own[met]

    unchanged = hit_own.copy()
    unchanged[hit_own] = _identical(incoming.take(hit[hit_own]), stored.take(met[hit_own]))
    equal = same_value(incoming.value[hit], stored.value[met])
    if restated is not None:
        differs = incoming.origin_key[hit] != stored.origin_key[met]
        differs |= incoming.status[hit] != stored.status[met]
        equal &= ~(restated[met] & differs)
    later = incoming.ingested_at[hit] >= stored.ingested_at[met]
    repeated = ~hit_own & equal
    lost = ~hit_own & ~equal & ~later

    write = np.ones(len(new), dtype=bool)
    write[hit[unchanged | repeated | lost]] = False
    keep = ~own
    keep[met[unchanged]] = True
    # the very same arrival merged again is not a repetition
    again = repeated & (incoming.ingested_at[hit] == stored.ingested_at[met])
    again &= incoming.origin_key[hit] == stored.origin_key[met]
    return Plan(
        write=np.flatnonzero(write),
        repeated=hit[repeated & ~again],
        lost=hit[lost],
        stale=np.flatnonzero(~keep),
        displaced=met[~hit_own & ~equal & later],
    )


def _identical(one: TableRows, other: TableRows) -> Mask:
    same: Mask = same_value(one.value, other.value) & same_value(one.calibrated_value, other.calibrated_value)
    for name in ("ingested_at", "origin_key", "quality_score", "status", "defects"):
        same &= getattr(one, name) == getattr(other, name)
    return same


@dataclass(frozen=True, slots=True)
class Unique:
    """Which of the incoming rows stand when two of them have the same key; positions in the rows given."""

    kept: Positions | None
    """In ascending order of key; None: all, as they are."""
    repeated: Positions
    lost: Positions


def resolve_within(rows: TableRows, window_start: int) -> Unique:
    """Return incoming rows in ascending order of key, of equal keys the later arrival.

    Two of the buffer's sensors can be one sensor of the table, where its source or unit was changed inside a window.
    """
    none = np.empty(0, dtype=np.intp)
    keys = rows.keys(window_start)
    if len(keys) < 2 or bool((keys[1:] > keys[:-1]).all()):
        return Unique(None, none, none)
    order = np.lexsort((rows.ingested_at, keys))
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True)
    winner = order[last]
    # for each loser the winner of its key, to tell a repetition from a contradiction
    rank = np.cumsum(last) - last
    losers = order[~last]
    equal = same_value(rows.value[losers], rows.value[winner[rank[~last]]])
    return Unique(winner, losers[equal], losers[~equal])
