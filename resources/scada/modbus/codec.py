"""Registers to values and times, all tags of a poll at once. Pure.

A poll's answers are laid end to end into one image of 16-bit words; tags of the same type and order are gathered from
it by one index array. A word is high byte first on the wire. Example, float32 1.0 = 3F 80 00 00: registers
`3F80 0000` big/big; `0000 3F80` word_order little; `803F 0000` byte_order little; `0000 803F` both little.
Binary coded decimals hold a digit in four bits: 1234 is `1234`. Bit 0 of a bitfield is the lowest.
Source: MODBUS Application Protocol V1.1b3, 4.2 (encoding of a word); the orders within a value are the vendors';
SunSpec Device Information Model 1.1, 6.4 (numbers for "not implemented", scale factors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from resources.scada.modbus.planner import Block
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.tags import TIME_WORDS, ModbusTag
from resources.scada.modbus.wire.pdu import Words

_NUMPY_TYPES = {
    "int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4", "int64": ">i8", "uint64": ">u8",
    "float32": ">f4", "float64": ">f8", "bcd16": ">u2", "bcd32": ">u4", "bitfield": ">u2", "bool": ">u2",
}  # fmt: skip
_SUNSPEC_ABSENT = {
    "int16": -(2**15), "uint16": 2**16 - 1, "int32": -(2**31), "uint32": 2**32 - 1, "int64": -(2**63),
    "uint64": 2**64 - 1, "bcd16": 2**16 - 1, "bcd32": 2**32 - 1, "bitfield": 2**16 - 1,
    "float32": float("nan"), "float64": float("nan"),
}  # fmt: skip
_SCALE_ABSENT = -(2**15)
_LARGEST_POWER = 10
_POWERS = 10.0 ** np.arange(_LARGEST_POWER + 1)

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Decoded:
    """What the image of a poll holds; every array has one entry a tag, in the order of the decoder."""

    values: Numbers
    """Engineering values (scale and offset applied); int64 beyond 2^53 is rounded. 0 for texts."""
    absent: Mask
    """The registers hold the number that means "not implemented"."""
    undecoded: Mask
    """The registers hold what is no number of the type: BCD digits above 9, a scale factor beyond 10."""
    times: npt.NDArray[np.uint64]
    """The device's own time, microseconds since 1970 UTC; 0 where the tag has no time register."""
    strings: dict[int, bytes] = field(default_factory=dict)
    """Row -> the bytes of a string, in their order."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Tags of one type and order: where in the image their words are, and where in the result they go."""

    data_type: str
    little_bytes: bool
    words: npt.NDArray[np.intp]
    """(tags, words of one value): positions in the image."""
    rows: npt.NDArray[np.intp]
    sentinels: npt.NDArray[np.generic] | None
    """The "not implemented" number of each, in the type of the registers."""
    has_sentinel: Mask
    shifts: npt.NDArray[np.uint16]
    masks: npt.NDArray[np.uint16]


class PollDecoder:
    """Decodes the image that some blocks give, in the order of the blocks.

    `tags` are the positions of the blocks' tags in the configuration, in the order of the results. A tag whose scale
    factor is in none of the blocks is left out.
    """

    def __init__(self, registers: RegisterMap, blocks: Sequence[Block]) -> None:
        """Work out every index once; a plan is decoded many times."""
        starts = np.concatenate(([0], np.cumsum([block.count for block in blocks])))
        bases = {item: int(start) - b.address for start, b in zip(starts, blocks, strict=False) for item in b.items}
        number = {item: n for n, block in enumerate(blocks) for item in block.items}
        scale_of = registers.scale_of
        chosen = [
            p for block in blocks for p in block.items if registers.is_tag(p) and scale_of.get(p, p) in bases
        ]  # fmt: skip
        self.tags = np.array(chosen, dtype=np.intp)
        self.block_of_row = np.array([number[p] for p in chosen], dtype=np.intp)
        self.size = int(starts[-1])
        tags = [registers.tags[p] for p in chosen]
        self.has_time = np.array([tag.time_register is not None for tag in tags], dtype=np.bool_)
        self.is_text = np.array([tag.is_text for tag in tags], dtype=np.bool_)
        self._scale = np.array([tag.scale for tag in tags])
        self._offset = np.array([tag.offset for tag in tags])
        self._is_plain = bool((self._scale == 1).all() and (self._offset == 0).all())
        scaled = [row for row, p in enumerate(chosen) if p in scale_of]
        self._scaled_rows = np.array(scaled, dtype=np.intp)
        factors = [scale_of[chosen[row]] for row in scaled]
        self._factors = np.array([bases[f] + registers.items[f].first for f in factors], dtype=np.intp)
        self._factor_is_little = np.array([tags[row].byte_order == "little" for row in scaled], dtype=np.bool_)
        places = [bases[p] for p in chosen]
        self._groups = _groups(tags, places)
        self._times = _time_groups(tags, places)
        self._strings = [
            (row, places[row] + tag.first_address, tag) for row, tag in enumerate(tags) if tag.data_type == "string"
        ]

    def decode(self, image: Words) -> Decoded:
        """Return everything that the image holds."""
        rows = len(self.tags)
        found = Decoded(np.zeros(rows), np.zeros(rows, np.bool_), np.zeros(rows, np.bool_), np.zeros(rows, np.uint64))
        for group in self._groups:
            raw = _gather(image, group)
            if group.sentinels is not None:
                found.absent[group.rows] = group.has_sentinel & _equal(raw, group.sentinels)
            found.values[group.rows], bad = _numbers(raw, group)
            if bad is not None:
                found.undecoded[group.rows] = bad
        for group in self._times:
            found.times[group.rows] = _gather(image, group)
        if len(self._scaled_rows):
            self._apply_factors(image, found)
        if not self._is_plain:
            found.values *= self._scale
            found.values += self._offset
        for row, start, tag in self._strings:
            found.strings[row] = _characters(image[start : start + tag.words], tag)
        found.undecoded &= ~found.absent
        return found

    def _apply_factors(self, image: Words, found: Decoded) -> None:
        raw = image[self._factors]
        powers = np.where(self._factor_is_little, raw.byteswap(), raw).view(np.int16).astype(np.int64)
        missing = powers == _SCALE_ABSENT
        wild = (np.abs(powers) > _LARGEST_POWER) & ~missing
        size = _POWERS[np.where(missing | wild, 0, np.abs(powers))]
        rows = self._scaled_rows
        # divided, not multiplied by 0.1: 215 / 10 is exactly what a person writes as 21.5
        found.values[rows] = np.where(powers < 0, found.values[rows] / size, found.values[rows] * size)
        found.absent[rows] |= missing
        found.undecoded[rows] |= wild


def _groups(tags: Sequence[ModbusTag], places: Sequence[int]) -> list[_Group]:
    sorted_out: dict[tuple[str, str, str], list[int]] = {}
    for row, tag in enumerate(tags):
        if tag.data_type != "string":
            sorted_out.setdefault((tag.data_type, tag.byte_order, tag.word_order), []).append(row)
    groups = []
    for (data_type, byte_order, word_order), rows in sorted_out.items():
        members = [tags[row] for row in rows]
        starts = [places[row] + tag.first_address for row, tag in zip(rows, members, strict=True)]
        sentinels, has_sentinel = _sentinels(members, data_type)
        ranges = [tag.bit_range if data_type == "bitfield" else (0, 15) for tag in members]
        groups.append(
            _Group(
                data_type=data_type,
                little_bytes=byte_order == "little",
                words=_word_places(starts, members[0].words, word_order),
                rows=np.array(rows, dtype=np.intp),
                sentinels=sentinels,
                has_sentinel=has_sentinel,
                shifts=np.array([first for first, _ in ranges], dtype=np.uint16),
                masks=np.array([(1 << (last - first + 1)) - 1 for first, last in ranges], dtype=np.uint16),
            )
        )
    return groups


def _time_groups(tags: Sequence[ModbusTag], places: Sequence[int]) -> list[_Group]:
    sorted_out: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row, tag in enumerate(tags):
        if (time := tag.zero_based("time_register")) is not None:
            sorted_out.setdefault((tag.byte_order, tag.word_order), []).append((row, places[row] + time))
    nothing = np.zeros(0, dtype=np.uint16)
    return [
        _Group(
            data_type="uint64",
            little_bytes=byte_order == "little",
            words=_word_places([start for _, start in found], TIME_WORDS, word_order),
            rows=np.array([row for row, _ in found], dtype=np.intp),
            sentinels=None,
            has_sentinel=np.zeros(0, dtype=np.bool_),
            shifts=nothing,
            masks=nothing,
        )
        for (byte_order, word_order), found in sorted_out.items()
    ]


def _word_places(starts: Sequence[int], width: int, word_order: str) -> npt.NDArray[np.intp]:
    order = np.arange(width, dtype=np.intp)
    return np.array(starts, dtype=np.intp)[:, None] + (order if word_order == "big" else order[::-1])


def _sentinels(tags: Sequence[ModbusTag], data_type: str) -> tuple[npt.NDArray[np.generic] | None, Mask]:
    numbers = [
        _SUNSPEC_ABSENT.get(data_type) if tag.not_implemented == "sunspec" else tag.not_implemented for tag in tags
    ]
    has = np.array([number is not None for number in numbers], dtype=np.bool_)
    if not has.any():
        return None, has
    kind = np.dtype(_NUMPY_TYPES[data_type])
    if kind.kind == "f":
        return np.array([0.0 if n is None else n for n in numbers], dtype=kind), has
    return np.array([0 if n is None else int(n) for n in numbers], dtype=kind), has


def _equal(raw: npt.NDArray[np.generic], sentinels: npt.NDArray[np.generic]) -> Mask:
    same: Mask = raw == sentinels
    if raw.dtype.kind == "f":
        same |= np.isnan(raw) & np.isnan(sentinels)
    return same


def _gather(image: Words, group: _Group) -> npt.NDArray[np.generic]:
    # after this the bytes lie as in a big-endian number
    words = image[group.words].astype("<u2" if group.little_bytes else ">u2")
    numbers: npt.NDArray[np.generic] = np.ascontiguousarray(words).view(_NUMPY_TYPES[group.data_type])[:, 0]
    return numbers


def _numbers(raw: npt.NDArray[np.generic], group: _Group) -> tuple[npt.NDArray[np.generic], Mask | None]:
    """Return the numbers of a group, and where the registers hold none."""
    if group.data_type == "bool":
        bits: npt.NDArray[np.generic] = np.asarray(raw != 0)
        return bits, None
    if group.data_type == "bitfield":
        return raw.astype(np.uint16) >> group.shifts & group.masks, None
    if group.data_type.startswith("bcd"):
        digits = raw.astype(np.uint64)[:, None] >> np.arange(0, 8 * raw.dtype.itemsize, 4, dtype=np.uint64) & np.uint64(
            15
        )
        weights = 10 ** np.arange(digits.shape[1], dtype=np.uint64)
        return (digits * weights).sum(axis=1), np.asarray((digits > 9).any(axis=1))
    return raw, None


def _characters(words: Words, tag: ModbusTag) -> bytes:
    ordered = words if tag.word_order == "big" else words[::-1]
    return ordered.astype("<u2" if tag.byte_order == "little" else ">u2").tobytes()


def text_of(characters: bytes, encoding: str) -> str:
    """Return a string as people read it: up to the first NUL, without the blanks that fill it up.

    Raises:
        UnicodeDecodeError: It is not of that encoding.
    """
    return characters.split(b"\x00", 1)[0].decode(encoding).rstrip(" ")
