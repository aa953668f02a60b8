"""Whole columns to and from PostgreSQL's binary formats by NumPy, without a Python object per value.

COPY BINARY: an 11-byte signature, flags and extension length (int32 each), then per row an int16 with the number of
fields and per field an int32 length and that many bytes, all big-endian; an int16 of -1 ends the data. A null is the
length -1 without bytes. Example, one row of an int4 7: `00 01 | 00 00 00 04 | 00 00 00 07`.

Arrays as `array_send` gives them: int32 dimensions, flags, element type, then (for one dimension) length and lower
bound, then per element an int32 length and the bytes.

Source: PostgreSQL 17 documentation, COPY, "Binary Format"; src/backend/utils/adt/arrayfuncs.c, array_send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
"""What starts COPY BINARY data."""

TRAILER = b"\xff\xff"
"""What ends it."""

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC in microseconds since 1970: PostgreSQL counts timestamps from there."""

_ARRAY_HEADER = 20


def record_dtype(columns: Mapping[str, str | None]) -> np.dtype[Any]:
    """Return the layout of one COPY row of fixed width.

    Args:
        columns: Column name -> NumPy type (native, such as `i8`); None for a column that is null in every row.
    """
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns.items():
        fields.append((f"{name}_length", ">i4"))
        if kind is not None:
            fields.append((name, f">{kind}"))
    return np.dtype(fields)


def encode_rows(columns: Mapping[str, npt.NDArray[Any] | None], kinds: Mapping[str, str]) -> bytes:
    """Return rows as COPY BINARY without header and trailer.

    Args:
        columns: Column name -> values, all of one length, in the order of the COPY's column list; None: null
            throughout.
        kinds: Column name -> NumPy type on the wire. Timestamps are int64 microseconds since 2000.
    """
    layout = record_dtype({name: None if values is None else kinds[name] for name, values in columns.items()})
    count = next(len(values) for values in columns.values() if values is not None)
    rows = np.empty(count, dtype=layout)
    rows["fields"] = len(columns)
    for name, values in columns.items():
        if values is None:
            rows[f"{name}_length"] = -1
        else:
            rows[f"{name}_length"] = layout[name].itemsize
            rows[name] = values
    return rows.tobytes()


def decode_array(sent: bytes | None, kind: str) -> npt.NDArray[Any]:
    """Return the values of `array_send(array_agg(column))`; no value may be null. No rows are no bytes."""
    native = np.dtype(kind)
    if sent is None or len(sent) <= _ARRAY_HEADER:
        return np.empty(0, dtype=native)
    layout = np.dtype([("length", ">i4"), ("value", native.newbyteorder(">"))])
    return np.frombuffer(sent, dtype=layout, offset=_ARRAY_HEADER)["value"].astype(native)
