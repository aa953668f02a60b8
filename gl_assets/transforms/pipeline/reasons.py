"""Rejected readings as rows: the original as JSON, and a sentence for every rule that it breaks. Whole columns only."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.pipeline.columns import Columns, Positions
from gl_assets.transforms.pipeline.findings import Broken
from gl_assets.transforms.sensors import SensorTable
from resources.core.readings import STATUS_NAMES, TIMESTAMP
from resources.core.rules import BIT, RULES, Rule

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("time", TIMESTAMP),
        pa.field("sensor_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
    ]
)
"""Rejected rows: `raw` is JSON text of the original, `reasons` are sentences a person understands."""

Texts = npt.NDArray[np.str_]


def rejected_rows(rows: Columns, broken: Broken, null: npt.NDArray[np.bool_], sensors: SensorTable) -> pa.Table:
    """Return rejected readings as REJECTED_SCHEMA, in their order.

    Args:
        rows: The readings.
        broken: The rules that each breaks, one at least.
        null: Which came without a value; the others that have none came as NaN.
        sensors: The window's sensors.
    """
    sensor = pa.array(rows.sensor)
    return pa.table(
        [
            pa.array(rows.sequence),
            pa.array(rows.time_us).view(TIMESTAMP),
            pa.array(sensors.sensor_ids, pa.string()).take(sensor),
            pa.array(sensors.sources, pa.string()).take(sensor),
            _originals(rows, null, sensors),
            _reasons(rows, broken, sensors),
        ],
        schema=REJECTED_SCHEMA,
    )


def _originals(rows: Columns, null: npt.NDArray[np.bool_], sensors: SensorTable) -> pa.Array:
    sensor = pa.array(rows.sensor)
    ids = pa.array([json.dumps(name) for name in sensors.sensor_ids], pa.string()).take(sensor)
    units = pa.array([json.dumps(unit) for unit in sensors.units], pa.string()).take(sensor)
    time = pc.strftime(pa.array(rows.time_us).view(TIMESTAMP), "%Y-%m-%dT%H:%M:%S")
    time = pc.replace_substring_regex(time, r"\.000000$", "")
    # JSON has no NaN and no infinity: they are written as text
    words = np.select([null, np.isnan(rows.value), rows.value > 0], ["null", '"NaN"', '"Infinity"'], '"-Infinity"')
    value = pc.if_else(
        pa.array(np.isfinite(rows.value)), pc.cast(pa.array(rows.value), pa.string()), pa.array(words, pa.string())
    )
    status = pa.array([*STATUS_NAMES, "unknown"]).take(pa.array(np.minimum(rows.status, len(STATUS_NAMES))))
    parts = ['{"sensor_id": ', ids, ', "time": "', time, '+00:00", "value": ', value, ', "unit": ', units]
    return pc.binary_join_element_wise(*parts, ', "status": "', status, '"}', "")


def _reasons(rows: Columns, broken: Broken, sensors: SensorTable) -> pa.Array:
    owners: list[Positions] = []
    sentences: list[Texts] = []
    for rule in RULES:
        own = np.flatnonzero(broken & BIT[rule])
        if len(own):
            owners.append(own)
            sentences.append(_SENTENCES[rule](rows.take(own), sensors))
    if not owners:
        return pa.array([[]] * len(rows), pa.list_(pa.string()))
    owner = np.concatenate(owners)
    # stable: of one reading the sentences stay in the order of the rules
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(rows) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(bounds), pa.array(np.concatenate(sentences)[order], pa.string()))


def _number(values: npt.NDArray[np.float64]) -> Texts:
    return np.char.mod("%g", values)


def _join(*parts: Texts | str) -> Texts:
    found = np.asarray(parts[0], dtype=str)
    for part in parts[1:]:
        found = np.char.add(found, part)
    return found


def _units(rows: Columns, sensors: SensorTable) -> Texts:
    return np.array(sensors.units, dtype=str)[rows.sensor]


def _status(rows: Columns) -> Texts:
    return np.array([*STATUS_NAMES, "unknown"])[np.minimum(rows.status, len(STATUS_NAMES))]


def _required(rows: Columns, sensors: SensorTable) -> Texts:
    return _join("no value, though the status is ", _status(rows))


def _not_a_number(rows: Columns, sensors: SensorTable) -> Texts:
    return _join("the value is not a number (NaN), though the status is ", _status(rows))


def _infinite(rows: Columns, sensors: SensorTable) -> Texts:
    canonical = np.array(sensors.calibrated_units, dtype=str)[rows.sensor]
    finite = _join(_number(rows.value), " ", _units(rows, sensors), " cannot be expressed in ", canonical)
    return np.where(np.isfinite(rows.value), finite, "the value is infinite")


def _range(rows: Columns, sensors: SensorTable) -> Texts:
    low, high, unit = sensors.minimum[rows.sensor], sensors.maximum[rows.sensor], _units(rows, sensors)
    below = rows.value < low
    limit = _number(np.where(below, low, high))
    side = np.where(below, " is below the minimum of ", " is above the maximum of ")
    return _join(_number(rows.value), " ", unit, side, limit, " ", unit)


def _type(rows: Columns, sensors: SensorTable) -> Texts:
    status = _join("status ", _number(rows.status.astype(np.float64)), " is none of good, uncertain and bad")
    return np.where(rows.status >= len(STATUS_NAMES), status, _fault(rows, sensors))


def _fault(rows: Columns, sensors: SensorTable) -> Texts:
    return np.array([fault or "" for fault in sensors.faults], dtype=str)[rows.sensor]


def _future(rows: Columns, sensors: SensorTable) -> Texts:
    return _join("source time is ", _seconds(rows.time_us - rows.received_us), " s ahead of the receipt")


def _too_old(rows: Columns, sensors: SensorTable) -> Texts:
    return _join("source time is ", _seconds(rows.received_us - rows.time_us), " s before the receipt")


def _rate_of_change(rows: Columns, sensors: SensorTable) -> Texts:
    unit, rate = _units(rows, sensors), _number(sensors.max_rate[rows.sensor])
    return _join(_number(rows.value), " ", unit, " is further from the last value than ", rate, " ", unit, "/s allow")


def _flat_line(rows: Columns, sensors: SensorTable) -> Texts:
    lasted = _seconds(sensors.flat_after_us[rows.sensor])
    return _join(
        "the value has been ", _number(rows.value), " ", _units(rows, sensors), " for ", lasted, " s or longer"
    )


def _out_of_order(rows: Columns, sensors: SensorTable) -> Texts:
    return np.full(len(rows), "a newer reading of this sensor came before it")


def _duplicate(rows: Columns, sensors: SensorTable) -> Texts:
    return np.full(len(rows), "another value came for the same sensor and time before")


def _seconds(micros: npt.NDArray[np.int64]) -> Texts:
    return _number(micros / 1e6)


_SENTENCES: dict[Rule, Callable[[Columns, SensorTable], Texts]] = {
    "required": _required,
    "type": _type,
    "sensor_id": _fault,
    "unit": _fault,
    "not_a_number": _not_a_number,
    "infinite": _infinite,
    "range": _range,
    "future": _future,
    "too_old": _too_old,
    "rate_of_change": _rate_of_change,
    "flat_line": _flat_line,
    "out_of_order": _out_of_order,
    "duplicate": _duplicate,
}
