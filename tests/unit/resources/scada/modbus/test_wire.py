from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from resources.scada.modbus.wire import pdu
from resources.scada.modbus.wire.exceptions import RefusedError, words
from resources.scada.modbus.wire.framing import FramingError, RtuFraming, TcpFraming, crc16
from resources.scada.modbus.wire.serial_line import LineSettings

READ = pdu.read("holding_register", 107, 2)
ANSWER = bytes.fromhex("03 04 022B 0000")


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (pdu.read("coil", 19, 19), "01 0013 0013"),
        (pdu.read("discrete_input", 196, 22), "02 00C4 0016"),
        (pdu.read("holding_register", 107, 3), "03 006B 0003"),
        (pdu.read("input_register", 8, 1), "04 0008 0001"),
        (pdu.write_coil(172, True), "05 00AC FF00"),
        (pdu.write_register(1, 3), "06 0001 0003"),
        (pdu.write_coils(19, [c == "1" for c in "1011001110"]), "0F 0013 000A 02 CD01"),
        (pdu.write_registers(1, [10, 258]), "10 0001 0002 04 000A 0102"),
        (pdu.mask_write(4, 0xF2, 0x25), "16 0004 00F2 0025"),
        (pdu.read_write(3, 6, 14, [255, 255, 255]), "17 0003 0006 000E 0003 06 00FF 00FF 00FF"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_request_when_built_then_it_is_that_of_the_standard(request_: pdu.Request, wire: str) -> None:
    # the examples of MODBUS Application Protocol V1.1b3, 6
    assert request_.pdu == bytes.fromhex(wire)


def test_data_when_the_answer_fits_then_it_is_what_was_read() -> None:
    assert pdu.words_of("holding_register", 2, READ.data(ANSWER)).tolist() == [0x022B, 0]
    coils = pdu.read("coil", 19, 19)
    bits = pdu.words_of("coil", 19, coils.data(bytes.fromhex("01 03 CD6B05"))).tolist()
    assert bits == [int(c) for c in "1011001111010110101"]
    assert pdu.mask_write(4, 0xF2, 0x25).data(bytes.fromhex("16 0004 00F2 0025")) == b""
    assert pdu.write_registers(1, [10, 258]).data(bytes.fromhex("10 0001 0002")) == b""


def test_data_when_the_answer_is_an_exception_then_it_is_raised() -> None:
    with pytest.raises(RefusedError, match="illegal data address"):
        READ.data(bytes.fromhex("83 02"))
    assert words(99).endswith("see the manual of the device")


@pytest.mark.parametrize("answer", ["03 02 022B", "04 04 022B 0000", "03 03 022B 0000", "03", ""])
def test_data_when_the_answer_does_not_fit_then_it_is_malformed(answer: str) -> None:
    with pytest.raises(pdu.MalformedAnswerError, match="4 bytes were asked for"):
        READ.data(bytes.fromhex(answer))


def test_data_when_a_write_is_not_repeated_then_it_is_malformed() -> None:
    with pytest.raises(pdu.MalformedAnswerError, match="does not repeat"):
        pdu.write_register(1, 3).data(bytes.fromhex("06 0001 0004"))


def _tcp(transaction: int, unit: int, answer: bytes) -> bytes:
    return transaction.to_bytes(2) + b"\0\0" + (len(answer) + 1).to_bytes(2) + bytes([unit]) + answer


def test_tcp_when_a_request_is_framed_then_it_is_that_of_the_standard() -> None:
    assert TcpFraming().request(0xFF, pdu.read("input_register", 4, 1)) == bytes.fromhex(
        "0001 0000 0006 FF 04 0004 0001"
    )


def test_tcp_when_the_answer_comes_in_pieces_then_it_is_put_together() -> None:
    framing = TcpFraming()
    framing.request(17, READ)
    frame = _tcp(1, 17, ANSWER)
    assert [framing.feed(frame[n : n + 1]) for n in range(len(frame))] == [None] * (len(frame) - 1) + [ANSWER]


def test_tcp_when_a_late_answer_comes_then_it_is_dropped_and_the_right_one_found() -> None:
    framing = TcpFraming()
    framing.request(17, READ)
    framing.forget()
    framing.request(17, READ)
    late, other_unit, mine = _tcp(1, 17, ANSWER), _tcp(2, 18, ANSWER), _tcp(2, 17, b"\x03\x04\0\1\0\2")
    assert framing.feed(late + other_unit + mine) == b"\x03\x04\0\1\0\2"
    assert framing.dropped == 2
    assert framing.feed(mine) is None
    assert framing.dropped == 3


def test_tcp_when_a_direct_device_answers_with_another_unit_then_it_is_its_answer() -> None:
    framing = TcpFraming()
    framing.request(255, READ)
    assert framing.feed(_tcp(1, 1, ANSWER)) == ANSWER


@pytest.mark.parametrize("bytes_", ["HTTP/1.1 400", "\0\1\0\0\0\0\0\0", "\0\1\0\0\x7f\0\0\0"])
def test_tcp_when_it_is_no_modbus_then_it_says_so(bytes_: str) -> None:
    framing = TcpFraming()
    framing.request(1, READ)
    with pytest.raises(FramingError, match="a header of"):
        framing.feed(bytes_.encode("latin-1"))


@pytest.mark.parametrize("noise", ["FF", "00 07 00", "DE AD BE EF 00 11 22 33 44 55 66 77"])
def test_tcp_when_bytes_were_pushed_into_an_answer_then_it_is_not_taken(noise: str) -> None:
    framing = TcpFraming()
    framing.request(1, READ)
    whole = bytes.fromhex("0001 0000 0007 01") + ANSWER
    with pytest.raises(FramingError):
        framing.feed(whole[:10] + bytes.fromhex(noise) + whole[10:])


def test_tcp_when_transactions_run_out_then_they_begin_at_one_again() -> None:
    framing = TcpFraming()
    numbers = [int.from_bytes(framing.request(1, READ)[:2]) for _ in range(0xFFFF + 2)]
    assert (numbers[0], numbers[0xFFFE], numbers[0xFFFF]) == (1, 0xFFFF, 1)


@given(frame=st.binary(min_size=1, max_size=260))
def test_crc_when_compared_with_pymodbus_then_it_is_the_same(frame: bytes) -> None:
    assert crc16(frame) == FramerRTU.compute_CRC(frame).to_bytes(2)
    assert crc16(bytes.fromhex("02 07")) == bytes.fromhex("41 12")


def _rtu(unit: int, answer: bytes) -> bytes:
    frame = bytes([unit]) + answer
    return frame + crc16(frame)


@settings(deadline=None)
@given(noise=st.binary(max_size=12), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_rtu_when_noise_comes_first_and_in_pieces_then_the_answer_is_found(noise: bytes, cuts: list[int]) -> None:
    framing = RtuFraming()
    framing.request(17, READ)
    content = noise + _rtu(17, ANSWER)
    edges = [0, *sorted(min(c, len(content)) for c in cuts), len(content)]
    found = [framing.feed(content[a:b]) for a, b in pairwise(edges)]
    assert [f for f in found if f is not None] == [ANSWER]


def test_rtu_when_the_line_echoes_then_the_echo_is_not_the_answer() -> None:
    framing = RtuFraming()
    echo = framing.request(17, READ)
    assert framing.feed(echo) is None
    assert framing.feed(_rtu(17, ANSWER)) == ANSWER


def test_rtu_when_another_unit_function_length_or_check_sum_comes_then_it_is_not_the_answer() -> None:
    framing = RtuFraming()
    framing.request(17, READ)
    bad = _rtu(18, ANSWER), _rtu(17, b"\x04" + ANSWER[1:]), _rtu(17, b"\x03\x02\0\0"), _rtu(17, ANSWER)[:-1] + b"\0"
    assert [framing.feed(frame) for frame in bad] == [None] * 4
    assert framing.feed(_rtu(17, b"\x83\x02")) == b"\x83\x02"


def test_rtu_when_nothing_is_waited_for_then_what_comes_is_dropped() -> None:
    framing = RtuFraming()
    framing.request(17, READ)
    framing.forget()
    assert framing.feed(_rtu(17, ANSWER)) is None
    assert framing.dropped == 1
    framing.request(17, READ)
    assert framing.feed(_rtu(17, ANSWER)) == ANSWER


@pytest.mark.parametrize(("baudrate", "silence"), [(9600, 0.0040), (19_200, 0.0020), (115_200, 0.00175)])
def test_line_when_its_speed_is_known_then_so_is_the_silence_between_frames(baudrate: int, silence: float) -> None:
    assert LineSettings("/dev/ttyS0", baudrate, "E", 1).silence_s == pytest.approx(silence, rel=0.01)
