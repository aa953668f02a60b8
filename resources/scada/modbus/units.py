"""Which units answer: one that is silent is asked ever more rarely, so that the others are read on time. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resources.scada.modbus.planner import Block

_FIRST_PAUSE_S = 1.0
_COST_FACTOR = 9.0
"""After a wait in vain nobody silent is asked for this many times as long: all of them together cost a tenth of the
time at most."""
_MOST_IN_A_ROW = 3
"""After this many units in a row without an answer, and none with one, it is the connection that is dead."""


@dataclass(slots=True)
class _Unit:
    failures: int = 0
    """Waits in vain since the last answer; 0 while it answers."""
    retry_at: float = 0.0


class Roster:
    """The units of one source, over its connections; marks are seconds of the monotonic clock."""

    def __init__(self, units: Iterable[int], longest_pause_s: float) -> None:
        """Begin with `units`, of which nothing is known."""
        self._units = {unit: _Unit() for unit in sorted(units)}
        self._heard: set[int] = set()
        self._longest_pause_s = longest_pause_s
        self._spared_until = 0.0
        self._in_vain = 0
        """Waits in vain in this poll since the last answer."""
        self.answers = 0
        """Answers in this poll."""

    def reconnected(self) -> None:
        """Begin a connection: who has ever answered is asked at once, and everybody if nobody has."""
        self._spared_until = 0.0
        for unit in self._heard or set(self._units):
            self._units[unit].failures = 0

    def order(self, blocks: Sequence[Block], now: float) -> list[list[Block]]:
        """Begin a poll: return the blocks unit by unit, those that answer first, then at most one that was silent."""
        self._in_vain = self.answers = 0
        by_unit: dict[int, list[Block]] = {}
        for block in blocks:
            by_unit.setdefault(block.unit_id, []).append(block)
        well = [unit for unit in by_unit if not self.is_silent(unit)]
        well.sort(key=lambda unit: unit not in self._heard)
        due = [unit for unit in by_unit if self.is_silent(unit) and self._units[unit].retry_at <= now]
        if due and self._spared_until <= now:
            well.append(min(due, key=lambda unit: self._units[unit].retry_at))
        return [by_unit[unit] for unit in well]

    def may_ask(self, unit: int) -> bool:
        """Return whether to ask a unit still in this poll: one never heard of waits where another was silent."""
        return self._in_vain == 0 or unit in self._heard

    def answered(self, unit: int) -> None:
        """Note an answer."""
        self._units[unit].failures = self._in_vain = 0
        self._heard.add(unit)
        self.answers += 1

    def silent(self, unit: int, now: float, cost_s: float) -> bool:
        """Note that a unit gave no answer for `cost_s`; return whether it is worth going on with this connection."""
        found = self._units[unit]
        if self.is_silent(unit):
            self._spared_until = now + cost_s * _COST_FACTOR
        found.failures += 1
        found.retry_at = now + min(_FIRST_PAUSE_S * 2 ** (found.failures - 1), self._longest_pause_s)
        self._in_vain += 1
        if self.answers == 0 and self._in_vain >= _MOST_IN_A_ROW:
            return False
        return any(not self.is_silent(other) for other in self._units)

    def is_silent(self, unit: int) -> bool:
        """Return whether a unit did not answer when it was asked last."""
        return self._units[unit].failures > 0
