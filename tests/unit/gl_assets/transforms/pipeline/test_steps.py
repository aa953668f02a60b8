"""The steps one by one: normalise, calibrate, convert, enrich, output."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from gl_assets.transforms.calibration import Calibrations
from gl_assets.transforms.frames import readings_frame
from gl_assets.transforms.pipeline.columns import Columns, normalise
from gl_assets.transforms.pipeline.convert import calibrate, convert, overflowed
from gl_assets.transforms.pipeline.enrich import SensorFacts, enrich
from gl_assets.transforms.sensors import sensor_table
from resources.core.calibration.book import CalibrationBook
from resources.core.calibration.calibrations import CalibrationConfig, LinearCalibration
from resources.core.configuration.settings import TagConfig
from tests.unit.gl_assets.transforms.pipeline.windows import START_US, one_sensor, refined, series
from tests.unit.gl_assets.transforms.window_contents import SENSORS, TAGS, readings, sensors

GOOD, BAD = 0, 2


def columns(values: list[float], sensor: list[int] | None = None) -> Columns:
    count = np.arange(len(values), dtype=np.int64)
    value = np.array(values)
    return Columns(
        np.array(sensor or [0] * len(values), np.int32),
        START_US + count * 1_000_000,
        START_US + count,
        count,
        np.zeros(len(values), np.uint8),
        value,
        value,
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_normalise_when_times_come_in_any_timestamp_then_they_leave_as_utc_microseconds(unit: str):
    table = readings([(7, 3, 1.0, GOOD)])
    zone = pa.timestamp(unit, tz="Europe/Berlin")
    table = table.set_column(0, pa.field("time", zone), table.column("time").cast(zone))

    found, _ = normalise(table, sensor_table(sensors(), TAGS))

    assert found.time_us.tolist() == [START_US + 3_000_000]


def test_normalise_when_sensors_have_keys_then_they_become_positions_and_rows_are_ordered():
    # key 7 is the first sensor, key 3 the second
    found, null = normalise(
        readings([(3, 1, 1.0, GOOD), (7, 2, None, BAD), (7, 1, 3.0, GOOD)]), sensor_table(sensors(), TAGS)
    )

    assert found.sensor.tolist() == [0, 0, 1]
    assert null.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.value, [3.0, np.nan, 1.0])


def test_columns_when_rows_are_taken_out_then_the_others_stay_in_order():
    kept = columns([1.0, 2.0, 3.0, 4.0]).without(np.array([1, 3]))

    assert kept.value.tolist() == kept.calibrated_value.tolist() == [1.0, 3.0]
    assert kept.sequence.tolist() == [0, 2]


def test_calibrate_when_a_certificate_holds_then_the_calibrated_value_follows_and_the_original_stays():
    config = CalibrationConfig(
        sensor_id="t",
        certificate="C-1",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        linear=LinearCalibration(factor=2.0, offset=1.0),
    )
    book = CalibrationBook((config,))

    found = calibrate(columns([1.0, 2.0]), Calibrations.of(("t",), ("Cel",), book))

    assert found.calibrated_value.tolist() == [3.0, 5.0]
    assert found.value.tolist() == [1.0, 2.0]


def test_calibrate_when_there_are_no_calibrations_then_the_columns_are_the_same():
    given = columns([1.0])

    assert calibrate(given, None) is given


def test_convert_when_units_differ_then_factor_and_offset_are_those_of_the_sensor():
    found = convert(columns([20.0, 4.0], [0, 1]), sensor_table(sensors(), TAGS))

    assert found.calibrated_value.tolist() == pytest.approx([293.15, 4.0])


def test_convert_when_a_value_is_too_great_for_the_unit_then_it_is_found():
    tags = {"t": TagConfig(sensor_id="t", unit="km", canonical_unit="m")}
    table = sensor_table(sensors([(7, "t", "km", "opc")]), tags)

    found = convert(columns([1.0, 1e307, np.nan]), table)

    assert overflowed(found).tolist() == [1]


def test_enrich_when_tags_are_configured_then_each_sensor_has_one_row_of_facts():
    tag = TagConfig(
        sensor_id="t", unit="Cel", canonical_unit="K", equipment="b1", area="hall", calibration="C", maximum=9
    )
    twice = [(7, "t", "Cel", "opc"), (8, "t", "K", "opc"), (9, "unknown", "bar", "plc")]

    found = enrich(sensor_table(sensors(twice), {"t": tag}), {"t": tag})

    assert found == (SensorFacts("t", "opc", "", "b1", "hall", "Cel", "K", None, 9.0, "C"),)


def test_output_when_refined_then_the_frame_has_scores_and_levels_of_every_row():
    table = one_sensor(max_rate=1)

    frame = readings_frame(refined(table, series([1.0, 50.0])), table)

    assert frame["quality_score"].tolist() == [100, 90]
    assert frame["quality_level"].tolist() == ["EXCELLENT", "GOOD"]
    assert frame["sensor_id"].tolist() == ["t", "t"]


def test_sensor_table_when_limits_are_given_in_another_unit_then_they_are_converted():
    tag = TagConfig(sensor_id="t", unit="K", maximum=373.15, flat_after=timedelta(seconds=5))

    table = sensor_table(sensors([(7, "t", "Cel", "opc")]), {"t": tag})

    assert table.maximum.tolist() == pytest.approx([100])
    assert table.flat_after_us.tolist() == [5_000_000]
    assert table.compared.tolist() == [True]


def test_sensor_table_when_there_are_no_sensors_then_it_is_empty():
    assert len(sensor_table(sensors([]), TAGS)) == 0
    assert len(sensor_table(sensors(SENSORS), TAGS)) == 2
