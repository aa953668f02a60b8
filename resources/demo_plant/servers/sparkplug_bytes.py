"""Sparkplug B payloads written byte by byte, and commands read the same way: independent of the connector's decoder.

A protobuf field is a key (`number << 3 | wire type`, a varint), then a varint (wire type 0), 8 bytes (1), a length and
so many bytes (2), or 4 bytes (5). Example: alias 5 and Double 1.5 make the metric `10 05 69 00 00 00 00 00 00 f8 3f`.
Source: Sparkplug 3.0.0, 6.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 = range(1, 9)
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT, UUID, DATASET, BYTES = range(9, 18)
TEMPLATE = 19
_SMALL = {INT8, INT16, INT32, UINT8, UINT16, UINT32}
_LARGE = {INT64, UINT64, DATETIME}
_REALS = {FLOAT: (12 << 3 | 5, "<f"), DOUBLE: (13 << 3 | 1, "<d")}
_TEXTS = {STRING, TEXT, UUID}


@dataclass(frozen=True)
class SparkplugMetric:
    """A metric as an edge node has it."""

    name: str
    datatype: int
    value: Any = None
    """None is null."""
    alias: int | None = None
    unit: str | None = None
    """Sent as the property engUnit."""
    quality: int | None = None
    """Sent as the property Quality."""
    is_transient: bool = False


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        encoded.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _value(metric: SparkplugMetric) -> bytes:
    datatype, value = metric.datatype, metric.value
    if datatype in _SMALL:
        return _number(10, int(value) & 0xFFFF_FFFF)
    if datatype in _LARGE:
        return _number(11, int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    if datatype in _REALS:
        field, form = _REALS[datatype]
        return _varint(field) + struct.pack(form, value)
    if datatype == BOOLEAN:
        return _number(14, int(value))
    if datatype in _TEXTS:
        return _bytes(15, str(value).encode())
    return _bytes({DATASET: 17, TEMPLATE: 18}.get(datatype, 16), value)


def _properties(metric: SparkplugMetric) -> bytes:
    found: Mapping[str, bytes | None] = {
        "Quality": None if metric.quality is None else _number(1, INT32) + _number(3, metric.quality),
        "engUnit": None if metric.unit is None else _number(1, STRING) + _bytes(8, metric.unit.encode()),
    }
    keys = b"".join(_bytes(1, name.encode()) for name, value in found.items() if value is not None)
    values = b"".join(_bytes(2, value) for value in found.values() if value is not None)
    return _bytes(9, keys + values) if keys else b""


def encode_metric(
    metric: SparkplugMetric, *, time_ms: int | None = None, whole: bool = True, is_historical: bool = False
) -> bytes:
    """Return a metric; `whole` as a birth lists it (name, alias, type), else with its alias alone if it has one."""
    parts = b""
    if whole or metric.alias is None:
        parts += _bytes(1, metric.name.encode())
    if metric.alias is not None:
        parts += _number(2, metric.alias)
    if time_ms is not None:
        parts += _number(3, time_ms)
    if whole:
        parts += _number(4, metric.datatype)
    if is_historical:
        parts += _number(5, 1)
    if metric.is_transient:
        parts += _number(6, 1)
    if metric.value is None:
        parts += _number(7, 1)
    parts += _properties(metric)
    return parts + (b"" if metric.value is None else _value(metric))


def encode_payload(metrics: Iterable[bytes], *, timestamp: int | None = None, seq: int | None = None) -> bytes:
    """Return a payload of metrics that are encoded already."""
    head = b"" if timestamp is None else _number(1, timestamp)
    return head + b"".join(_bytes(2, metric) for metric in metrics) + (b"" if seq is None else _number(3, seq))


def commanded(payload: bytes) -> Iterator[tuple[str, int | None, Any]]:
    """Yield (name, alias, value) of each metric of a command; integers are signed by the type that came along."""
    for number, field in _fields(payload):
        if number != 2:
            continue
        metric = dict(_fields(field))
        datatype = metric.get(4, 0)
        value = next((metric[n] for n in range(10, 16) if n in metric), None)
        if 12 in metric:
            value = struct.unpack("<f", metric[12])[0]
        elif 13 in metric:
            value = struct.unpack("<d", metric[13])[0]
        elif 14 in metric:
            value = bool(value)
        elif 15 in metric:
            value = metric[15].decode()
        elif isinstance(value, int) and datatype in (INT8, INT16, INT32) and value >> 31:
            value -= 1 << 32
        elif isinstance(value, int) and datatype == INT64 and value >> 63:
            value -= 1 << 64
        yield metric.get(1, b"").decode(), metric.get(2), value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _read_varint(data, position)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, position = _read_varint(data, position)
        yield key >> 3, data[position : position + size]
        position += size


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        digit = data[position]
        position += 1
        number |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return number, position
