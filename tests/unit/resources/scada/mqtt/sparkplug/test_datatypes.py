"""Data types against bytes that others wrote, against the standard's examples, and there and back."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.mqtt.sparkplug.payload.datatypes import (
    DataType,
    RefusedError,
    put_value,
    quick_getter,
    read_array,
    read_value,
    refusal_of,
    type_word,
)
from resources.scada.mqtt.sparkplug.payload.envelope import read_payload
from resources.scada.mqtt.sparkplug.payload.schema import new_payload, parse

# NDATA payloads that pysparkplug 0.3.0 wrote: time 2026-11-22 10:15, seq 3, one metric `m` with alias 7
FOREIGN = {
    DataType.INT8: ("08a0818296a034120f0a016d100718a0818296a03450ff011803", -1),
    DataType.INT16: ("08a0818296a03412100a016d100718a0818296a03450d095021803", -30000),
    DataType.INT32: ("08a0818296a03412120a016d100718a0818296a0345080808080081803", -(2**31)),
    DataType.INT64: ("08a0818296a03412170a016d100718a0818296a03458808080808080808080011803", -(2**63)),
    DataType.UINT8: ("08a0818296a034120f0a016d100718a0818296a03450ff011803", 255),
    DataType.UINT16: ("08a0818296a03412100a016d100718a0818296a03450ffff031803", 65535),
    DataType.UINT32: ("08a0818296a03412120a016d100718a0818296a03450ffffffff0f1803", 2**32 - 1),
    DataType.UINT64: ("08a0818296a03412170a016d100718a0818296a03458ffffffffffffffffff011803", 2**64 - 1),
    DataType.FLOAT: ("08a0818296a03412110a016d100718a0818296a03465000000bf1803", -0.5),
    DataType.DOUBLE: ("08a0818296a03412150a016d100718a0818296a034699c7500883ce4377e1803", 1e300),
    DataType.BOOLEAN: ("08a0818296a034120e0a016d100718a0818296a03470011803", True),
    DataType.STRING: ("08a0818296a03412140a016d100718a0818296a0347a0657c3a4726d651803", "Wärme"),
    DataType.DATETIME: ("08a0818296a03412130a016d100718a0818296a03458a0818296a0341803", 1_795_342_500_000),
    DataType.TEXT: ("08a0818296a034120f0a016d100718a0818296a0347a01741803", "t"),
    DataType.UUID: ("08a0818296a03412120a016d100718a0818296a0347a04303139301803", "0190"),
}


def metric(**fields):
    return new_payload().metrics.add(**fields)


@pytest.mark.parametrize("datatype", FOREIGN, ids=type_word)
def test_value_when_another_library_wrote_it_then_it_is_read(datatype: DataType) -> None:
    data, value = FOREIGN[datatype]
    payload = read_payload(bytes.fromhex(data))
    assert (payload.timestamp, payload.seq) == (1_795_342_500_000, 3)
    (found,) = payload.metrics
    assert (found.name, found.alias, found.timestamp) == ("m", 7, 1_795_342_500_000)
    assert read_value(found, datatype) == value
    assert type(read_value(found, datatype)) is type(value)


def test_null_when_another_library_wrote_it_then_there_is_no_value() -> None:
    payload = parse(bytes.fromhex("0801120e0a016e18a0818296a0342801380118ff01"))
    (found,) = payload.metrics
    assert (found.is_null, found.is_historical, found.is_transient, payload.seq) == (True, True, False, 255)
    assert read_value(found, DataType.DOUBLE) is None


@pytest.mark.parametrize(
    ("datatype", "raw", "value"),
    [
        (DataType.INT8, 255, -1),
        (DataType.INT8, 2**32 - 1, -1),
        (DataType.INT8, 128, -128),
        (DataType.INT8, 2**32 - 128, -128),
        (DataType.INT8, 127, 127),
        (DataType.INT16, 65535, -1),
        (DataType.INT16, 2**32 - 1, -1),
        (DataType.INT16, 32767, 32767),
        (DataType.INT32, 2**31, -(2**31)),
    ],
)
def test_integer_when_signed_then_it_is_read_however_far_it_was_filled(datatype: int, raw: int, value: int) -> None:
    assert read_value(metric(int_value=raw), datatype) == value
    assert read_value(metric(long_value=raw), datatype) == value
    assert read_value(metric(long_value=value % 2**64), datatype) == value


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        (DataType.INT8, 256),
        (DataType.INT8, 65535),
        (DataType.INT8, 2**32 - 129),
        (DataType.UINT8, 256),
        (DataType.UINT16, 65536),
        (DataType.INT16, 2**32 - 32769),
    ],
)
def test_integer_when_it_does_not_fit_its_type_then_refused(datatype: int, raw: int) -> None:
    with pytest.raises(RefusedError, match=f"{raw} does not fit an? {type_word(datatype)}"):
        read_value(metric(int_value=raw), datatype)


def test_integer_when_nobody_told_its_type_then_only_a_doubtful_sign_is_refused() -> None:
    assert read_value(metric(int_value=5), None) == 5
    with pytest.raises(RefusedError, match="whether it is negative"):
        read_value(metric(int_value=2**31), None)
    with pytest.raises(RefusedError, match="whether it is negative"):
        read_value(metric(long_value=2**63), 0)


def test_value_when_in_a_field_of_another_kind_then_numbers_are_read_and_texts_refused() -> None:
    assert read_value(metric(double_value=1.5), DataType.FLOAT) == 1.5
    assert read_value(metric(int_value=1), DataType.DOUBLE) == 1
    assert read_value(metric(int_value=1), DataType.BOOLEAN) is True
    assert read_value(metric(string_value="x"), None) == "x"
    for odd, datatype in (
        (metric(string_value="x"), DataType.DOUBLE),
        (metric(double_value=1.0), DataType.STRING),
        (metric(int_value=1), DataType.STRING),
    ):
        with pytest.raises(RefusedError, match=f"which no {type_word(datatype)} uses"):
            read_value(odd, datatype)


@pytest.mark.parametrize(
    ("fields", "datatype", "words"),
    [
        ({"dataset_value": b""}, None, "a DataSet \\(a table\\) is not read"),
        ({"template_value": b"x"}, DataType.TEMPLATE, "a Template is not read"),
        ({"bytes_value": b"x"}, DataType.BYTES, "Bytes are not read"),
        ({"bytes_value": b"x"}, DataType.FILE, "a File is not read"),
        ({"bytes_value": b"x"}, None, "Bytes are not read"),
        ({"extension_value": b"x"}, None, "Bytes are not read"),
        ({"int_value": 1}, DataType.PROPERTYSET, "no value of a metric"),
    ],
)
def test_value_when_of_a_type_that_is_no_reading_then_the_reason_says_what_to_do(fields, datatype, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        read_value(metric(**fields), datatype)


def test_text_when_not_utf8_then_refused() -> None:
    (found,) = parse(bytes.fromhex("12047a02fffe")).metrics
    with pytest.raises(RefusedError, match="not UTF-8"):
        read_value(found, DataType.STRING)


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        (DataType.INT8ARRAY, "e97b", [-23, 123]),
        (DataType.INT16ARRAY, "d08a3075", [-30000, 30000]),
        (DataType.INT32ARRAY, "fffffffffaafcb12", [-1, 315338746]),
        (DataType.INT64ARRAY, "ce0672ac189cbac4", [-4270929666821191986]),
        (DataType.UINT8ARRAY, "17fa", [23, 250]),
        (DataType.UINT16ARRAY, "1e0088cc", [30, 52360]),
        (DataType.UINT32ARRAY, "3400000049fb55c4", [52, 3293969225]),
        (DataType.UINT64ARRAY, "3400000000000000", [52]),
        (DataType.FLOATARRAY, "0000003f", [0.5]),
        (DataType.DOUBLEARRAY, "000000000000f83f", [1.5]),
        (DataType.BOOLEANARRAY, "0c00000034d0", [False, False, True, True, False, True, False, False, True, True, False, True]),
        (DataType.BOOLEANARRAY, "00000000", []),
        (DataType.STRINGARRAY, "41424300" + b"hello\x00".hex(), ["ABC", "hello"]),
        (DataType.STRINGARRAY, "", []),
        (DataType.DATETIMEARRAY, "a080c062a2010000", [1_795_342_500_000]),
    ],
)  # fmt: skip
def test_array_when_as_the_standard_writes_it_then_its_elements_are_read(datatype, data: str, values: list) -> None:
    if datatype == DataType.DATETIMEARRAY:
        data = struct.pack("<Q", 1_795_342_500_000).hex()
    assert read_array(datatype, bytes.fromhex(data)) == values
    for number, value in enumerate(values):
        assert read_value(metric(bytes_value=bytes.fromhex(data)), datatype, number) == value


@pytest.mark.parametrize(
    ("datatype", "data", "element", "words"),
    [
        (DataType.INT16ARRAY, b"123", 0, "3 bytes are no Int16Array"),
        (DataType.BOOLEANARRAY, b"\x09\x00\x00\x00\xff", 0, "do not match its count"),
        (DataType.BOOLEANARRAY, b"\x09", 0, "do not match its count"),
        (DataType.STRINGARRAY, b"abc", 0, "does not end with NUL"),
        (DataType.INT8ARRAY, b"\x01", 1, "has 1 elements: there is no element 1"),
        (DataType.INT8ARRAY, b"\x01", None, "name one element"),
    ],
)
def test_array_when_it_does_not_fit_then_refused(datatype, data: bytes, element: int | None, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        read_value(metric(bytes_value=data), datatype, element)


def test_array_when_it_is_none_then_refused() -> None:
    with pytest.raises(RefusedError, match="which no Int8Array uses"):
        read_value(metric(int_value=1), DataType.INT8ARRAY, 0)
    with pytest.raises(RefusedError, match="the metric is no array \\(Double\\)"):
        read_value(metric(double_value=1.0), DataType.DOUBLE, 0)


def _range(datatype: int) -> st.SearchStrategy[int]:
    bits = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64, 13: 64}[datatype]
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if datatype <= 4 else st.integers(0, 2**bits - 1)


@settings(deadline=None)
@given(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 13]).flatmap(lambda t: st.tuples(st.just(t), _range(t))))
def test_integer_when_written_then_the_same_is_read(typed: tuple[int, int]) -> None:
    datatype, value = typed
    made = new_payload(seq=1)
    put_value(made.metrics.add(name="m"), datatype, value)
    (found,) = parse(made.SerializeToString()).metrics
    assert found.datatype == datatype
    assert read_value(found, datatype) == value


@settings(deadline=None)
@given(st.floats(allow_nan=False), st.text(), st.booleans())
def test_real_text_and_boolean_when_written_then_the_same_is_read(real: float, text: str, flag: bool) -> None:
    made = new_payload()
    put_value(made.metrics.add(), DataType.DOUBLE, real)
    put_value(made.metrics.add(), DataType.TEXT, text)
    put_value(made.metrics.add(), DataType.BOOLEAN, flag)
    found = parse(made.SerializeToString()).metrics
    assert [read_value(m, m.datatype) for m in found] == [real, text, flag]
    assert quick_getter(DataType.DOUBLE)(found[0]) == real


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        (DataType.UINT8, 256.0, "cannot be written to an UInt8: whole numbers 0 to 255"),
        (DataType.INT8, -129.0, "whole numbers -128 to 127"),
        (DataType.INT32, 1.5, "1.5 cannot be written"),
        (DataType.INT32, float("nan"), "cannot be written"),
        (DataType.INT64, float("inf"), "cannot be written"),
        (DataType.BOOLEAN, 2.0, "write 0 or 1"),
        (DataType.DOUBLE, "x", "a text cannot be written to a Double"),
        (DataType.DATASET, 1.0, "values of the type DataSet cannot be written"),
    ],
)
def test_put_value_when_it_does_not_fit_then_refused(datatype: int, value: float | str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        put_value(metric(), datatype, value)


def test_type_word_when_unknown_then_it_says_the_number() -> None:
    assert type_word(99) == "unknown type 99"
    assert refusal_of(99) is None
