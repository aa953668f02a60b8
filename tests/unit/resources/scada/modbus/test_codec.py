import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.modbus.codec import PollDecoder
from resources.scada.modbus.config import WORDS, ModbusTag
from resources.scada.modbus.planner import Block

CODES = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


def _tag(**changes: Any) -> ModbusTag:
    return ModbusTag.model_validate({"sensor_id": "s", "unit": "kW", "address": 10} | changes)


def _registers(data_type: str, value: float, byte_order: str, word_order: str) -> list[int]:
    """Encode one value as the registers a device would hold, by the letter of ABCD."""
    letters = struct.pack(">" + CODES[data_type], value)
    words = [letters[n : n + 2] for n in range(0, len(letters), 2)]
    if byte_order == "little":
        words = [word[::-1] for word in words]
    if word_order == "little":
        words = words[::-1]
    return [int.from_bytes(word, "big") for word in words]


def _decode(tag: ModbusTag, registers: list[int]) -> float:
    block = Block(tag.table, tag.first, len(registers), (0,))
    return float(PollDecoder([tag], [block]).values(np.array(registers, dtype=np.uint16))[0])


@pytest.mark.parametrize("word_order", ["big", "little"])
@pytest.mark.parametrize("byte_order", ["big", "little"])
@pytest.mark.parametrize("data_type", list(CODES))
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_values_when_encoded_in_any_order_then_they_come_back(
    data: Any, data_type: str, byte_order: str, word_order: str
) -> None:
    bits = 16 * WORDS[data_type]
    signed, low = data_type.startswith("int"), -(2 ** (bits - 1))
    wanted = (
        st.floats(width=bits, allow_nan=False)
        if data_type.startswith("float")
        else st.integers(low if signed else 0, -low - 1 if signed else 2**bits - 1)
    )
    value = data.draw(wanted)
    tag = _tag(data_type=data_type, byte_order=byte_order, word_order=word_order)
    assert _decode(tag, _registers(data_type, value, byte_order, word_order)) == float(value)


@pytest.mark.parametrize(
    ("byte_order", "word_order", "registers"),
    [
        ("big", "big", [0x3F80, 0x0000]),
        ("big", "little", [0x0000, 0x3F80]),
        ("little", "big", [0x803F, 0x0000]),
        ("little", "little", [0x0000, 0x803F]),
    ],
    ids=["ABCD", "CDAB", "BADC", "DCBA"],
)
def test_values_when_float32_one_is_in_the_four_orders_then_it_is_one(
    byte_order: str, word_order: str, registers: list[int]
) -> None:
    assert _decode(_tag(byte_order=byte_order, word_order=word_order), registers) == 1.0


def test_values_when_a_float_is_nan_then_it_stays_nan() -> None:
    assert np.isnan(_decode(_tag(), [0x7FC0, 0]))


def test_values_when_scale_and_offset_are_set_then_they_apply() -> None:
    assert _decode(_tag(data_type="int16", scale=0.1, offset=-5), [250]) == pytest.approx(20)


def test_values_when_coils_are_read_then_they_are_one_and_zero() -> None:
    tags = [_tag(table="coil", data_type="bool", address=n) for n in (3, 4)]
    decoder = PollDecoder(tags, [Block("coil", 3, 2, (0, 1))])
    assert decoder.values(np.array([1, 0], dtype=np.uint16)).tolist() == [1.0, 0.0]


def test_times_when_a_device_has_its_own_then_they_are_exact() -> None:
    tag = _tag(time_register=0, word_order="little", byte_order="little")
    micros = 1_795_342_500_250_001
    registers = _registers("uint64", micros, "little", "little") + [0] * 8
    decoder = PollDecoder([tag], [Block("holding_register", 0, 12, (0,))])
    assert decoder.times(np.array(registers, dtype=np.uint16)).tolist() == [micros]


def test_values_when_blocks_are_several_then_each_tag_finds_its_own() -> None:
    tags = [
        _tag(address=100, data_type="int16"),
        _tag(address=7, data_type="uint16"),
        _tag(address=8, data_type="uint16"),
    ]
    blocks = [Block("holding_register", 7, 2, (1, 2)), Block("holding_register", 100, 1, (0,))]
    decoder = PollDecoder(tags, blocks)
    assert decoder.values(np.array([11, 12, 0xFFFF], dtype=np.uint16)).tolist() == [11, 12, -1]
    assert decoder.tags.tolist() == [1, 2, 0]
    assert decoder.block_of_row.tolist() == [0, 0, 1]
