"""Columns of monitored items to batches of readings: units, statuses, first values, wrong types. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch, texts_batch
from resources.core.tags import SensorCatalog
from resources.scada.opc_ua.address_space.parts import NoPart
from resources.scada.opc_ua.config import OpcUaTag
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.wire.codec import Columns, times_us
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
        self._is_text = np.array([tag.is_text for tag in tags], dtype=np.bool_)
        self._states = {position: tag.states for position, tag in enumerate(tags) if tag.states}

    def forget_first_values(self, positions: Sequence[int] | None = None) -> None:
        """Take the next value of these items (of all, if None) for the first one again: they are subscribed anew."""
        self._reported[slice(None) if positions is None else list(positions)] = False

    def batches(self, columns: Columns, received_us: int, *, of_subscription: bool = True) -> list[ReadingBatch]:
        """Return one batch of first values, if there are any, and one of the rest; rows keep their order.

        Values that no subscription has sent (`of_subscription` false: history) are none of them first values.
        """
        self._name_states(columns)
        handles = np.array(columns.handles, dtype=np.int64)
        times = times_us(columns, received_us)
        codes = np.array(columns.statuses, dtype=np.uint32)
        severity = np.minimum(codes >> 30, int(Status.BAD)).astype(np.uint8)
        known = handles < len(self._tags)
        is_text = self._is_text[np.where(known, handles, 0)] & known
        missing = np.zeros(len(handles), dtype=np.bool_)
        missing[columns.missing] = True
        missing[[row for row, value in columns.odd.items() if not is_text[row] or _text(value) is None]] = True
        refused = missing & (severity != int(Status.BAD)) | ~known
        first = self._first(handles, known) if of_subscription else np.zeros(len(handles), dtype=np.bool_)
        rejects = [self._reject(columns, row, int(times[row]), received_us) for row in np.flatnonzero(refused).tolist()]
        rows = _Rows(columns, handles, times, severity, missing)
        batches = []
        for only_if_newer, chosen in ((True, first & ~refused), (False, ~first & ~refused)):
            numbers, texts = np.flatnonzero(chosen & ~is_text), np.flatnonzero(chosen & is_text)
            mine = rejects if not only_if_newer else []
            if not len(numbers) and not len(texts) and not mine:
                continue
            batches.append(
                ReadingBatch(
                    self._source,
                    readings=self._numbers(rows, numbers, received_us) if len(numbers) else None,
                    texts=self._texts(rows, texts, received_us) if len(texts) else None,
                    rejects=rejects_batch(mine) if mine else None,
                    only_if_newer=only_if_newer,
                )
            )
        return batches

    def _numbers(self, rows: _Rows, chosen: npt.NDArray[np.intp], received_us: int) -> pa.RecordBatch:
        places, missing = rows.handles[chosen], rows.missing
        values = np.array(rows.columns.values, dtype=np.float64)
        return readings_batch(
            rows.times[chosen],
            self._keys[places],
            values[chosen] * self._scale[places] + self._offset[places],
            rows.severity[chosen],
            received_us,
            missing=missing[chosen] if missing.any() else None,
        )

    def _texts(self, rows: _Rows, chosen: npt.NDArray[np.intp], received_us: int) -> pa.RecordBatch:
        odd, values = rows.columns.odd, rows.columns.values
        texts = [None if rows.missing[row] else _text(odd.get(row, values[row])) for row in chosen.tolist()]
        keys = self._keys[rows.handles[chosen]].tolist()
        return texts_batch(rows.times[chosen].tolist(), keys, texts, rows.severity[chosen].tolist(), received_us)

    def _name_states(self, columns: Columns) -> None:
        """Put the number in place of a text that a tag's `states` name."""
        if not self._states:
            return
        for row, value in list(columns.odd.items()):
            number = self._states.get(columns.handles[row], {}).get(_text(value) or "")
            if number is not None:
                columns.values[row] = float(number)
                del columns.odd[row]

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
        if isinstance(value, NoPart):
            raw = raw_value(node_id=tag.place, element=tag.element, field=tag.field, status=status)
            return Reject(self._source, raw, (value.reason,), received_us, time_us=time_us, sensor_id=tag.sensor_id)
        reason = (
            f"the value is missing although the status is not bad ({status})"
            if value is None
            else f"wrong type: {_type_words(value)} where a number is due"
        )
        return Reject(self._source, raw, (reason,), received_us, time_us=time_us, sensor_id=tag.sensor_id)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Columns, and what has been made of them; all of one length."""

    columns: Columns
    handles: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    severity: npt.NDArray[np.uint8]
    missing: npt.NDArray[np.bool_]


def _text(value: object) -> str | None:
    """Return a value as text, None if it is no scalar that can be written down."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return f"{value:.17g}" if isinstance(value, float) else str(value).lower()
    found = getattr(value, "Text", None)  # a LocalizedText
    return found if isinstance(found, str) else None


def _type_words(value: object) -> str:
    if isinstance(value, str):
        return "a String"
    return "an array" if isinstance(value, list) else f"a {type(value).__name__}"


def overflowed(columns: Columns) -> int:
    """Return how many rows say that the server had dropped values before them."""
    codes = np.array(columns.statuses, dtype=np.uint32)
    return int(np.count_nonzero((codes & _OVERFLOW_MASK) == _OVERFLOW))
