"""Which requests read a set of items: the fewest that the device allows, and of those the ones that read least. Pure.

Items are stretches of addresses in one table of one unit. A request may hold several of them if

- it is no longer than the device gives at once,
- nowhere in it more than `max_gap` addresses in a row belong to no item,
- it touches no forbidden address, and holds no stretch whole that the device has refused.

Whatever starts at the first item not yet read and reaches as far as it may reads at least as much as any other request
that reads this item, so there is no better number of requests than going on like this; of all ways with that number
the shortest is found by dynamic programming from the last item to the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from resources.scada.modbus.config import BITS_PER_REGISTER, ModbusConfig, UnitLimits
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.wire.pdu import is_bits

_ONE_REQUEST = 1 << 32
"""Cost of a request in addresses: more than there are, so that fewer requests always win."""


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers (or bits) of `table` of a unit from `address` on, and the items in them."""

    unit_id: int
    table: str
    address: int
    count: int
    items: tuple[int, ...]
    """Positions in the register map, by address."""

    @property
    def end(self) -> int:
        """The address after the last one."""
        return self.address + self.count


def plan(
    config: ModbusConfig, registers: RegisterMap, wanted: Iterable[int], refused: Collection[Block] = ()
) -> list[Block]:
    """Return the blocks that read the items at the positions `wanted`, unit by unit and table by table.

    No block holds the whole of a block that the device has `refused`, be it an item's or a hole between two; an item
    that cannot do without is read all the same, alone.
    """
    spaces: dict[tuple[int, str], list[int]] = {}
    for position in wanted:
        item = registers.items[position]
        spaces.setdefault((item.unit_id, item.table), []).append(position)
    blocks = []
    for (unit_id, table), positions in spaces.items():
        limits = config.limits(unit_id)
        closed = [(b.address, b.end) for b in refused if (b.unit_id, b.table) == (unit_id, table)]
        blocks += [block_of(registers, group) for group in _groups(registers, positions, _Rules(limits, table, closed))]
    return blocks


class _Rules:
    """What one request to one table of one unit may be."""

    def __init__(self, limits: UnitLimits, table: str, refused: list[tuple[int, int]]) -> None:
        bits = BITS_PER_REGISTER if is_bits(table) else 1
        self.longest = limits.max_registers * bits
        self.max_gap = limits.max_gap * bits
        self._forbidden = limits.forbidden_in(table)
        self._refused = refused

    def joins(self, end: int, first: int) -> bool:
        """Return whether a request may go on from `end` to an item that begins at `first`."""
        return first - end <= self.max_gap and not any(a < first and end < b for a, b in self._forbidden)

    def last_end(self, first: int) -> int:
        """Return how far a request from `first` on may reach."""
        return min([first + self.longest, *(end - 1 for start, end in self._refused if start >= first)])


def _groups(registers: RegisterMap, positions: list[int], rules: _Rules) -> list[list[int]]:
    """Return the positions, cut into what each request reads."""
    items = registers.items
    positions = sorted(positions, key=lambda p: (items[p].first, -items[p].end))
    # an item inside another is read with it
    outer: list[int] = []
    inner: list[list[int]] = []
    for position in positions:
        if outer and items[position].end <= items[outer[-1]].end:
            inner[-1].append(position)
        else:
            outer.append(position)
            inner.append([position])
    firsts = np.array([items[p].first for p in outer], dtype=np.int64)
    ends = np.array([items[p].end for p in outer], dtype=np.int64)
    groups = []
    for start, stop in _cuts(firsts, ends, _reaches(firsts, ends, rules)):
        members = [position for group in inner[start:stop] for position in group]
        groups.append(sorted(members, key=lambda p: (items[p].first, items[p].end)))
    return groups


def _reaches(firsts: np.ndarray, ends: np.ndarray, rules: _Rules) -> list[int]:
    """Return for each item the position after the last one that a request beginning with it may hold."""
    count = len(firsts)
    run_ends = [count] * count
    for position in range(count - 2, -1, -1):
        is_open = rules.joins(int(ends[position]), int(firsts[position + 1]))
        run_ends[position] = run_ends[position + 1] if is_open else position + 1
    reaches = []
    for position in range(count):
        far = int(np.searchsorted(ends, rules.last_end(int(firsts[position])), side="right"))
        reaches.append(max(position + 1, min(far, run_ends[position])))
    return reaches


def _cuts(firsts: np.ndarray, ends: np.ndarray, reaches: Sequence[int]) -> list[tuple[int, int]]:
    """Return the cheapest cut of the items into groups; both arrays ascend."""
    count = len(firsts)
    cost = np.zeros(count + 1, dtype=np.int64)
    chosen = [0] * count
    for start in range(count - 1, -1, -1):
        stop = reaches[start]
        # a group start..k reads up to the end of k, and leaves the rest from k + 1 on
        costs = ends[start:stop] - firsts[start] + cost[start + 1 : stop + 1]
        best = int(np.argmin(costs))
        cost[start] = costs[best] + _ONE_REQUEST
        chosen[start] = start + best + 1
    cuts, start = [], 0
    while start < count:
        cuts.append((start, chosen[start]))
        start = chosen[start]
    return cuts


def block_of(registers: RegisterMap, group: Sequence[int]) -> Block:
    """Return the one block that holds the items at the positions `group`, which are in order of address."""
    items = [registers.items[position] for position in group]
    first = items[0].first
    return Block(items[0].unit_id, items[0].table, first, max(i.end for i in items) - first, tuple(group))


def halves(registers: RegisterMap, block: Block) -> tuple[Block, Block]:
    """Return a block of two items or more as two, to find out which of them the device refuses."""
    middle = len(block.items) // 2
    return block_of(registers, block.items[:middle]), block_of(registers, block.items[middle:])


def seam(block: Block, left: Block, right: Block) -> Block:
    """Return the stretch that any request over the border of two halves holds; the whole block where they overlap."""
    if right.address < left.end:
        return block
    return Block(block.unit_id, block.table, left.end - 1, right.address - left.end + 2, ())
