"""Registers to values and times, all tags of a poll at once. Pure.

A poll's answers are laid end to end into one image of 16-bit words; tags of the same type and order are gathered from
it by one index array. A word is high byte first on the wire. Example, float32 1.0 = 3F 80 00 00: registers
`3F80 0000` big/big; `0000 3F80` word_order little; `803F 0000` byte_order little; `0000 803F` both little.
Source: MODBUS Application Protocol V1.1b3, 4.2 (encoding of a word); the orders within a value are the vendors'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resources.scada.modbus.config import TIME_WORDS, WORDS, ModbusTag
from resources.scada.modbus.planner import Block

_NUMPY_TYPES = {
    "int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4", "int64": ">i8", "uint64": ">u8",
    "float32": ">f4", "float64": ">f8",
}  # fmt: skip

Words = npt.NDArray[np.uint16]
_GroupKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Group:
    """Tags of one type and order: where in the image their words are, and where in the result they go."""

    data_type: str
    byte_order: str
    word_order: str
    words: npt.NDArray[np.intp]
    """(tags, words of one value): positions in the image."""
    rows: npt.NDArray[np.intp]


class PollDecoder:
    """Decodes the image that the blocks of one plan give, in the order of the blocks.

    `tags` are the positions of the plan's tags in the configuration, in the order of the results.
    """

    def __init__(self, tags: Sequence[ModbusTag], blocks: Sequence[Block]) -> None:
        """Work out every index once; a plan is decoded many times."""
        self.tags = np.array([p for block in blocks for p in block.tags], dtype=np.intp)
        self.block_of_row = np.repeat(np.arange(len(blocks)), [len(block.tags) for block in blocks])
        chosen = [tags[p] for p in self.tags]
        starts = np.concatenate(([0], np.cumsum([block.count for block in blocks])))
        bases = [int(start) - block.address for start, block in zip(starts, blocks, strict=False) for _ in block.tags]
        self.size = int(starts[-1])
        self._scale = np.array([tag.scale for tag in chosen])
        self._offset = np.array([tag.offset for tag in chosen])
        values: dict[_GroupKey, list[tuple[int, int]]] = {}
        times: dict[_GroupKey, list[tuple[int, int]]] = {}
        for row, (tag, base) in enumerate(zip(chosen, bases, strict=True)):
            values.setdefault((tag.data_type, tag.byte_order, tag.word_order), []).append((row, base + tag.address))
            if tag.time_register is not None:
                key = ("uint64", tag.byte_order, tag.word_order)
                times.setdefault(key, []).append((row, base + tag.time_register))
        self._values = _groups(values, WORDS)
        self._times = _groups(times, {"uint64": TIME_WORDS})
        self.has_time = np.array([tag.time_register is not None for tag in chosen], dtype=np.bool_)

    def values(self, image: Words) -> npt.NDArray[np.float64]:
        """Return the engineering value of every tag (scale and offset applied); int64 beyond 2^53 is rounded."""
        found = np.empty(len(self.tags))
        for group in self._values:
            found[group.rows] = _gather(image, group)
        found *= self._scale
        found += self._offset
        return found

    def times(self, image: Words) -> npt.NDArray[np.uint64]:
        """Return the device's own time of every tag, microseconds since 1970 UTC; 0 where it has no time register."""
        found = np.zeros(len(self.tags), dtype=np.uint64)
        for group in self._times:
            found[group.rows] = _gather(image, group)
        return found


def _groups(sorted_out: Mapping[_GroupKey, list[tuple[int, int]]], widths: Mapping[str, int]) -> list[_Group]:
    groups = []
    for (data_type, byte_order, word_order), places in sorted_out.items():
        rows = np.array([row for row, _ in places], dtype=np.intp)
        starts = np.array([start for _, start in places], dtype=np.intp)
        order = np.arange(widths[data_type], dtype=np.intp)
        words = starts[:, None] + (order if word_order == "big" else order[::-1])
        groups.append(_Group(data_type, byte_order, word_order, words, rows))
    return groups


def _gather(image: Words, group: _Group) -> npt.NDArray[np.generic]:
    words = image[group.words]
    if group.data_type == "bool":
        bits: npt.NDArray[np.generic] = words[:, 0] != 0
        return bits
    # after this the bytes lie as in a big-endian number
    words = words.astype("<u2" if group.byte_order == "little" else ">u2")
    numbers: npt.NDArray[np.generic] = np.ascontiguousarray(words).view(_NUMPY_TYPES[group.data_type])[:, 0]
    return numbers
