"""Columns of monitored items to batches of readings: units, statuses, first values, wrong types. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch
from resources.core.tags import SensorCatalog
from resources.scada.opc_ua.codec import Columns, times_us
from resources.scada.opc_ua.config import OpcUaTag
from resources.scada.opc_ua.errors import status_words
from resources.scada.rejects import raw_value

_OVERFLOW_MASK, _OVERFLOW = 0x0C80, 0x0480
"""Info type DataValue with the overflow bit: the item's queue had no room and values were dropped at the server."""


class ReadingAssembler:
    """Makes batches of what monitored items report; the client handle of an item is its tag's position."""

    def __init__(self, source: str, tags: Sequence[OpcUaTag], catalog: SensorCatalog) -> None:
        """Number the tags' sensors by `catalog`."""
        self._source, self._tags = source, tags
        self._keys = np.array([catalog.key(tag.sensor_id) for tag in tags], dtype=np.int32)
        self._scale = np.array([tag.scale for tag in tags])
        self._offset = np.array([tag.offset for tag in tags])
        self._reported = np.zeros(len(tags), dtype=np.bool_)

    def forget_first_values(self, positions: Sequence[int] | None = None) -> None:
        """Take the next value of these items (of all, if None) for the first one again: they are subscribed anew."""
        self._reported[slice(None) if positions is None else list(positions)] = False

    def batches(self, columns: Columns, received_us: int, *, of_subscription: bool = True) -> list[ReadingBatch]:
        """Return one batch of first values, if there are any, and one of the rest; rows keep their order.

        Values that no subscription has sent (`of_subscription` false: history) are none of them first values.
        """
        handles = np.array(columns.handles, dtype=np.int64)
        times = times_us(columns, received_us)
        codes = np.array(columns.statuses, dtype=np.uint32)
        severity = np.minimum(codes >> 30, int(Status.BAD)).astype(np.uint8)
        missing = np.zeros(len(handles), dtype=np.bool_)
        missing[columns.missing] = True
        missing[list(columns.odd)] = True
        known = handles < len(self._tags)
        refused = missing & (severity != int(Status.BAD)) | ~known
        first = self._first(handles, known) if of_subscription else np.zeros(len(handles), dtype=np.bool_)
        rejects = [self._reject(columns, row, int(times[row]), received_us) for row in np.flatnonzero(refused).tolist()]
        values = np.array(columns.values, dtype=np.float64)
        batches = []
        for only_if_newer, chosen in ((True, first & ~refused), (False, ~first & ~refused)):
            rows = np.flatnonzero(chosen)
            mine = rejects if not only_if_newer else []
            if not len(rows) and not mine:
                continue
            places = handles[rows]
            readings = readings_batch(
                times[rows],
                self._keys[places],
                values[rows] * self._scale[places] + self._offset[places],
                severity[rows],
                received_us,
                missing=missing[rows] if missing.any() else None,
            )
            batches.append(
                ReadingBatch(
                    self._source,
                    readings=readings if len(rows) else None,
                    rejects=rejects_batch(mine) if mine else None,
                    only_if_newer=only_if_newer,
                )
            )
        return batches

    def _first(self, handles: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        first = np.zeros(len(handles), dtype=np.bool_)
        if self._reported.all():
            return first
        unique, places = np.unique(np.where(known, handles, -1), return_index=True)
        for handle, place in zip(unique.tolist(), places.tolist(), strict=True):
            if handle >= 0 and not self._reported[handle]:
                first[place] = self._reported[handle] = True
        return first

    def _reject(self, columns: Columns, row: int, time_us: int, received_us: int) -> Reject:
        handle = columns.handles[row]
        if handle >= len(self._tags):
            return Reject(
                self._source, raw_value(client_handle=handle), ("unknown sensor: a handle we never gave",), received_us
            )
        tag = self._tags[handle]
        value = columns.odd.get(row)
        status = status_words(columns.statuses[row]).partition(":")[0]
        raw = raw_value(node_id=tag.place, value=value, type=type(value).__name__, status=status)
        reason = (
            f"the value is missing although the status is not bad ({status})"
            if value is None
            else f"wrong type: {_type_words(value)} where a number is due"
        )
        return Reject(self._source, raw, (reason,), received_us, time_us=time_us, sensor_id=tag.sensor_id)


def _type_words(value: object) -> str:
    if isinstance(value, str):
        return "a String"
    return "an array" if isinstance(value, list) else f"a {type(value).__name__}"


def overflowed(columns: Columns) -> int:
    """Return how many rows say that the server had dropped values before them."""
    codes = np.array(columns.statuses, dtype=np.uint32)
    return int(np.count_nonzero((codes & _OVERFLOW_MASK) == _OVERFLOW))
