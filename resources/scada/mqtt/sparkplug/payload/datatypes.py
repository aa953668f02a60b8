"""Sparkplug's data types: what is in which field of a metric, and what it means as a number or a text. Pure.

Integers travel as unsigned ones in two's complement: Int32 -1 is `int_value` 4294967295. For Int8 and Int16 some
senders fill all 32 bits (4294967295) and some only their own (255, 65535); both are read. Arrays are little-endian in
`bytes_value`: Int16Array [-30000, 30000] is `d0 8a 30 75`; BooleanArray is a count (4 bytes) and bits, the first in the
highest: [false, false, true, true] is `04 00 00 00 30`; StringArray is texts ended by NUL.
Source: Sparkplug 3.0.0, 6.4.16 and 6.4.17.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from operator import attrgetter
from typing import Any

import numpy as np

from resources.scada.mqtt.sparkplug.payload.schema import MetricMessage


class RefusedError(Exception):
    """Why a value cannot become a reading, or cannot be sent, in words."""


class DataType(IntEnum):
    """The numbers of the data types; the names are the specification's."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTYSET = 20
    PROPERTYSETLIST = 21
    INT8ARRAY = 22
    INT16ARRAY = 23
    INT32ARRAY = 24
    INT64ARRAY = 25
    UINT8ARRAY = 26
    UINT16ARRAY = 27
    UINT32ARRAY = 28
    UINT64ARRAY = 29
    FLOATARRAY = 30
    DOUBLEARRAY = 31
    BOOLEANARRAY = 32
    STRINGARRAY = 33
    DATETIMEARRAY = 34


_WORDS = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
    "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList",
    "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array",
    "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip

_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
SIGNED = frozenset((DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64))
INTEGERS = frozenset(_BITS)
TEXTS = frozenset((DataType.STRING, DataType.TEXT, DataType.UUID))
_ARRAYS = {
    22: "<i1", 23: "<i2", 24: "<i4", 25: "<i8", 26: "<u1", 27: "<u2", 28: "<u4", 29: "<u8", 30: "<f4", 31: "<f8",
    34: "<u8",
}  # fmt: skip
_REFUSED: dict[int, str] = {
    DataType.DATASET: "a DataSet (a table) is not read: have the edge node publish its cells as metrics",
    DataType.TEMPLATE: "a Template is not read: have the edge node publish its members as metrics",
    DataType.BYTES: "Bytes are not read: they are neither a number nor a text",
    DataType.FILE: "a File is not read: it is neither a number nor a text",
    DataType.PROPERTYSET: "a PropertySet is no value of a metric",
    DataType.PROPERTYSETLIST: "a PropertySetList is no value of a metric",
}
_REFUSED_FIELDS: dict[str, int] = {"dataset_value": DataType.DATASET, "template_value": DataType.TEMPLATE}
_DIRECT = {9: "float_value", 10: "double_value"}

Value = float | int | bool | str | None
"""What a metric says: a number, a text, or None for null."""


def type_word(datatype: int) -> str:
    """Return the specification's name of a data type."""
    return _WORDS[datatype] if 0 <= datatype < len(_WORDS) else f"unknown type {datatype}"


def is_array(datatype: int) -> bool:
    """Return whether a data type is an array of something."""
    return datatype in _ARRAYS or datatype in (DataType.BOOLEANARRAY, DataType.STRINGARRAY)


def refusal_of(datatype: int) -> str | None:
    """Return why values of a data type are not read, None where they are."""
    return _REFUSED.get(datatype)


def quick_getter(datatype: int) -> Callable[[MetricMessage], Any] | None:
    """Return what takes a value of this type straight from its field; None: only `read_value` can.

    Anything but zero is a value that was there; for a zero ask `read_value` (an absent field reads as zero).
    """
    field = _DIRECT.get(datatype)
    return attrgetter(field) if field else None


def read_value(metric: MetricMessage, datatype: int | None, element: int | None = None) -> Value:
    """Return a metric's value, None where it is null.

    Args:
        metric: The metric.
        datatype: Its type, by its own word or its birth certificate's; None if nobody has said.
        element: Which element of an array.

    Raises:
        RefusedError: The value does not fit the type, or the type is none that can be a reading.
    """
    field = metric.WhichOneof("value")
    if metric.is_null or field is None:
        return None
    if field in _REFUSED_FIELDS or datatype in _REFUSED:
        raise RefusedError(_REFUSED[_REFUSED_FIELDS.get(field, datatype or 0)])
    if datatype is not None and is_array(datatype):
        return _element(datatype, metric.bytes_value, field, element)
    if element is not None:
        raise RefusedError(f"element {element} is asked for, but the metric is no array ({type_word(datatype or 0)})")
    if field in ("bytes_value", "extension_value"):
        raise RefusedError(_REFUSED[DataType.BYTES])
    value: Value = getattr(metric, field)
    if isinstance(value, bytes):
        raise RefusedError("the text is not UTF-8")
    if field in ("int_value", "long_value"):
        return _integer(value, datatype, field)  # type: ignore[arg-type]
    if isinstance(value, str) != (datatype in TEXTS) and datatype:
        raise RefusedError(f"the value is in {field}, which no {type_word(datatype)} uses")
    return value


def _integer(raw: int, datatype: int | None, field: str) -> Value:
    if not datatype:
        # the top bit is a sign or a value, and nobody has said which
        if raw >= (1 << 31 if field == "int_value" else 1 << 63):
            raise RefusedError("no birth certificate tells its data type, so it cannot be told whether it is negative")
        return raw
    if datatype == DataType.BOOLEAN:
        return raw != 0
    bits = _BITS.get(datatype)
    if bits is None:
        if datatype in (DataType.FLOAT, DataType.DOUBLE):
            return raw
        raise RefusedError(f"the value is in {field}, which no {type_word(datatype)} uses")
    if datatype not in SIGNED:
        if raw >> bits:
            raise RefusedError(f"{raw} does not fit a {type_word(datatype)}")
        return raw
    # filled up to its own size, to that of the field, or to a field half as wide
    for size in (bits, 32, 64):
        value = raw - (raw >> (size - 1) << size)
        if raw >> size == 0 and value >> (bits - 1) in (0, -1):
            return value
    raise RefusedError(f"{raw} does not fit an {type_word(datatype)}")


def _element(datatype: int, data: bytes, field: str, element: int | None) -> Value:
    if field != "bytes_value":
        raise RefusedError(f"the value is in {field}, which no {type_word(datatype)} uses")
    if element is None:
        raise RefusedError(f"the metric is a {type_word(datatype)}: name one element (element: 0)")
    values = read_array(datatype, data)
    if element >= len(values):
        raise RefusedError(f"the {type_word(datatype)} has {len(values)} elements: there is no element {element}")
    value: Value = values[element]
    return value


def read_array(datatype: int, data: bytes) -> list[Any]:
    """Return the elements of an array.

    Raises:
        RefusedError: The bytes do not make up whole elements.
    """
    if datatype == DataType.STRINGARRAY:
        if data and data[-1]:
            raise RefusedError("the StringArray does not end with NUL")
        return [text.decode("utf-8", "replace") for text in data[:-1].split(b"\x00")] if data else []
    if datatype == DataType.BOOLEANARRAY:
        count = struct.unpack_from("<I", data)[0] if len(data) >= 4 else -1
        if count < 0 or len(data) - 4 != (count + 7) // 8:
            raise RefusedError("the BooleanArray's bits do not match its count")
        return [bool(bit) for bit in np.unpackbits(np.frombuffer(data, np.uint8, offset=4), count=count)]
    layout = np.dtype(_ARRAYS[datatype])
    if len(data) % layout.itemsize:
        raise RefusedError(f"{len(data)} bytes are no {type_word(datatype)}")
    found: list[Any] = np.frombuffer(data, layout).tolist()
    return found


def put_value(metric: MetricMessage, datatype: int, value: float | str) -> None:
    """Set the value of a metric that is to be sent, and its type.

    Raises:
        RefusedError: The value does not fit the type, or values of this type cannot be sent.
    """
    metric.datatype = datatype
    if datatype in TEXTS:
        metric.string_value = str(value)
    elif isinstance(value, str):
        raise RefusedError(f"a text cannot be written to a {type_word(datatype)}")
    elif datatype == DataType.BOOLEAN:
        if value not in (0, 1):
            raise RefusedError(f"{value:g} cannot be written to a Boolean: write 0 or 1")
        metric.boolean_value = bool(value)
    elif datatype == DataType.DOUBLE:
        metric.double_value = value
    elif datatype == DataType.FLOAT:
        metric.float_value = value
    elif datatype in INTEGERS:
        _put_integer(metric, datatype, value)
    else:
        raise RefusedError(f"values of the type {type_word(datatype)} cannot be written")


def _put_integer(metric: MetricMessage, datatype: int, value: float) -> None:
    bits, signed = _BITS[datatype], datatype in SIGNED
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    if value != value // 1 or not low <= value < high:
        raise RefusedError(
            f"{value:g} cannot be written to an {type_word(datatype)}: whole numbers {low} to {high - 1}"
        )
    if bits == 64:
        metric.long_value = int(value) % (1 << 64)
    else:
        # Int8 and Int16 fill the field, as the specification's own library does
        metric.int_value = int(value) % (1 << 32)
