"""Readings and texts as plain NumPy columns: what the buffer judges, splits by window and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.readings import TEXTS_SCHEMA

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Selection = Mask | npt.NDArray[np.intp]

MISSING = 0x80
"""Bit of a stored status that says: there is no value (null). A bit beside the status needs no bitmap of its own."""


def to_numpy(column: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the values of a fixed-width Arrow column without a copy; what stands under a null is undefined."""
    if len(column) == 0:
        return np.empty(0, dtype)
    width = np.dtype(dtype).itemsize
    return np.frombuffer(column.buffers()[1], dtype, count=len(column), offset=column.offset * width)


@dataclass(slots=True)
class Columns:
    """Numeric readings, one element per reading in every column; times in microseconds."""

    time: Int64s
    key: Int32s
    value: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]
    """Status code, plus MISSING where there is no value."""
    received: Int64s

    def __len__(self) -> int:
        return len(self.time)

    def take(self, chosen: Selection) -> Columns:
        """Return the rows that a mask or an index chooses."""
        return Columns(
            self.time[chosen], self.key[chosen], self.value[chosen], self.status[chosen], self.received[chosen]
        )

    def with_keys(self, keys: Int32s) -> Columns:
        """Return the same rows under other sensor numbers."""
        return Columns(self.time, keys, self.value, self.status, self.received)

    @staticmethod
    def from_batches(batches: Sequence[pa.RecordBatch]) -> Columns:
        """Return batches of READINGS_SCHEMA, at least one, as one set of columns."""
        batch = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        time, key, value, status, received = batch.columns
        codes = to_numpy(status, np.uint8)
        if value.null_count:
            missing = pc.is_null(value).to_numpy(zero_copy_only=False)
            codes = np.where(missing, codes | MISSING, codes).astype(np.uint8)
        return Columns(
            to_numpy(time, np.int64),
            to_numpy(key, np.int32),
            to_numpy(value, np.float64),
            codes,
            to_numpy(received, np.int64),
        )

    @staticmethod
    def concat(parts: Sequence[Columns]) -> Columns:
        """Return all rows of the parts, at least one, in their order."""
        if len(parts) == 1:
            return parts[0]
        return Columns(
            np.concatenate([p.time for p in parts]),
            np.concatenate([p.key for p in parts]),
            np.concatenate([p.value for p in parts]),
            np.concatenate([p.status for p in parts]),
            np.concatenate([p.received for p in parts]),
        )


@dataclass(slots=True)
class TextRows:
    """Text readings: time, key and receive time as columns to judge by, the whole as a batch of TEXTS_SCHEMA."""

    batch: pa.RecordBatch
    time: Int64s
    key: Int32s
    received: Int64s

    def __len__(self) -> int:
        return len(self.time)

    def take(self, chosen: Selection) -> TextRows:
        """Return the rows that a mask or an index chooses."""
        index = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return TextRows.from_batches([self.batch.take(pa.array(index))])

    def with_keys(self, keys: Int32s) -> TextRows:
        """Return the same rows under other sensor numbers."""
        batch = self.batch.set_column(1, TEXTS_SCHEMA.field(1), pa.array(keys))
        return TextRows(batch, self.time, keys, self.received)

    @staticmethod
    def from_batches(batches: Sequence[pa.RecordBatch]) -> TextRows:
        """Return batches of TEXTS_SCHEMA, at least one, as one."""
        batch = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        return TextRows(
            batch,
            to_numpy(batch.column(0), np.int64),
            to_numpy(batch.column(1), np.int32),
            to_numpy(batch.column(4), np.int64),
        )

    @staticmethod
    def concat(parts: Sequence[TextRows]) -> TextRows:
        """Return all rows of the parts, at least one, in their order."""
        return parts[0] if len(parts) == 1 else TextRows.from_batches([p.batch for p in parts])


@dataclass(slots=True)
class Rows:
    """What goes into one window, or is held: readings and texts under the buffer's sensor keys, and rejects."""

    readings: Columns | None = None
    texts: TextRows | None = None
    rejects: pa.RecordBatch | None = None

    @property
    def count(self) -> int:
        """How many rows of all kinds."""
        rejects = 0 if self.rejects is None else self.rejects.num_rows
        return (len(self.readings) if self.readings else 0) + (len(self.texts) if self.texts else 0) + rejects
