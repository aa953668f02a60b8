"""Frames: how rows stand in a segment file. Pure: bytes in, rows out.

One frame is what one commit adds to one segment. It is whole or it does not exist: header and body carry a CRC32.
All numbers are little-endian.

==== ====== =====================================================================
 at  bytes  header
==== ====== =====================================================================
  0   4     magic ``GLWF``
  4   1     version, 1
  5   1     flags: bit 0 receive times are 8 bytes wide
  6   2     0
  8   3x4   number of readings, texts, rejects
 20   4x4   bytes of sensors (JSON), texts, rejects (Arrow IPC), meta (JSON)
 36   4     CRC32 of the body
 40   8     first sequence: readings, then texts, then rejects count on from it
 48   8     time base, microseconds since 1970: the window's start
 56   8     receive base, microseconds since 1970
 64   8     wall time of writing, microseconds since 1970
 72   8     bytes of the body, padding included
 80   4     CRC32 of the 80 bytes before
 84   4     0
==== ====== =====================================================================

Body: value f64[n]; receive time less its base, u32[n] (or i64[n]); time less its base, u32[n] (a window is at most
an hour, 3.6e9 microseconds); sensor key i32[n]; status u8[n] with bit 7 for no value; then sensors, texts, rejects,
meta; padded with zeros to a multiple of 8. A reading takes 21 bytes.

Worked example, the first 40 bytes of a frame with one reading and no more:
``474c5746 01000000 01000000 00000000 00000000 00000000 00000000 00000000 00000000 <crc32>``.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from resources.core.readings import REJECTS_SCHEMA, TEXTS_SCHEMA
from resources.window_buffer.disk.columns import Columns, Rows, TextRows

MAGIC = b"GLWF"
VERSION = 1
_WIDE = 1
_FIELDS = struct.Struct("<4sBBH 3I 4I I q q q q Q")
_TAIL = struct.Struct("<I4x")
HEADER_BYTES = _FIELDS.size + _TAIL.size
_U32 = 1 << 32
_PAD = bytes(8)

Bytes = bytes | memoryview | mmap.mmap
Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every frame carries beside its rows."""

    first_sequence: int
    time_base: int
    written_at: int
    sensors: bytes = b""
    """JSON list of [key, sensor_id, unit, source] of the sensors that this segment did not describe before."""
    meta: bytes = b""
    """JSON object: counters and what recovery needs."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame found in a file."""

    offset: int
    end: int
    stamp: Stamp
    rows: Rows

    @property
    def next_sequence(self) -> int:
        """The first sequence after this frame's."""
        return self.stamp.first_sequence + self.rows.count


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no frame; at the end of a file the trace of a crash, elsewhere a fault of the disk."""

    offset: int
    end: int


def encode(rows: Rows, stamp: Stamp) -> list[Buffer]:
    """Return a frame as buffers to be written one after the other."""
    parts: list[Buffer] = []
    flags, base = 0, 0
    if rows.readings is not None and len(rows.readings):
        flags, base = _encode_columns(rows.readings, stamp.time_base, parts)
    texts = rows.texts.batch.serialize().to_pybytes() if rows.texts is not None else b""
    rejects = rows.rejects.serialize().to_pybytes() if rows.rejects is not None else b""
    blobs = (stamp.sensors, texts, rejects, stamp.meta)
    parts += [blob for blob in blobs if blob]
    length = crc = 0
    for part in parts:
        length += len(part) if isinstance(part, bytes) else part.nbytes
        crc = zlib.crc32(part, crc)
    padding = -length % 8
    if padding:
        parts.append(_PAD[:padding])
        crc = zlib.crc32(_PAD[:padding], crc)
    counts = (
        0 if rows.readings is None else len(rows.readings),
        0 if rows.texts is None else len(rows.texts),
        0 if rows.rejects is None else rows.rejects.num_rows,
    )
    fields = _FIELDS.pack(
        MAGIC, VERSION, flags, 0, *counts, *(len(blob) for blob in blobs), crc,
        stamp.first_sequence, stamp.time_base, base, stamp.written_at, length + padding,
    )  # fmt: skip
    return [fields + _TAIL.pack(zlib.crc32(fields)), *parts]


def _encode_columns(columns: Columns, time_base: int, parts: list[Buffer]) -> tuple[int, int]:
    base = int(columns.received.min())
    received = columns.received - base
    wide = bool(received.max() >= _U32)
    parts += [
        np.ascontiguousarray(columns.value).data,
        (received if wide else received.astype(np.uint32)).data,
        (columns.time - time_base).astype(np.uint32).data,
        np.ascontiguousarray(columns.key).data,
        np.ascontiguousarray(columns.status).data,
    ]
    return (_WIDE if wide else 0), base


def scan(data: Bytes, start: int, end: int) -> Iterator[Frame | Damage]:
    """Yield every frame in `data[start:end]`, and every stretch that is none, in order."""
    view = memoryview(data)
    offset = start
    while offset < end:
        frame = _frame_at(view, offset, end)
        if frame is None:
            stop = _next_frame(data, view, offset + 1, end)
            yield Damage(offset, stop)
            offset = stop
        else:
            yield frame
            offset = frame.end


def _next_frame(data: Bytes, view: memoryview, start: int, end: int) -> int:
    """Return where the next whole frame begins, `end` if there is none."""
    searched = data if isinstance(data, bytes | mmap.mmap) else bytes(data)
    found = searched.find(MAGIC, start, end)
    while found >= 0:
        if _frame_at(view, found, end) is not None:
            return found
        found = searched.find(MAGIC, found + 1, end)
    return end


def _frame_at(view: memoryview, offset: int, end: int) -> Frame | None:
    body = offset + HEADER_BYTES
    if body > end or view[offset : offset + 4] != MAGIC:
        return None
    fields = view[offset : offset + _FIELDS.size]
    if zlib.crc32(fields) != _TAIL.unpack_from(view, offset + _FIELDS.size)[0]:
        return None
    (_, version, flags, _, readings, texts, rejects, *lengths, crc, sequence, time_base, base, written_at, length) = (
        _FIELDS.unpack(fields)
    )
    if version != VERSION or body + length > end or zlib.crc32(view[body : body + length]) != crc:
        return None
    rows = Rows()
    at = body
    if readings:
        rows.readings, at = _decode_columns(view, body, readings, (flags, time_base, base))
    blobs = []
    for size in lengths:
        blobs.append(view[at : at + size])
        at += size
    if texts:
        rows.texts = TextRows.from_batches([_decode_batch(blobs[1], TEXTS_SCHEMA)])
    if rejects:
        rows.rejects = _decode_batch(blobs[2], REJECTS_SCHEMA)
    stamp = Stamp(sequence, time_base, written_at, bytes(blobs[0]), bytes(blobs[3]))
    return Frame(offset, body + length, stamp, rows)


def _decode_batch(blob: memoryview, schema: pa.Schema) -> pa.RecordBatch:
    # copied: Arrow wants aligned buffers, and texts and rejects are few
    return pa.ipc.read_record_batch(pa.py_buffer(bytes(blob)), schema)


def _decode_columns(view: memoryview, at: int, n: int, bases: tuple[int, int, int]) -> tuple[Columns, int]:
    flags, time_base, received_base = bases
    value = np.frombuffer(view, np.float64, n, at)
    at += 8 * n
    wide = np.int64 if flags & _WIDE else np.uint32
    received = np.frombuffer(view, wide, n, at)
    at += received.nbytes
    time = np.frombuffer(view, np.uint32, n, at)
    at += 4 * n
    key = np.frombuffer(view, np.int32, n, at)
    at += 4 * n
    status = np.frombuffer(view, np.uint8, n, at)
    columns = Columns(time.astype(np.int64) + time_base, key, value, status, received.astype(np.int64) + received_base)
    return columns, at + n
