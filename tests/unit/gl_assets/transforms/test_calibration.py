"""Calibrations of all sensors at once, against one value at a time as the certificate has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gl_assets.transforms.calibration import Calibrations
from resources.core.calibration.book import CalibrationBook
from resources.core.calibration.calibrations import CalibrationConfig
from resources.core.clock import to_micros

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SENSORS = ("a", "b", "c")
UNITS = ("bar", "Cel", "kPa")


def certificate(sensor_id: str, **changes: Any) -> CalibrationConfig:
    return CalibrationConfig.model_validate({"sensor_id": sensor_id, "certificate": "K", "valid_from": START} | changes)


def calibrated(
    stated: list[CalibrationConfig], rows: list[tuple[int, float, float]], units: tuple[str, ...] = UNITS
) -> tuple[list[float], list[bool]]:
    """Return the calibrated values of rows (sensor, hours after START, value), and which calibrations have lapsed."""
    found = Calibrations.of(SENSORS, units, CalibrationBook(stated))
    sensor = np.array([row[0] for row in rows], dtype=np.int32)
    time_us = np.array([to_micros(START + row[1] * HOUR) for row in rows], dtype=np.int64)
    value = np.array([row[2] for row in rows], dtype=np.float64)
    return found.apply(sensor, time_us, value).tolist(), found.lapsed(sensor, time_us).tolist()


def test_values_when_nothing_is_calibrated_then_they_are_the_same_array() -> None:
    found = Calibrations.of(SENSORS, UNITS, CalibrationBook())
    value = np.array([1.0])
    assert found.apply(np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int64), value) is value
    later = Calibrations.of(SENSORS, UNITS, CalibrationBook([certificate("a", linear={"factor": 2})]))
    assert later.apply(np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int64), value) is value
    assert later.apply(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), value[:0]).tolist() == []


@pytest.mark.parametrize(
    ("stated", "value", "expected"),
    [
        ({"linear": {"factor": 2, "offset": 0.5}}, 3.0, 6.5),
        ({"linear": {"factor": 1.0, "offset": 10}, "unit": "kPa"}, 3.0, 3.1),
        ({"linear": {"factor": 1.1, "offset": 0}, "unit": "bar{gauge}"}, 3.0, 1.01325 + 1.1 * (3 - 1.01325)),
        ({"polynomial": [1, 0, 2]}, 3.0, 19.0),
        ({"polynomial": [0, 1, 0.001], "unit": "kPa"}, 3.0, 3.9),
        ({"polynomial": [10, 1.1], "unit": "kPa"}, 3.0, 3.4),
        ({"polynomial": [10, 1.1, 0], "unit": "kPa"}, 3.0, 3.4),
        ({"polynomial": [0, 1.1], "unit": "bar{gauge}"}, 3.0, 1.01325 + 1.1 * (3 - 1.01325)),
        ({"lookup": [[0, 1], [10, 21], [20, 31]]}, 5.0, 11.0),
        ({"lookup": [[0, 1], [10, 21], [20, 31]]}, 10.0, 21.0),
        ({"lookup": [[0, 1], [10, 21], [20, 31]]}, 15.0, 26.0),
        ({"lookup": [[0, 1], [10, 21], [20, 31]]}, -1.0, -1.0),
        ({"lookup": [[0, 1], [10, 21], [20, 31]]}, 30.0, 41.0),
        ({"lookup": [[0, 0], [1000, 2000]], "unit": "kPa"}, 3.0, 6.0),
    ],
    ids=str,
)
def test_value_when_calibrated_then_as_the_certificate_has_it(
    stated: dict[str, Any], value: float, expected: float
) -> None:
    assert calibrated([certificate("a", **stated)], [(0, 0, value), (1, 0, value)])[0] == pytest.approx(
        [expected, value]
    )
    # beside a sensor of another kind the quick way of straight lines is not taken
    beside = [certificate("a", **stated), certificate("c", polynomial=[0, 0, 1])]
    assert calibrated(beside, [(0, 0, value), (1, 0, value), (2, 0, 4.0)])[0] == pytest.approx([expected, value, 16.0])


def test_values_when_periods_follow_one_another_then_each_at_its_time() -> None:
    stated = [
        certificate("a", valid_until=START + 2 * HOUR, linear={"factor": 2}),
        certificate("a", valid_from=START + 2 * HOUR, valid_until=START + 3 * HOUR, linear={"factor": 3}),
    ]
    rows = [(0, -1.0, 1.0), (0, 0.0, 1.0), (0, 1.999, 1.0), (0, 2.0, 1.0), (0, 3.0, 1.0), (1, 2.0, 1.0)]
    assert calibrated(stated, rows) == ([1.0, 2.0, 2.0, 3.0, 1.0, 1.0], [True, False, False, False, True, False])
    assert calibrated(stated, [(0, 5.0, 1.0), (1, 5.0, 1.0)]) == ([1.0, 1.0], [True, False])


def test_value_when_a_straight_polynomial_has_its_own_unit_then_the_same_in_every_window() -> None:
    stated = [certificate("a", unit="kPa", polynomial=[10, 1])]
    within = calibrated(stated, [(0, 1.0, 3.0)])[0]
    across = calibrated(stated, [(0, -1.0, 3.0), (0, 1.0, 3.0)])[0]
    assert within == pytest.approx([3.1])
    assert across == pytest.approx([3.0, 3.1])


def test_value_when_missing_or_too_large_then_it_stays_missing_or_becomes_infinite() -> None:
    found, _ = calibrated([certificate("a", linear={"factor": 1e300})], [(0, 0, float("nan")), (0, 0, 1e300)])
    assert np.isnan(found[0])
    assert np.isinf(found[1])


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"linear": {"factor": 1, "offset": 5}}, 5.05),
        ({"polynomial": [5, 1]}, 5.05),
        ({"polynomial": [0, 1, 0.001]}, 7.5),
        ({"lookup": [[0, 5], [1000, 1005]]}, 5.05),
    ],
    ids=str,
)
def test_value_when_collected_before_the_tags_unit_changed_then_the_numbers_are_in_the_tags(
    stated: dict[str, Any], expected: float
) -> None:
    book = CalibrationBook([certificate("a", **stated)], tag_units={"a": "kPa"})
    zero = np.zeros(1, dtype=np.int32)
    time_us = np.array([to_micros(START)], dtype=np.int64)
    found = Calibrations.of(("a",), ("bar",), book).apply(zero, time_us, np.array([5.0]))
    assert found == pytest.approx([expected])


def test_sensor_when_its_unit_no_longer_fits_the_certificate_then_left_as_it_is() -> None:
    stated = [certificate("a", unit="bar", linear={"factor": 2})]
    assert calibrated(stated, [(0, 0, 3.0)], units=("Cel", "Cel", "kPa"))[0] == [3.0]


POINTS = st.lists(st.integers(-1000, 1000), min_size=2, max_size=6, unique=True).map(sorted)
STATED = st.one_of(
    st.builds(lambda f, o: {"linear": {"factor": f, "offset": o}}, st.floats(0.5, 2), st.floats(-50, 50)),
    st.lists(st.floats(-2, 2), min_size=2, max_size=4).map(lambda c: {"polynomial": c}),
    st.tuples(POINTS, POINTS).map(lambda p: {"lookup": [[float(x), float(y)] for x, y in zip(*p, strict=False)]}),
)


def one_by_one(stated: dict[str, Any], value: float) -> float:
    if "linear" in stated:
        return float(stated["linear"]["factor"] * value + stated["linear"]["offset"])
    if "polynomial" in stated:
        return float(sum(c * value**n for n, c in enumerate(stated["polynomial"])))
    points = stated["lookup"]
    at = max([n for n, point in enumerate(points[:-1]) if point[0] <= value], default=0)
    (x0, y0), (x1, y1) = points[at], points[at + 1]
    return float(y0 + (y1 - y0) / (x1 - x0) * (value - x0))


@given(
    kinds=st.lists(st.one_of(st.none(), STATED), min_size=3, max_size=3),
    rows=st.lists(st.tuples(st.integers(0, 2), st.floats(-1200, 1200)), min_size=1, max_size=30),
)
def test_values_when_many_sensors_are_calibrated_at_once_then_as_one_by_one(
    kinds: list[dict[str, Any] | None], rows: list[tuple[int, float]]
) -> None:
    stated = [certificate(SENSORS[n], **kind) for n, kind in enumerate(kinds) if kind is not None]
    found, _ = calibrated(stated, [(sensor, 1.0, value) for sensor, value in rows])
    expected = [value if (kind := kinds[sensor]) is None else one_by_one(kind, value) for sensor, value in rows]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
