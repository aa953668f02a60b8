import numpy as np
import pytest

from resources.databases.timescale.binary import decode_array, encode_rows


def test_encode_rows_when_one_int4_then_the_bytes_are_those_of_the_manual():
    assert encode_rows({"n": np.array([7])}, {"n": "i4"}) == bytes.fromhex("0001 00000004 00000007".replace(" ", ""))


def test_encode_rows_when_a_column_is_null_throughout_then_its_length_is_minus_one():
    found = encode_rows({"n": np.array([1, 2]), "v": None}, {"n": "i2", "v": "f8"})

    assert found == bytes.fromhex("0002 00000002 0001 ffffffff 0002 00000002 0002 ffffffff".replace(" ", ""))


@pytest.mark.parametrize("sent", [None, b"", bytes(12)], ids=["null", "nothing", "empty array"])
def test_decode_array_when_there_are_no_rows_then_the_result_is_empty(sent: bytes | None):
    found = decode_array(sent, "i8")

    assert len(found) == 0
    assert found.dtype == np.int64


def test_decode_array_when_two_float8_then_native_values():
    sent = bytes.fromhex("00000001 00000000 000002bd 00000002 00000001".replace(" ", ""))
    sent += b"".join(bytes.fromhex("00000008") + np.array([v], ">f8").tobytes() for v in (1.5, -2.0))

    assert decode_array(sent, "f8").tolist() == [1.5, -2.0]
