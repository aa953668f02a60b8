import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.modbus.codec import Decoded, PollDecoder, text_of
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.planner import Block, plan
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.tags import WORDS

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


def _registers(data_type: str, value: float, byte_order: str, word_order: str) -> list[int]:
    """Encode one value as the registers a device would hold, by the letter of ABCD."""
    letters = struct.pack(">" + CODES[data_type], value)
    words = [letters[n : n + 2] for n in range(0, len(letters), 2)]
    if byte_order == "little":
        words = [word[::-1] for word in words]
    if word_order == "little":
        words = words[::-1]
    return [int.from_bytes(word, "big") for word in words]


def _decoder(tags: list[dict[str, Any]], **changes: Any) -> PollDecoder:
    made = [{"sensor_id": f"s{n}", "unit": "kW", **tag} for n, tag in enumerate(tags)]
    config = ModbusConfig.model_validate({"kind": "modbus", "host": "h", "tags": made, "max_gap": 125} | changes)
    registers = RegisterMap(config)
    return PollDecoder(registers, plan(config, registers, registers.needed(range(len(tags)))))


def _decoded(tag: dict[str, Any], registers: list[int]) -> Decoded:
    return _decoder([{"address": 10} | tag]).decode(np.array(registers, dtype=np.uint16))


def _decode(tag: dict[str, Any], registers: list[int]) -> float:
    found = _decoded(tag, registers)
    assert not (found.absent | found.undecoded).any()
    return float(found.values[0])


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
    tag = {"data_type": data_type, "byte_order": byte_order, "word_order": word_order}
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
    assert _decode({"byte_order": byte_order, "word_order": word_order}, registers) == 1.0


def test_values_when_a_float_is_nan_then_it_stays_nan() -> None:
    assert np.isnan(_decode({}, [0x7FC0, 0]))


def test_values_when_scale_and_offset_are_set_then_they_apply() -> None:
    assert _decode({"data_type": "int16", "scale": 0.1, "offset": -5}, [250]) == pytest.approx(20)


@pytest.mark.parametrize(
    ("tag", "registers", "value"),
    [
        ({"data_type": "bcd16"}, [0x1234], 1234),
        ({"data_type": "bcd16", "byte_order": "little"}, [0x3412], 1234),
        ({"data_type": "bcd32"}, [0x0012, 0x3456], 123_456),
        ({"data_type": "bcd32", "word_order": "little", "scale": 0.01}, [0x3456, 0x0012], 1234.56),
        ({"data_type": "bitfield", "bits": 0}, [0b0001], 1),
        ({"data_type": "bitfield", "bits": "15"}, [0x8000], 1),
        ({"data_type": "bitfield", "bits": "4-7"}, [0xABCD], 0xC),
        ({"data_type": "bitfield", "bits": "0-15"}, [0xABCD], 0xABCD),
        ({"data_type": "bitfield", "bits": "4-7", "byte_order": "little"}, [0xCDAB], 0xC),
        ({"data_type": "int16", "scale_register": 11}, [215, 0xFFFF], 21.5),
        ({"data_type": "int16", "scale_register": 11}, [215, 2], 21_500),
        ({"data_type": "uint32", "scale_register": 12, "byte_order": "little"}, [0, 0x0A00, 0xFEFF], 0.1),
    ],
)  # fmt: skip
def test_values_when_a_type_is_read_then_it_is_its_number(
    tag: dict[str, Any], registers: list[int], value: float
) -> None:
    assert _decode(tag, registers) == pytest.approx(value, rel=1e-15)


@settings(deadline=None, max_examples=50)
@given(number=st.integers(0, 99_999_999), low=st.integers(0, 15), word=st.integers(0, 0xFFFF), data=st.data())
def test_values_when_digits_or_bits_are_packed_then_they_come_back(number: int, low: int, word: int, data: Any) -> None:
    high = data.draw(st.integers(low, 15))
    digits = f"{number:08d}"
    assert _decode({"data_type": "bcd32"}, [int(digits[:4], 16), int(digits[4:], 16)]) == number
    bits = f"{word:016b}"[::-1][low : high + 1][::-1]
    assert _decode({"data_type": "bitfield", "bits": f"{low}-{high}"}, [word]) == int(bits, 2)


@pytest.mark.parametrize(
    ("tag", "registers"),
    [
        ({"data_type": "int16"}, [0x8000]),
        ({"data_type": "uint16"}, [0xFFFF]),
        ({"data_type": "int32"}, [0x8000, 0]),
        ({"data_type": "uint32", "word_order": "little"}, [0xFFFF, 0xFFFF]),
        ({"data_type": "int64"}, [0x8000, 0, 0, 0]),
        ({"data_type": "uint64"}, [0xFFFF] * 4),
        ({"data_type": "float32"}, [0x7FC0, 0]),
        ({"data_type": "float64"}, [0x7FF8, 0, 0, 0]),
        ({"data_type": "bcd16"}, [0xFFFF]),
        ({"data_type": "bitfield", "bits": 2}, [0xFFFF]),
        ({"data_type": "int16", "not_implemented": -9999}, [0xD8F1]),
        ({"data_type": "float32", "not_implemented": -1.5}, [0xBFC0, 0]),
        ({"data_type": "uint32", "not_implemented": 0}, [0, 0]),
        ({"data_type": "int16", "scale_register": 11, "not_implemented": None}, [5, 0x8000]),
    ],
)  # fmt: skip
def test_values_when_the_registers_say_not_implemented_then_there_is_none(
    tag: dict[str, Any], registers: list[int]
) -> None:
    found = _decoded({"not_implemented": "sunspec"} | tag, registers)
    assert found.absent.tolist() == [True]
    assert found.undecoded.tolist() == [False]


@pytest.mark.parametrize(
    ("tag", "registers"),
    [
        ({"data_type": "bcd16"}, [0x12A4]),
        ({"data_type": "int16", "scale_register": 11}, [215, 11]),
        ({"data_type": "int16", "scale_register": 11}, [215, 0xFFF5]),
    ],
)
def test_values_when_the_registers_hold_no_number_of_the_type_then_they_are_undecoded(
    tag: dict[str, Any], registers: list[int]
) -> None:
    assert _decoded(tag, registers).undecoded.tolist() == [True]


@pytest.mark.parametrize(
    ("tag", "registers", "text"),
    [
        ({}, [0x4142, 0x4300], "ABC"),
        ({}, [0x4142, 0x2020], "AB"),
        ({}, [0x4100, 0x4243], "A"),
        ({"byte_order": "little"}, [0x4241, 0x0043], "ABC"),
        ({"word_order": "little"}, [0x4300, 0x4142], "ABC"),
        ({"encoding": "latin-1"}, [0xB043, 0x0000], "°C"),
        ({"encoding": "utf-8"}, [0xC2B0, 0x4300], "°C"),
    ],
)
def test_strings_when_read_then_they_end_at_nul_and_lose_their_blanks(
    tag: dict[str, Any], registers: list[int], text: str
) -> None:
    found = _decoded({"data_type": "string", "length": 2} | tag, registers)
    assert text_of(found.strings[0], tag.get("encoding", "ascii")) == text


def test_values_when_coils_are_read_then_they_are_one_and_zero() -> None:
    decoder = _decoder([{"table": "coil", "data_type": "bool", "address": n} for n in (3, 4)])
    assert decoder.decode(np.array([1, 0], dtype=np.uint16)).values.tolist() == [1.0, 0.0]


def test_times_when_a_device_has_its_own_then_they_are_exact() -> None:
    decoder = _decoder([{"address": 10, "time_register": 0, "word_order": "little", "byte_order": "little"}])
    micros = 1_795_342_500_250_001
    registers = _registers("uint64", micros, "little", "little") + [0] * 8
    assert decoder.decode(np.array(registers, dtype=np.uint16)).times.tolist() == [micros]


def test_values_when_blocks_are_several_then_each_tag_finds_its_own() -> None:
    tags = [
        {"address": 100, "data_type": "int16"},
        {"address": 7, "data_type": "uint16"},
        {"address": 8, "data_type": "uint16"},
    ]
    decoder = _decoder(tags, max_gap=8)
    assert decoder.decode(np.array([11, 12, 0xFFFF], dtype=np.uint16)).values.tolist() == [11, 12, -1]
    assert decoder.tags.tolist() == [1, 2, 0]
    assert decoder.block_of_row.tolist() == [0, 0, 1]


def test_values_when_the_scale_factor_was_not_read_then_the_tag_is_left_out() -> None:
    config = ModbusConfig.model_validate(
        {
            "kind": "modbus",
            "host": "h",
            "tags": [
                {"sensor_id": "a", "unit": "kW", "address": 0, "data_type": "int16", "scale_register": 90},
                {"sensor_id": "b", "unit": "kW", "address": 1, "data_type": "int16"},
            ],
        }
    )
    registers = RegisterMap(config)
    decoder = PollDecoder(registers, [Block(1, "holding_register", 0, 2, (0, 1))])
    assert decoder.tags.tolist() == [1]
    assert decoder.decode(np.array([1, 2], dtype=np.uint16)).values.tolist() == [2.0]
