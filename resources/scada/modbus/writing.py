"""Engineering values to write requests. Pure; only `ModbusClient.write` uses it, which only guarded writes call.

The tag's table and type decide: a coil is set by function 5, one register by 6, several by 16, a bitfield by 22, which
leaves the other bits of the register as they are.
"""

from __future__ import annotations

import math
import struct

from resources.scada.modbus.tags import INTEGER_RANGES, ModbusTag
from resources.scada.modbus.wire.pdu import (
    MOST_REGISTERS_WRITTEN,
    Request,
    mask_write,
    write_coil,
    write_coils,
    write_register,
    write_registers,
)

_FORMATS = {
    "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip
_WORD_BITS = 0xFFFF


class UnwritableError(ValueError):
    """The value cannot be put into the tag's registers; the message says why."""


def write_requests(tag: ModbusTag, value: float | str, power: int = 0) -> list[Request]:
    """Return the requests that write an engineering value: the first, and what to try if its function is unknown.

    Args:
        tag: Where to and how.
        value: In the tag's unit; a text for a string.
        power: What its scale_register holds.

    Raises:
        UnwritableError: The tag is read only, or the value does not fit.
    """
    if tag.where not in ("coil", "holding_register"):
        raise UnwritableError(f"a {tag.where} cannot be written")
    address = tag.first_address
    if tag.data_type == "string":
        if tag.words > MOST_REGISTERS_WRITTEN:
            raise UnwritableError(
                f"its {tag.words} registers are more than one request writes ({MOST_REGISTERS_WRITTEN})"
            )
        return [write_registers(address, _in_order(tag, _text(tag, value)))]
    number = _raw(tag, value, power)
    if tag.where == "coil":
        if number not in (0.0, 1.0):
            raise UnwritableError(f"{value} is neither 0 nor 1")
        return [write_coil(address, number == 1.0), write_coils(address, [number == 1.0])]
    if tag.data_type == "bitfield":
        first, last = tag.bit_range
        mask = ((1 << (last - first + 1)) - 1) << first
        bits = _integer(tag, value, number, (0, mask >> first)) << first
        if tag.byte_order == "little":
            mask, bits = _swapped(mask), _swapped(bits)
        return [mask_write(address, _WORD_BITS & ~mask, bits)]
    registers = _in_order(tag, _packed(tag, value, number))
    if len(registers) == 1:
        return [write_register(address, registers[0]), write_registers(address, registers)]
    return [write_registers(address, registers)]


def _raw(tag: ModbusTag, value: float | str, power: int) -> float:
    """Return the number in the registers that reads as `value`."""
    try:
        number = float(value)
    except ValueError:
        raise UnwritableError(f"{value!r} is no number") from None
    if not math.isfinite(number):
        raise UnwritableError(f"{value} is no number")
    if tag.scale == 0:
        raise UnwritableError("its scale is 0")
    unscaled = (number - tag.offset) / tag.scale
    return unscaled * 10.0**-power if power < 0 else unscaled / 10.0**power


def _integer(tag: ModbusTag, value: float | str, number: float, limits: tuple[int, int]) -> int:
    whole = round(number)
    low, high = limits
    if not low <= whole <= high:
        raise UnwritableError(f"{value} is {whole} in its registers, which as {tag.data_type} hold {low} to {high}")
    return whole


def _packed(tag: ModbusTag, value: float | str, number: float) -> bytes:
    """Return the bytes of a number, the highest first."""
    if tag.data_type in ("float32", "float64"):
        try:
            return struct.pack(_FORMATS[tag.data_type], number)
        except OverflowError:
            raise UnwritableError(f"{value} is too large for {tag.data_type}") from None
    whole = _integer(tag, value, number, INTEGER_RANGES[tag.data_type])
    if tag.data_type.startswith("bcd"):
        return bytes.fromhex(f"{whole:0{4 * tag.words}d}")
    return struct.pack(_FORMATS[tag.data_type], whole)


def _text(tag: ModbusTag, value: float | str) -> bytes:
    size = 2 * tag.words
    try:
        characters = str(value).encode(tag.encoding)
    except UnicodeEncodeError:
        raise UnwritableError(f"{value!r} has characters that are not {tag.encoding}") from None
    if len(characters) > size:
        raise UnwritableError(f"{value!r} is longer than its {tag.words} registers")
    return characters.ljust(size, b"\x00")


def _in_order(tag: ModbusTag, content: bytes) -> list[int]:
    registers = list(struct.unpack(f">{len(content) // 2}H", content))
    if tag.byte_order == "little":
        registers = [_swapped(register) for register in registers]
    return registers if tag.word_order == "big" else registers[::-1]


def _swapped(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8
