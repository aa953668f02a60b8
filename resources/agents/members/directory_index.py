"""All agents as columns: one array of booleans per capability, one of who is there, one of scores. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from resources.agents.members.health import LATE_AFTER, MISSED_AFTER, OFFLINE, Health, as_of_now
from resources.agents.members.score import NEUTRAL

_BANDS = np.array([LATE_AFTER.total_seconds(), MISSED_AFTER.total_seconds()])
_FIRST_CAPACITY = 128

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """One agent as a search returns it; shared between searches, so do not change what it holds."""

    agent_id: str
    agent_name: str
    agent_type: str
    capabilities: tuple[str, ...]
    status: str
    """online, degraded or offline, as of now."""
    score: float
    """Performance score, 0 to 1; 0.5 while nothing is known."""
    last_heartbeat: datetime | None
    """When it was last heard, UTC; None: never."""
    commands: tuple[dict[str, Any], ...]
    """What it declared: name, roles, schema of each command."""


class AgentRow(NamedTuple):
    """One agent as the database has it; `status` is as of its last write."""

    agent_id: str
    agent_name: str
    agent_type: str
    capabilities: tuple[str, ...]
    status: str
    status_reason: str | None
    score: float | None
    last_heartbeat: datetime | None
    commands: tuple[dict[str, Any], ...]


_NOBODY = AgentRow("", "", "", (), OFFLINE, None, None, None, ())


class DirectoryIndex:
    """The agents of one site; rows are put in, searches are answered. Safe from any thread."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = Lock()
        self._positions: dict[str, int] = {}
        self._rows: list[AgentRow] = []
        self._columns: dict[str, Mask] = {}
        self._entries: npt.NDArray[np.object_] = np.empty(_FIRST_CAPACITY, dtype=object)
        self._here: Mask = np.zeros(_FIRST_CAPACITY, dtype=bool)
        self._heard = np.full(_FIRST_CAPACITY, np.nan)
        self._band = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._scores = np.zeros(_FIRST_CAPACITY)
        self._by_id: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._order = self._by_id

    def __len__(self) -> int:
        """How many agents there are."""
        return len(self._rows)

    def get(self, agent_id: str) -> AgentEntry | None:
        """Return one agent, None if there is none of that id."""
        with self._lock:
            at = self._positions.get(agent_id)
            found: AgentEntry | None = None if at is None else self._entries[at]
            return found

    def find(
        self, wanted: Collection[str], one_of: Collection[str], unwanted: Collection[str], *, only_online: bool
    ) -> tuple[AgentEntry, ...]:
        """Return the agents that have all of `wanted`, one of `one_of` if it names any, and none of `unwanted`."""
        with self._lock:
            count = len(self._rows)
            mask = self._here[:count].copy() if only_online else np.ones(count, dtype=bool)
            for name in wanted:
                mask &= self._column(name, count)
            if one_of:
                mask &= np.logical_or.reduce([self._column(name, count) for name in one_of])
            for name in unwanted:
                mask &= ~self._column(name, count)
            found = self._entries[self._order[mask[self._order]]]
        return tuple(found.tolist())

    def put(self, rows: Sequence[AgentRow], now: datetime) -> None:
        """Take rows that are new or have changed, and let time pass for all."""
        with self._lock:
            known = len(self._rows)
            for row in rows:
                at = self._position(row)
                self._put_capabilities(at, row)
                self._rows[at] = row
                self._scores[at] = NEUTRAL if row.score is None else row.score
                self._heard[at] = np.nan if row.last_heartbeat is None else row.last_heartbeat.timestamp()
                self._band[at] = -1
            self._grow_old(now)
            if len(self._rows) > known:
                # the dictionary keeps the order of the positions
                self._by_id = np.array(
                    [at for _, at in sorted(zip(self._positions, range(len(self._rows)), strict=True))], dtype=np.intp
                )
            if rows:
                self._order = self._by_id[np.argsort(-self._scores[self._by_id], kind="stable")]

    def _column(self, name: str, count: int) -> Mask:
        column = self._columns.get(name)
        return np.zeros(count, dtype=bool) if column is None else column[:count]

    def _position(self, row: AgentRow) -> int:
        at = self._positions.get(row.agent_id)
        if at is None:
            at = len(self._rows)
            if at == len(self._entries):
                self._widen(2 * at)
            self._positions[row.agent_id] = at
            self._rows.append(_NOBODY)
        return at

    def _widen(self, capacity: int) -> None:
        self._entries = _wider(self._entries, capacity, None)
        self._here = _wider(self._here, capacity, fill=False)
        self._heard = _wider(self._heard, capacity, np.nan)
        self._band = _wider(self._band, capacity, -1)
        self._scores = _wider(self._scores, capacity, 0.0)
        self._columns = {name: _wider(column, capacity, fill=False) for name, column in self._columns.items()}

    def _put_capabilities(self, at: int, row: AgentRow) -> None:
        before = self._rows[at].capabilities
        if before == row.capabilities:
            return
        for name in before:
            self._columns[name][at] = False
        for name in row.capabilities:
            if name not in self._columns:
                self._columns[name] = np.zeros(len(self._entries), dtype=bool)
            self._columns[name][at] = True

    def _grow_old(self, now: datetime) -> None:
        """Make the entries anew that were put, or whose silence has made them late or lost."""
        count = len(self._rows)
        silent = now.timestamp() - self._heard[:count]
        # never heard of is NaN, which sorts last: as silent as can be
        band = np.searchsorted(_BANDS, silent, side="left")
        for at in np.flatnonzero(band != self._band[:count]).tolist():
            entry = _entry(self._rows[at], now)
            self._entries[at] = entry
            self._here[at] = entry.status != OFFLINE
        self._band[:count] = band


def _entry(row: AgentRow, now: datetime) -> AgentEntry:
    silent: timedelta | None = None if row.last_heartbeat is None else now - row.last_heartbeat
    return AgentEntry(
        row.agent_id,
        row.agent_name,
        row.agent_type,
        row.capabilities,
        as_of_now(Health(row.status, row.status_reason), silent).status,
        NEUTRAL if row.score is None else row.score,
        row.last_heartbeat,
        row.commands,
    )


def _wider(array: npt.NDArray[Any], capacity: int, fill: Any) -> npt.NDArray[Any]:
    wider = np.full(capacity, fill, dtype=array.dtype)
    wider[: len(array)] = array
    return wider
