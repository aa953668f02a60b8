"""What is read when: a fixed grid of time for each poll interval, and the plan of what falls due together. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.planner import Block, plan
from resources.scada.modbus.poll import Poll
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.wire.exceptions import PERMANENT

_MOST_RETRIES = 8
"""Refused items asked for again in one poll: each is a request of its own, and the others are to be on time."""

_MOST_PLANS = 256
"""Plans kept: one for each set of intervals that has fallen due together."""

_MICROSECONDS = 1_000_000


class Grid:
    """Points in time, `interval` apart, for each group of tags; counted in microseconds, so that nothing drifts."""

    def __init__(self, intervals_us: dict[int, int], start_s: float) -> None:
        """Begin at `start_s` (monotonic) with everybody.

        Args:
            intervals_us: Interval of a group, microseconds -> how many tags it has.
            start_s: Now.
        """
        self._tags = intervals_us
        self._start = start_s
        self._next = dict.fromkeys(intervals_us, 0)

    @property
    def due_at(self) -> float:
        """The next point of any group, monotonic seconds."""
        return self._start + min(self._next.values()) / _MICROSECONDS

    def take(self, now_s: float) -> tuple[list[int], int, int]:
        """Return the groups that are due, and move them on.

        Returns:
            Intervals of the groups that are due; how many points have passed unused; how many readings of tags that
            makes.
        """
        elapsed = round((now_s - self._start) * _MICROSECONDS)
        due, skipped, readings = [], 0, 0
        for interval, point in self._next.items():
            if point > elapsed:
                continue
            late = (elapsed - point) // interval
            due.append(interval)
            skipped += late
            readings += late * self._tags[interval]
            self._next[interval] = point + (late + 1) * interval
        return due, skipped, readings


@dataclass(frozen=True, slots=True)
class Due:
    """What one poll reads, and what has passed before it began."""

    blocks: tuple[Block, ...]
    tags: frozenset[int]
    """Positions of the tags in the blocks."""
    overruns: int
    """Points of the grid that have passed unused since the last poll."""
    overrun_readings: int
    """Readings that these points would have brought."""


class Schedule:
    """The grid, and the plan: cut by what the device refuses, healed where it gives it again."""

    def __init__(self, config: ModbusConfig, registers: RegisterMap, start_s: float) -> None:
        """Plan everything that `config` wants."""
        self._config, self._registers = config, registers
        self._tags_of: dict[int, list[int]] = {}
        for position, tag in enumerate(config.tags):
            interval = max(1, round(config.interval_of(tag).total_seconds() * _MICROSECONDS))
            self._tags_of.setdefault(interval, []).append(position)
        self._grid = Grid({interval: len(tags) for interval, tags in self._tags_of.items()}, start_s)
        self._plans: dict[tuple[int, ...], tuple[tuple[Block, ...], frozenset[int]]] = {}
        self._retry_at: dict[int, float] = {}
        """Position of an item that the device refuses for good -> when it is asked for again."""
        self._refused: set[Block] = set()

    @property
    def due_at(self) -> float:
        """When the next poll begins, monotonic seconds."""
        return self._grid.due_at

    def take(self, now_s: float) -> Due:
        """Return what to read now."""
        groups, overruns, readings = self._grid.take(now_s)
        key = tuple(sorted(groups))
        if key not in self._plans:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[key] = self._plan([tag for interval in key for tag in self._tags_of[interval]])
        blocks, tags = self._plans[key]
        retried = 0
        for item, at in self._retry_at.items():
            again = self._registers.tags_with(item)
            if at > now_s or retried == _MOST_RETRIES or not tags.isdisjoint(again):
                continue
            # alone: merged with their neighbours they would take these with them again
            blocks += tuple(plan(self._config, self._registers, self._registers.needed(again)))
            tags |= set(again)
            retried += 1
        return Due(blocks, tags, overruns, readings)

    def _plan(self, due: list[int]) -> tuple[tuple[Block, ...], frozenset[int]]:
        bad, scale_of = self._retry_at, self._registers.scale_of
        wanted = [tag for tag in due if tag not in bad and scale_of.get(tag) not in bad]
        blocks = plan(self._config, self._registers, self._registers.needed(wanted), self._refused)
        return tuple(blocks), frozenset(wanted)

    def learn(self, poll: Poll, now_s: float) -> None:
        """Plan anew around what the device has refused for good, and without what it gives again."""
        again = now_s + self._config.retry_bad_items_after.total_seconds()
        bad = {item for item, (code, _) in poll.refused.items() if code in PERMANENT}
        back = [i for block, _, _ in poll.read for i in block.items if i in self._retry_at] if self._retry_at else []
        if not bad and not back and not poll.cut:
            return
        for item in back:
            del self._retry_at[item]
            self._forget(item)
        known = bad <= self._retry_at.keys() and not back and set(poll.cut) <= self._refused
        self._refused |= set(poll.cut)
        self._retry_at.update(dict.fromkeys(bad, again))
        if not known:
            self._plans.clear()

    def _forget(self, position: int) -> None:
        item = self._registers.items[position]
        self._refused = {
            block
            for block in self._refused
            if (block.unit_id, block.table) != (item.unit_id, item.table)
            or block.end <= item.first
            or item.end <= block.address
        }
