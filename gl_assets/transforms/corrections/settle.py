"""Corrected rows made ready for the pipeline: completed from the configuration, and those set aside that never can be.

What a reading has to be is the pipeline's to say. Here is what must hold before there is a reading at all: a sensor, an
instant that has a window, a value or a status, and one row per sensor and instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.configuration.settings import TagConfig
from resources.core.readings import STATUS_NAMES

Mask = npt.NDArray[np.bool_]

UNDECIDED = ""
"""Outcome of a row that goes on."""

REPEATED = "the same sensor, time and value stands in this batch already"
OVERTAKEN = "the batch corrects another row to the same sensor and time with another value; the later row counts"


@dataclass(slots=True)
class Settled:
    """The rows of a batch as columns, and what is decided of them so far."""

    number: npt.NDArray[np.int64]
    """Number of the row in its batch, ascending."""
    sensor: npt.NDArray[np.int64]
    """Position in `sensors`; -1: none is named."""
    sensors: list[str]
    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    """NaN: no value, or a text."""
    is_null: Mask
    """Where there is no number at all."""
    text: list[str | None]
    unit: list[str]
    status: npt.NDArray[np.uint8]
    source: list[str]
    is_text: Mask
    """Where the sensor's readings are texts."""
    outcome: npt.NDArray[np.object_]
    """What came of the row; UNDECIDED while it goes on."""
    why: dict[int, list[str]] = field(default_factory=dict)
    """Position of a row -> why."""

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.number)

    @property
    def goes_on(self) -> Mask:
        """Which rows nothing has been decided of."""
        undecided: Mask = self.outcome == UNDECIDED
        return undecided

    def decide(self, rows: npt.NDArray[Any], outcome: str, *why: str) -> None:
        """Decide what comes of rows, by position or mask, unless that is decided already."""
        places = np.flatnonzero(rows) if rows.dtype == bool else rows
        for row in places.tolist():
            if self.outcome[row] == UNDECIDED:
                self.outcome[row] = outcome
                self.why[row] = list(why)


def settle(rows: pa.Table, tags: Mapping[str, TagConfig], *, start: datetime, until: datetime) -> Settled:
    """Return the rows of a batch, completed, with what is decided of those that cannot become readings.

    A unit that is not said is the tag's, and a value without a status is good.

    Args:
        rows: number, source, sensor_id, time, value, text_value, unit, status.
        tags: sensor_id -> tag.
        start: First instant that is accepted.
        until: Readings lie before this: end of the last window that is over.
    """
    names = rows.column("sensor_id").combine_chunks().dictionary_encode()
    sensors: list[str] = names.dictionary.to_pylist()
    sensor = names.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    of = [tags.get(name) for name in sensors]
    time = rows.column("time")
    value = rows.column("value")
    texts = rows.column("text_value").to_pylist()
    is_text = np.array([tag is not None and tag.is_text for tag in of] + [False])[sensor]
    units = [unit or _unit(of, at) for unit, at in zip(rows.column("unit").to_pylist(), sensor, strict=True)]
    is_null = value.is_null().to_numpy() | is_text
    status = rows.column("status").to_pylist()
    has_any = ~is_null | np.array([text is not None for text in texts], bool)
    settled = Settled(
        number=rows.column("number").to_numpy().astype(np.int64),
        sensor=sensor,
        sensors=sensors,
        time_us=time.cast(pa.int64()).fill_null(0).to_numpy(),
        value=np.where(is_null, np.nan, value.fill_null(np.nan).to_numpy()),
        is_null=is_null,
        text=texts,
        unit=units,
        status=np.array([_status(name, any_) for name, any_ in zip(status, has_any, strict=True)], np.uint8),
        source=rows.column("source").to_pylist(),
        is_text=is_text,
        outcome=np.full(rows.num_rows, UNDECIDED, object),
    )
    unknown = np.array([name is None for name in status], bool) & ~has_any
    _set_aside(settled, time.is_null().to_numpy(), unknown, start=start, until=until)
    _settle_repeated(settled)
    return settled


def _unit(of: list[TagConfig | None], sensor: int) -> str:
    tag = of[sensor] if sensor >= 0 else None
    return tag.unit if tag is not None else ""


def _status(name: str | None, has_any: bool) -> int:
    return STATUS_NAMES.index(name) if name in STATUS_NAMES else 0 if has_any else 2


def _set_aside(rows: Settled, timeless: Mask, unknown: Mask, *, start: datetime, until: datetime) -> None:
    rows.decide(
        unknown,
        "rejected",
        "the original is no reading but what the source sent: give sensor_id, time and value in a file",
    )
    rows.decide(rows.sensor < 0, "rejected", "no sensor is known: give sensor_id")
    rows.decide(timeless, "rejected", "no source time is known: give time")
    rows.decide(
        rows.time_us < to_micros(start),
        "rejected",
        f"the time lies before {start:%Y-%m-%dT%H:%M:%S}Z, the configured start",
    )
    rows.decide(
        rows.time_us >= to_micros(until),
        "rejected",
        f"the time lies at or after {until:%Y-%m-%dT%H:%M}Z: its window is not over",
    )
    rows.decide(
        rows.is_text & np.array([text is None for text in rows.text], bool) & (rows.status != 2),
        "rejected",
        "the sensor's readings are texts, and there is no text",
    )


def _settle_repeated(rows: Settled) -> None:
    """Of rows that are corrected to one sensor and time the later one counts."""
    going = np.flatnonzero(rows.goes_on)
    order = going[np.lexsort((rows.number[going], rows.time_us[going], rows.sensor[going]))]
    if len(order) < 2:
        return
    same = (rows.sensor[order][1:] == rows.sensor[order][:-1]) & (rows.time_us[order][1:] == rows.time_us[order][:-1])
    for earlier, later in zip(order[:-1][same].tolist(), order[1:][same].tolist(), strict=True):
        equal = _comparable(rows, earlier) == _comparable(rows, later)
        rows.decide(np.array([earlier]), "repeated" if equal else "rejected", REPEATED if equal else OVERTAKEN)


def _comparable(rows: Settled, at: int) -> tuple[object, ...]:
    value = rows.text[at] if rows.is_text[at] else None if np.isnan(rows.value[at]) else float(rows.value[at])
    return value, rows.unit[at], int(rows.status[at])
