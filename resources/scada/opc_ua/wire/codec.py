"""A PublishResponse's bytes to columns, and columns to readings. Pure.

asyncua builds five objects for each value; here a DataValue with a scalar number, which is nearly every one, is read by
one precompiled struct chosen by its two layout bytes, and everything else goes the long way through asyncua.

Layout (little-endian): ClientHandle u32, mask u8, then as the mask says: Variant (type u8, value), StatusCode u32,
SourceTimestamp i64, SourcePicoseconds u16, ServerTimestamp i64, ServerPicoseconds u16. Example, handle 7, Double 1.5,
source time only: `07 00 00 00 | 05 | 0b | 00 00 00 00 00 00 f8 3f | <8 bytes>`.
Source: OPC 10000-6, 5.2.2.17 (DataValue), 5.2.2.16 (Variant); OPC 10000-4, 7.25 (NotificationMessage).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from asyncua.ua.uaerrors import UaError

from resources.core.clock import to_micros

_NUMBERS = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}
"""Built-in type of a Variant -> struct code: Boolean, SByte, Byte, Int16 ... Double."""
VALUE_BIT, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_DATA_CHANGE, _STATUS_CHANGE, _EVENTS = 811, 820, 916
_HEAD = struct.Struct("<IBB")
_I32, _U32 = struct.Struct("<i"), struct.Struct("<I")
EPOCH_TICKS = 116_444_736_000_000_000
"""1970-01-01 in ticks of 100 ns since 1601."""


@dataclass(slots=True)
class Columns:
    """Values of monitored items, in order of arrival; `ticks` 0 where no timestamp came."""

    handles: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """The full 32-bit StatusCodes."""
    ticks: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    """Rows without a value."""
    odd: dict[int, Any] = field(default_factory=dict)
    """Row -> the value that is no number."""

    def add(self, handle: int, data_value: Any) -> None:
        """Append a value that asyncua has decoded."""
        variant = data_value.Value
        value = variant.Value if variant is not None else None
        row = len(self.handles)
        if value is None:
            self.missing.append(row)
            value = 0.0
        elif type(value) not in (bool, int, float):
            self.odd[row] = value
            value = 0.0
        self.handles.append(handle)
        self.values.append(value)
        self.statuses.append(data_value.StatusCode.value if data_value.StatusCode is not None else 0)
        self.ticks.append(_ticks(data_value.SourceTimestamp) or _ticks(data_value.ServerTimestamp))


@dataclass(frozen=True, slots=True)
class Published:
    """One PublishResponse: empty columns are a keep-alive."""

    subscription_id: int
    sequence_number: int
    columns: Columns
    status_change: int | None
    """The subscription's new status, if the server tells of one."""
    is_keep_alive: bool = False
    """It carries no notification: `sequence_number` is that of the next one."""
    available: tuple[int, ...] = ()
    """Sequence numbers that the server still holds for Republish."""
    events: tuple[Any, ...] = ()
    """asyncua's EventFieldLists, in their order."""


def read_publish_response(data: bytes) -> Published:
    """Return what the body of a PublishResponse message holds.

    Raises:
        ValueError: The bytes are not a PublishResponse.
    """
    try:
        position = _past_header(data)
        subscription_id = _U32.unpack_from(data, position)[0]
        count = max(0, _I32.unpack_from(data, position + 4)[0])
        available = struct.unpack_from(f"<{count}I", data, position + 8)
        # past the available sequence numbers and MoreNotifications
        return _read_message(data, position + 8 + 4 * count + 1, subscription_id, available)
    except (struct.error, IndexError, UaError, NotEnoughData) as error:
        raise ValueError(f"not a PublishResponse: {error}") from error


def read_republish_response(data: bytes, subscription_id: int) -> Published:
    """Return what the body of a RepublishResponse message holds; it does not name its subscription itself.

    Raises:
        ValueError: The bytes are not a RepublishResponse.
    """
    try:
        return _read_message(data, _past_header(data), subscription_id, ())
    except (struct.error, IndexError, UaError, NotEnoughData) as error:
        raise ValueError(f"not a RepublishResponse: {error}") from error


def _past_header(data: bytes) -> int:
    buffer = Buffer(data)
    nodeid_from_binary(buffer)
    struct_from_binary(ua.ResponseHeader, buffer)
    return int(buffer.cur_pos)


def _read_message(data: bytes, position: int, subscription_id: int, available: tuple[int, ...]) -> Published:
    sequence_number = _U32.unpack_from(data, position)[0]
    position += 12  # past the sequence number and PublishTime
    parts = max(0, _I32.unpack_from(data, position)[0])
    position += 4
    columns, status_change, events = Columns(), None, list[Any]()
    for _ in range(parts):
        buffer = Buffer(data, position)
        kind = nodeid_from_binary(buffer).Identifier
        position = buffer.cur_pos + 1  # past the encoding byte, which is always "byte string"
        length = _I32.unpack_from(data, position)[0]
        position += 4
        if kind == _DATA_CHANGE:
            _read_items(data, position, columns)
        elif kind == _STATUS_CHANGE:
            status_change = _U32.unpack_from(data, position)[0]
        elif kind == _EVENTS:
            events += struct_from_binary(ua.EventNotificationList, Buffer(data, position)).Events or ()
        position += length
    return Published(subscription_id, sequence_number, columns, status_change, not parts, available, tuple(events))


def _read_items(data: bytes, position: int, columns: Columns) -> None:
    count = _I32.unpack_from(data, position)[0]
    position += 4
    handles, values, statuses, ticks = columns.handles, columns.values, columns.statuses, columns.ticks
    for _ in range(count):
        handle, mask, kind = _HEAD.unpack_from(data, position)
        layout = layout_of(mask, kind) if mask & VALUE_BIT else None
        if layout is None:
            buffer = Buffer(data, position + 4)
            columns.add(handle, struct_from_binary(ua.DataValue, buffer))
            position = buffer.cur_pos
            continue
        unpack, size, status_at, time_at, later_at = layout
        fields = unpack(data, position + 6)
        handles.append(handle)
        values.append(fields[0])
        statuses.append(fields[status_at] if status_at else 0)
        ticks.append((fields[time_at] if time_at else 0) or (fields[later_at] if later_at else 0))
        position += 6 + size


Layout = tuple[Callable[[bytes, int], tuple[Any, ...]], int, int, int, int]


@lru_cache(maxsize=1024)
def layout_of(mask: int, kind: int) -> Layout | None:
    """Return (unpack, size, index of status, source time, server time; 0 = absent), None for the long way."""
    number = _NUMBERS.get(kind)
    if number is None or mask & ~0x3F:
        return None
    codes, places = "<" + number, {}
    for bit, code in ((_STATUS, "I"), (_SOURCE, "q"), (_SOURCE_PICO, "H"), (_SERVER, "q"), (_SERVER_PICO, "H")):
        if mask & bit:
            places[bit] = len(codes) - 1
            codes += code
    compiled = struct.Struct(codes)
    return compiled.unpack_from, compiled.size, places.get(_STATUS, 0), places.get(_SOURCE, 0), places.get(_SERVER, 0)


def _ticks(instant: datetime | None) -> int:
    if instant is None:
        return 0
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return to_micros(aware) * 10 + EPOCH_TICKS


def times_us(columns: Columns, received_us: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the time of every row, microseconds since 1970 UTC; the receive time where the server sent none."""
    ticks = np.array(columns.ticks, dtype=np.int64)
    return np.where(ticks > 0, (ticks - EPOCH_TICKS) // 10, received_us)
