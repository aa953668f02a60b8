"""Judges readings by the rules: threshold, hysteresis and duration; pure but for the state it keeps.

A batch costs a few array operations as long as nothing is beyond a limit. Only the sensors that are, or whose alarm
stands, are looked at one by one, and of their rows only those where something changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import Clock, to_micros
from resources.core.readings import ReadingBatch, Status
from resources.core.tags import SensorCatalog
from sensors.collector.alarms.points import Floats, Ints, WatchPoints

_NEVER = np.iinfo(np.int64).min


class Phase(IntEnum):
    """State of one watch point."""

    NORMAL = 0
    PENDING = 1
    """Beyond the limit, not yet for long enough."""
    RAISED = 2


class _Zone(IntEnum):
    """Where a value is; after the sign of its point."""

    UNKNOWN = -1
    """A bad reading, or one without a value."""
    CLEAR = 0
    BETWEEN = 1
    """Not beyond the limit, and not back by the hysteresis."""
    BEYOND = 2


@dataclass(frozen=True, slots=True)
class Crossing:
    """An alarm that was raised or is over."""

    rule: str
    sensor_key: int
    raised: bool
    """False: it is over."""
    time_us: int
    """Source time of the reading that decided; of one that lasted without a new reading, when its time was up."""
    began_us: int
    """Source time since when the value was beyond the limit; of one that is over, as `time_us`."""
    value: float


@dataclass(frozen=True, slots=True)
class _Run:
    """Readings of one sensor in a row that are in the same zone."""

    point: int
    zone: int
    first_us: int
    first: float
    last_us: int
    last: float


class Evaluator:
    """The state of all watch points; used by the event loop alone."""

    def __init__(self, points: WatchPoints, catalog: SensorCatalog, *, late_limit_us: int, clock: Clock) -> None:
        """Begin with every point normal."""
        self.points = points
        self._catalog, self._late_us, self._clock = catalog, late_limit_us, clock
        count = len(points)
        self._phase = np.zeros(count, dtype=np.uint8)
        self._began_us = np.zeros(count, dtype=np.int64)
        self._due = np.zeros(count)
        self._value = np.zeros(count)
        self._busy = np.zeros(len(catalog), dtype=np.int64)
        """Points of each sensor that are not normal."""
        self._last_us = np.full(len(catalog), _NEVER, dtype=np.int64)
        self.late: Counter[str] = Counter()
        """Source -> watched readings that were not live."""
        self.late_at: dict[str, float] = {}
        """Source -> monotonic time of the last of them."""
        self.live_at: dict[str, float] = {}
        """Source -> monotonic time of its last live reading that is watched."""

    def restore(self, rule: str, sensor_key: int) -> bool:
        """Note that an alarm stands since an earlier run; return False if there is no such point any more."""
        if not 0 <= sensor_key < self.points.first.size:
            return False
        first = int(self.points.first[sensor_key])
        for point in range(first, first + int(self.points.count[sensor_key])):
            if self.points.rules[point] == rule:
                self._set(point, Phase.RAISED)
                return True
        return False

    def judge(self, batch: ReadingBatch) -> list[Crossing]:
        """Return what the readings of a batch raise or end, in the order of each sensor's readings."""
        if batch.readings is None or not batch.readings.num_rows:
            return []
        rows = self._live_rows(batch.source, batch.readings)
        if rows is None:
            return []
        runs = self._runs(*rows)
        now_us, mark = to_micros(self._clock.now()), self._clock.monotonic()
        return [crossing for run in runs for crossing in self._step(run, now_us, mark)]

    def tick(self, is_connected: Callable[[str], bool]) -> list[Crossing]:
        """Return what has been beyond its limit for long enough without a new reading.

        A source that tells only what changes is silent meanwhile. One that is not connected is silent for another
        reason: its points begin anew with the next reading.
        """
        found = []
        now_us, mark = to_micros(self._clock.now()), self._clock.monotonic()
        for point in np.flatnonzero(self._phase == Phase.PENDING).tolist():
            sensor = self._catalog.sensors[int(self.points.sensor_keys[point])]
            if not is_connected(sensor.source):
                self._set(point, Phase.NORMAL)
            elif mark >= self._due[point]:
                found.append(self._raise(point, now_us, float(self._value[point])))
        return found

    def _live_rows(self, source: str, readings: pa.RecordBatch) -> tuple[Ints, Ints, Floats] | None:
        """Return (keys, times, values) of the rows to be judged, None if there are none; NaN is no usable value."""
        keys: Ints = readings.column("sensor_key").to_numpy().astype(np.int64)
        watched: npt.NDArray[np.bool_] = self.points.count[keys] > 0
        if not watched.any():
            return None
        times: Ints = readings.column("time").view(pa.int64()).to_numpy()
        values: Floats = readings.column("value").to_numpy(zero_copy_only=False)
        now_us = to_micros(self._clock.now())
        live = np.abs(times - now_us) <= self._late_us
        late = int(np.count_nonzero(watched & ~live))
        if late:
            self.late[source] += late
            self.late_at[source] = self._clock.monotonic()
        usable = watched & live
        if usable.any():
            self.live_at[source] = self._clock.monotonic()
        # what is older than what was judged already says nothing; times are kept up to our own present: one beyond it
        # is of a clock that was set back since, and hides nothing
        usable &= (times >= self._last_us[keys]) | (self._last_us[keys] > now_us)
        if not usable.any():
            return None
        known = (readings.column("status").to_numpy() != Status.BAD) & np.isfinite(values)
        keys, times, values, known = keys[usable], times[usable], np.where(known, values, np.nan)[usable], known[usable]
        # a clock that is ahead must not make the sensor deaf when it is put right; nor may the time of a bad reading,
        # which is often the server's, hide the value of the device that comes after it
        self._last_us[keys[self._last_us[keys] > now_us]] = _NEVER
        np.maximum.at(self._last_us, keys[known], np.minimum(times[known], now_us))
        return keys, times, values

    def _runs(self, keys: Ints, times: Ints, values: Floats) -> list[_Run]:
        """Return the rows of the sensors that matter, by point, runs of the same zone taken together."""
        points = self.points
        odd = (values > points.upper[keys]) | (values < points.lower[keys]) | (self._busy[keys] > 0)
        if not odd.any():
            return []
        matters = np.zeros(self._busy.size, dtype=np.bool_)
        matters[keys[odd]] = True
        chosen = matters[keys]
        keys, times, values = keys[chosen], times[chosen], values[chosen]
        rows, at = points.of_rows(keys)
        turned = points.sign[at] * values[rows]
        zones = np.select(
            [np.isnan(turned), turned > points.limits[at], turned > points.clears[at]],
            [_Zone.UNKNOWN, _Zone.BEYOND, _Zone.BETWEEN],
            _Zone.CLEAR,
        )
        order = np.lexsort((times[rows], at))
        rows, at, zones = rows[order], at[order], zones[order]
        new = np.ones(at.size, dtype=np.bool_)
        new[1:] = (at[1:] != at[:-1]) | (zones[1:] != zones[:-1])
        begins = np.flatnonzero(new)
        first, last = rows[begins], rows[np.append(begins[1:], at.size) - 1]
        columns = (at[begins], zones[begins], times[first], values[first], times[last], values[last])
        return [_Run(*run) for run in zip(*(column.tolist() for column in columns), strict=True)]

    def _step(self, run: _Run, now_us: int, mark: float) -> list[Crossing]:
        """Move one point; return what that raises or ends."""
        point, phase = run.point, self._phase[run.point]
        if run.zone == _Zone.BEYOND:
            return self._beyond(run, now_us, mark)
        if phase == Phase.PENDING:
            # nobody knows whether it still is beyond: the clock must not raise what one reading has begun
            self._set(point, Phase.NORMAL)
        elif phase == Phase.RAISED and run.zone == _Zone.CLEAR:
            self._set(point, Phase.NORMAL)
            key = int(self.points.sensor_keys[point])
            return [Crossing(self.points.rules[point], key, False, run.first_us, run.first_us, run.first)]
        return []

    def _beyond(self, run: _Run, now_us: int, mark: float) -> list[Crossing]:
        point, wanted_us = run.point, int(self.points.durations_us[run.point])
        if self._phase[point] == Phase.RAISED:
            return []
        if self._phase[point] == Phase.NORMAL:
            self._set(point, Phase.PENDING)
            self._began_us[point] = run.first_us
            self._due[point] = mark + (wanted_us - max(0, now_us - run.first_us)) / 1e6
        self._value[point] = run.last
        began_us = int(self._began_us[point])
        if run.first_us - began_us >= wanted_us:
            return [self._raise(point, run.first_us, run.first)]
        if run.last_us - began_us >= wanted_us:
            return [self._raise(point, run.last_us, run.last)]
        return []

    def _set(self, point: int, phase: Phase) -> None:
        """Put a point into a phase."""
        change = int(phase != Phase.NORMAL) - int(self._phase[point] != Phase.NORMAL)
        self._busy[self.points.sensor_keys[point]] += change
        self._phase[point] = phase

    def _raise(self, point: int, time_us: int, value: float) -> Crossing:
        self._set(point, Phase.RAISED)
        key = int(self.points.sensor_keys[point])
        return Crossing(self.points.rules[point], key, True, time_us, int(self._began_us[point]), value)
