"""Requests and their answers, without what carries them. Pure.

A protocol data unit is one byte of function code and its data; numbers are high byte first. Example, reading 2 holding
registers from address 107: `03 006B 0002`; the answer `03 04 022B 0000` has 4 bytes of data. A refused request is
answered by its function code + 0x80 and one byte: `83 02`.
Source: MODBUS Application Protocol V1.1b3, 6.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resources.scada.modbus.wire.exceptions import RefusedError

Words = npt.NDArray[np.uint16]

READ_FUNCTIONS = {"coil": 1, "discrete_input": 2, "holding_register": 3, "input_register": 4}
"""Table -> the function code that reads it."""

MOST_REGISTERS_READ = 125
MOST_BITS_READ = 2000
MOST_REGISTERS_WRITTEN = 123
MOST_COILS_WRITTEN = 1968
MOST_REGISTERS_EXCHANGED = 121
"""Most registers that function 23 writes; it reads up to MOST_REGISTERS_READ."""

_EXCEPTION_BIT = 0x80
_ON = 0xFF00


class MalformedAnswerError(Exception):
    """An answer that does not fit its request."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and what tells its answer from others."""

    pdu: bytes
    answer_length: int
    """Bytes of the answer's protocol data unit where the request is granted."""
    is_echoed: bool = False
    """The answer repeats the head of the request (writes)."""

    @property
    def function_code(self) -> int:
        """The function code."""
        return self.pdu[0]

    def data(self, answer: bytes) -> bytes:
        """Return the data of an answer: what was read; nothing after a write.

        Raises:
            RefusedError: The answer is an exception.
            MalformedAnswerError: It is not an answer to this request.
        """
        if len(answer) == 2 and answer[0] == self.function_code | _EXCEPTION_BIT:
            raise RefusedError(answer[1])
        if self.is_echoed:
            if answer != self.pdu[: self.answer_length]:
                raise MalformedAnswerError(f"function {self.function_code}: the answer does not repeat the request")
            return b""
        if len(answer) != self.answer_length or answer[0] != self.function_code or answer[1] != len(answer) - 2:
            raise MalformedAnswerError(
                f"function {self.function_code}: {self.answer_length - 2} bytes were asked for, "
                f"{max(len(answer) - 2, 0)} came back"
            )
        return answer[2:]


def read(table: str, address: int, count: int) -> Request:
    """Return the request for `count` bits or registers of `table` from `address` on (functions 1, 2, 3, 4)."""
    size = (count + 7) // 8 if is_bits(table) else 2 * count
    return Request(struct.pack(">BHH", READ_FUNCTIONS[table], address, count), 2 + size)


def is_bits(table: str) -> bool:
    """Return whether a table holds single bits."""
    return table in ("coil", "discrete_input")


def words_of(table: str, count: int, data: bytes) -> Words:
    """Return what `read` brought, one word for a register or a bit (0 and 1; the first bit is the lowest)."""
    if is_bits(table):
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little").astype(np.uint16)
    return np.frombuffer(data, ">u2").astype(np.uint16)


def write_coil(address: int, is_on: bool) -> Request:
    """Return the request that sets one coil (function 5)."""
    return _echoed(struct.pack(">BHH", 5, address, _ON if is_on else 0))


def write_register(address: int, word: int) -> Request:
    """Return the request that sets one holding register (function 6)."""
    return _echoed(struct.pack(">BHH", 6, address, word))


def write_coils(address: int, states: Sequence[bool]) -> Request:
    """Return the request that sets coils from `address` on (function 15); at most MOST_COILS_WRITTEN."""
    packed = np.packbits(np.array(states, dtype=np.bool_), bitorder="little").tobytes()
    return _echoed(struct.pack(">BHHB", 15, address, len(states), len(packed)) + packed, head=5)


def write_registers(address: int, registers: Sequence[int]) -> Request:
    """Return the request that sets holding registers from `address` on (function 16); MOST_REGISTERS_WRITTEN."""
    packed = _packed(registers)
    return _echoed(struct.pack(">BHHB", 16, address, len(registers), len(packed)) + packed, head=5)


def mask_write(address: int, and_mask: int, or_mask: int) -> Request:
    """Return the request that makes a holding register `(it & and_mask) | (or_mask & ~and_mask)` (function 22)."""
    return _echoed(struct.pack(">BHHH", 22, address, and_mask, or_mask))


def read_write(read_address: int, count: int, write_address: int, registers: Sequence[int]) -> Request:
    """Return the request that writes holding registers, then reads `count` of them (function 23).

    At most MOST_REGISTERS_EXCHANGED are written, MOST_REGISTERS_READ read.
    """
    packed = _packed(registers)
    head = struct.pack(">BHHHHB", 23, read_address, count, write_address, len(registers), len(packed))
    return Request(head + packed, 2 + 2 * count)


def _echoed(pdu: bytes, head: int | None = None) -> Request:
    return Request(pdu, len(pdu) if head is None else head, is_echoed=True)


def _packed(registers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)
