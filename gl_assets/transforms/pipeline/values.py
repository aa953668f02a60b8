"""Validate, first half: what can be said of a reading on its own. Positions of rows, nothing is changed.

- `required`: a value, unless the status is bad; of the other fields `incomplete` has made sure.
- `type`: a status of the three; a number where the tag is configured as a number.
- `sensor_id`: of letters, digits and `_ . : / -`, and configured.
- `unit`: the unit it was collected in converts to the canonical one.
- `not_a_number`: NaN, unless the status is bad. `infinite`: neither as it came nor once it is converted.
- `range`: within the tag's minimum and maximum.
- `future`, `too_old`: source time and receipt lie no further apart than the configuration allows.
- `duplicate`: no other value came for the same sensor and time before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.pipeline.columns import Columns, Mask, Positions
from gl_assets.transforms.pipeline.findings import Broken, add, none_broken
from gl_assets.transforms.sensors import SensorTable
from resources.core.contradictions import OVERTAKEN
from resources.core.readings import STATUS_NAMES, Status


def value_findings(columns: Columns, null: Mask, sensors: SensorTable, *, history: bool) -> Broken:
    """Return what each reading breaks on its own.

    Args:
        columns: The readings.
        null: Which came without a value: in `columns` they are NaN like those that came as NaN.
        sensors: The window's sensors.
        history: They were read from history: received long after their time, and in no order.
    """
    broken = none_broken(columns)
    _judge_values(broken, columns, null, sensors)
    if len(columns) and int(columns.status.max()) >= len(STATUS_NAMES):
        add(broken, "type", np.flatnonzero(columns.status >= len(STATUS_NAMES)), columns, sensors)
    if sensors.fault_bits.any():
        broken |= sensors.fault_bits[columns.sensor]
    delay = columns.received_us - columns.time_us
    if sensors.watches("future"):
        add(broken, "future", np.flatnonzero(delay < -sensors.future_after_us), columns, sensors)
    if sensors.watches("too_old") and not history:
        add(broken, "too_old", np.flatnonzero(delay > sensors.too_old_after_us), columns, sensors)
    return broken


def _judge_values(broken: Broken, columns: Columns, null: Mask, sensors: SensorTable) -> None:
    fits = columns.value >= sensors.minimum[columns.sensor]
    fits &= columns.value <= sensors.maximum[columns.sensor]
    # neither NaN nor infinity fits: what comes next is about few rows
    suspects = np.flatnonzero(~fits)
    if not len(suspects):
        return
    value = columns.value[suspects]
    nan, infinite = np.isnan(value), np.isinf(value)
    add(broken, "range", suspects[~nan & ~infinite], columns, sensors)
    add(broken, "infinite", suspects[infinite], columns, sensors)
    unexplained = suspects[nan & (columns.status[suspects] != Status.BAD)]
    add(broken, "required", unexplained[null[unexplained]], columns, sensors)
    add(broken, "not_a_number", unexplained[~null[unexplained]], columns, sensors)


def duplicates(columns: Columns, rejects: pa.Table, sensors: SensorTable) -> Positions:
    """Return the readings that stand in place of an earlier one with another value.

    Args:
        columns: The readings, by sensor and time.
        rejects: What the buffer rejected, the earlier ones among it: time, sensor_id, reasons.
        sensors: The window's sensors.
    """
    overtaken = rejects.filter(pc.equal(pc.list_element(_with_a_reason(rejects), 0), OVERTAKEN))
    if not overtaken.num_rows or not len(columns):
        return np.empty(0, dtype=np.intp)
    place = {sensor_id: n for n, sensor_id in enumerate(sensors.sensor_ids)}
    sensor = np.array([place.get(name, -1) for name in overtaken.column("sensor_id").to_pylist()], dtype=np.int64)
    time = overtaken.column("time").cast(pa.int64()).fill_null(0).to_numpy()
    # a window is at most an hour: the offset fits below the sensor
    start = int(columns.time_us.min())
    inside = (sensor >= 0) & (time >= start) & (time < start + 2**32)
    wanted = np.unique(_keys(sensor[inside], time[inside], start))
    standing = _keys(columns.sensor, columns.time_us, start)
    at = np.searchsorted(standing, wanted)
    there = at < len(standing)
    found: Positions = at[there][standing[at[there]] == wanted[there]]
    return found


def _with_a_reason(rejects: pa.Table) -> pa.ChunkedArray:
    reasons = rejects.column("reasons")
    empty = pc.equal(pc.list_value_length(reasons), 0)
    if not pc.any(empty).as_py():
        return reasons
    return pc.if_else(empty, pa.scalar([""], reasons.type), reasons)


def _keys(
    sensor: npt.NDArray[np.signedinteger], time_us: npt.NDArray[np.int64], start_us: int
) -> npt.NDArray[np.int64]:
    keys: npt.NDArray[np.int64] = sensor.astype(np.int64) << 32 | (time_us - start_us)
    return keys
