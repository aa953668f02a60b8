"""A HistoryReadResponse's bytes to columns. Pure.

Layout of a result (little-endian): StatusCode u32, ContinuationPoint as ByteString (i32 length, -1 for none), then
HistoryData as an extension object: type as NodeId, encoding byte 1, i32 length, i32 number of DataValues, DataValues.
A DataValue with a scalar number is read by one precompiled struct, as in `codec.py`; others by asyncua.
Source: OPC 10000-4, 5.11.3 (HistoryRead); OPC 10000-11, 6.6.2 (HistoryData); OPC 10000-6, 5.2.2.15 and 5.2.2.17.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from asyncua.ua.uaerrors import UaError

from resources.scada.opc_ua.wire.codec import VALUE_BIT, Columns, layout_of

_HISTORY_DATA = 658
"""Binary encoding id of HistoryData."""
_I32, _U32, _HEAD = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<BB")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """What a server gave of one node."""

    status: int
    """The full 32-bit StatusCode of the node's read."""
    continuation: bytes
    """Where to go on; empty: that was all."""
    values: int
    """Values in this page."""
    last_ticks: int
    """Time of its last value, ticks of 100 ns since 1601; 0 if there is none."""


def read_history_response(data: bytes, handles: list[int], columns: Columns) -> list[HistoryPage]:
    """Append the values of a HistoryReadResponse to `columns` and return the page of each node, in order.

    Args:
        data: Body of the message.
        handles: What the rows of each node are to be known by, in the order of the request.
        columns: Where the values go.

    Raises:
        ValueError: The bytes are not a HistoryReadResponse to this request.
    """
    try:
        buffer = Buffer(data)
        nodeid_from_binary(buffer)
        struct_from_binary(ua.ResponseHeader, buffer)
        position = int(buffer.cur_pos)
        count = max(0, _I32.unpack_from(data, position)[0])
        position += 4
        if count != len(handles):
            raise ValueError(f"{count} results to {len(handles)} nodes")
        pages = []
        for handle in handles:
            page, position = _read_result(data, position, handle, columns)
            pages.append(page)
    except (struct.error, IndexError, UaError, NotEnoughData, ValueError) as error:
        raise ValueError(f"not a HistoryReadResponse: {error}") from error
    return pages


def _read_result(data: bytes, position: int, handle: int, columns: Columns) -> tuple[HistoryPage, int]:
    status = _U32.unpack_from(data, position)[0]
    length = max(0, _I32.unpack_from(data, position + 4)[0])
    position += 8
    continuation = data[position : position + length]
    buffer = Buffer(data, position + length)
    kind = nodeid_from_binary(buffer).Identifier
    position = int(buffer.cur_pos)
    has_body, position = data[position], position + 1
    if not has_body:
        return HistoryPage(status, continuation, 0, 0), position
    body = _I32.unpack_from(data, position)[0]
    position += 4
    before = len(columns.handles)
    if kind == _HISTORY_DATA:
        _read_values(data, position, handle, columns)
    values = len(columns.handles) - before
    return HistoryPage(status, continuation, values, columns.ticks[-1] if values else 0), position + body


def _read_values(data: bytes, position: int, handle: int, columns: Columns) -> None:
    count = max(0, _I32.unpack_from(data, position)[0])
    position += 4
    handles, values, statuses, ticks = columns.handles, columns.values, columns.statuses, columns.ticks
    for _ in range(count):
        mask, kind = _HEAD.unpack_from(data, position) if position + 1 < len(data) else (data[position], 0)
        found = layout_of(mask, kind) if mask & VALUE_BIT else None
        if found is None:
            buffer = Buffer(data, position)
            columns.add(handle, struct_from_binary(ua.DataValue, buffer))
            position = int(buffer.cur_pos)
            continue
        unpack, size, status_at, time_at, later_at = found
        fields = unpack(data, position + 2)
        handles.append(handle)
        values.append(fields[0])
        statuses.append(fields[status_at] if status_at else 0)
        ticks.append((fields[time_at] if time_at else 0) or (fields[later_at] if later_at else 0))
        position += 2 + size
