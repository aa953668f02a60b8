"""Which requests read a set of tags: neighbours merged into blocks, a value never apart from its time. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from resources.scada.modbus.config import ModbusConfig, ModbusTag

_BITS_PER_REGISTER = 16


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers (or bits) of `table` from `address` on, and the tags in them."""

    table: str
    address: int
    count: int
    tags: tuple[int, ...]
    """Positions in the configuration, by address."""


def plan(config: ModbusConfig, wanted: Iterable[int], refused: Collection[Block] = ()) -> list[Block]:
    """Return the fewest blocks, greedily, that hold the tags at the positions `wanted`.

    Two tags share a block where at most `max_gap` unused registers lie between them and the block stays within
    `max_registers`; every tag lies in one block with its time register. Tags are never merged over a stretch that the
    device has `refused`, be it a tag's or a hole between two tags.
    """
    tables: dict[str, list[int]] = {}
    for position in wanted:
        tables.setdefault(config.tags[position].table, []).append(position)
    blocks: list[Block] = []
    for table, positions in tables.items():
        bits = _BITS_PER_REGISTER if table in ("coil", "discrete_input") else 1
        positions.sort(key=lambda p: (config.tags[p].first, config.tags[p].end))
        group: list[int] = []
        for position in positions:
            tag = config.tags[position]
            if group and not (_fits(config, group, tag, bits) and _is_open(config, group, tag, refused)):
                blocks.append(block_of(config.tags, group))
                group = []
            group.append(position)
        blocks.append(block_of(config.tags, group))
    return blocks


def _fits(config: ModbusConfig, group: Sequence[int], tag: ModbusTag, bits: int) -> bool:
    first = config.tags[group[0]].first
    end = max(config.tags[p].end for p in group)
    return tag.first - end <= config.max_gap * bits and max(end, tag.end) - first <= config.max_registers * bits


def _is_open(config: ModbusConfig, group: Sequence[int], tag: ModbusTag, refused: Collection[Block]) -> bool:
    first = config.tags[group[0]].first
    end = max(tag.end, *(config.tags[p].end for p in group))
    return not any(
        block.table == tag.table and first <= block.address and block.address + block.count <= end for block in refused
    )


def block_of(tags: Sequence[ModbusTag], group: Sequence[int]) -> Block:
    """Return the one block that holds the tags at the positions `group`, which are in order of address."""
    first = tags[group[0]].first
    return Block(tags[group[0]].table, first, max(tags[p].end for p in group) - first, tuple(group))


def halves(tags: Sequence[ModbusTag], block: Block) -> tuple[Block, Block]:
    """Return a block of two tags or more as two, to find out which of them the device refuses."""
    middle = len(block.tags) // 2
    return block_of(tags, block.tags[:middle]), block_of(tags, block.tags[middle:])


def seam(block: Block, left: Block, right: Block) -> Block:
    """Return the stretch that any request over the border of two halves holds; the whole block where they overlap."""
    end = left.address + left.count
    if right.address < end:
        return block
    return Block(block.table, end - 1, right.address - end + 2, ())
