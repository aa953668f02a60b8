import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.modbus.codec import PollDecoder
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.planner import plan
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.tags import INTEGER_RANGES, ModbusTag
from resources.scada.modbus.writing import UnwritableError, write_requests

NUMBERS = [kind for kind in INTEGER_RANGES if kind not in ("bitfield", "int64", "uint64")]


def _tag(**changes: Any) -> ModbusTag:
    return ModbusTag.model_validate({"sensor_id": "s", "unit": "kW", "address": 7} | changes)


def _registers(pdu: bytes) -> list[int]:
    """Return what functions 6 and 16 put into registers."""
    data = pdu[3:] if pdu[0] == 6 else pdu[6:]
    return list(struct.unpack(f">{len(data) // 2}H", data))


def _read(tag: dict[str, Any], registers: list[int]) -> float:
    source = {"kind": "modbus", "host": "h", "tags": [{"sensor_id": "s", "unit": "kW", "address": 7, **tag}]}
    config = ModbusConfig.model_validate(source)
    known = RegisterMap(config)
    decoder = PollDecoder(known, plan(config, known, [0]))
    return float(decoder.decode(np.array(registers, dtype=np.uint16)).values[0])


@settings(deadline=None, max_examples=200)
@given(data=st.data(), kind=st.sampled_from([*NUMBERS, "float32", "float64"]))
def test_write_when_a_number_is_written_in_any_type_and_order_then_it_reads_back(data: Any, kind: str) -> None:
    orders = st.sampled_from(["big", "little"])
    tag = {"data_type": kind, "byte_order": data.draw(orders), "word_order": data.draw(orders)}
    if kind.startswith("float"):
        value: float = data.draw(st.floats(width=32, allow_nan=False, allow_infinity=False))
    else:
        value = data.draw(st.integers(*INTEGER_RANGES[kind]))
        tag |= {"scale": 0.5, "offset": 3}
        value = value * 0.5 + 3
    assert _read(tag, _registers(write_requests(_tag(**tag), value)[0].pdu)) == value


@settings(deadline=None)
@given(before=st.integers(0, 0xFFFF), low=st.integers(0, 15), little=st.booleans(), data=st.data())
def test_write_when_bits_are_written_then_they_read_back_and_the_others_stay(
    before: int, low: int, little: bool, data: Any
) -> None:
    high = data.draw(st.integers(low, 15))
    value = data.draw(st.integers(0, (1 << (high - low + 1)) - 1))
    tag = {"data_type": "bitfield", "bits": f"{low}-{high}", "byte_order": "little" if little else "big"}
    (request,) = write_requests(_tag(**tag), value)
    function, _, and_mask, or_mask = struct.unpack(">BHHH", request.pdu)
    after = before & and_mask | or_mask & ~and_mask & 0xFFFF
    assert function == 22
    assert _read(tag, [after]) == value
    mine = ((1 << (high - low + 1)) - 1) << low
    swapped = (mine & 0xFF) << 8 | mine >> 8 if little else mine
    assert before & ~swapped == after & ~swapped


@pytest.mark.parametrize(("power", "register"), [(-1, 215), (0, 22), (1, 2)])
def test_write_when_there_is_a_scale_factor_then_it_is_undone(power: int, register: int) -> None:
    assert _registers(write_requests(_tag(data_type="int16"), 21.5, power)[0].pdu) == [register]


def test_write_when_a_text_needs_more_registers_than_a_request_has_then_it_is_refused() -> None:
    with pytest.raises(UnwritableError, match=r"125 registers are more than one request writes \(123\)"):
        write_requests(_tag(data_type="string", length=125), "x")
