import json
from datetime import timedelta

import numpy as np
import pytest

from gl_assets.transforms.pipeline.partitions import rejected_share
from gl_assets.transforms.pipeline.run import Refined, refine
from gl_assets.transforms.sensors import sensor_table
from resources.core.configuration.settings import TagConfig
from tests.unit.gl_assets.transforms.pipeline.windows import NO_REJECTS
from tests.unit.gl_assets.transforms.window_contents import SENSORS, START, TAGS, readings, sensors

GOOD, UNCERTAIN, BAD = 0, 1, 2
NAN, INF = float("nan"), float("inf")


def refined(*found: tuple[int, int, float | None, int], **changes) -> Refined:
    tags = changes.pop("tags", TAGS)
    table = sensor_table(sensors(changes.pop("known", SENSORS)), tags)
    return refine(readings(found, **changes), NO_REJECTS, table)


def reasons(result: Refined) -> list[str]:
    return [reason for row in result.rejected.to_pylist() for reason in row["reasons"]]


def test_refine_when_good_then_the_value_is_calibrated_and_scored():
    result = refined((7, 1, 20.0, GOOD), (3, 1, 4.0, GOOD))

    assert result.good.value.tolist() == [20.0, 4.0]
    assert result.good.calibrated_value.tolist() == pytest.approx([293.15, 4.0])
    assert result.good.sensor.tolist() == [0, 1]
    assert result.good.sequence.tolist() == [100, 101]
    assert result.quality_score.tolist() == [100, 100]
    assert result.rejected.num_rows == 0


@pytest.mark.parametrize("value", [None, NAN], ids=["missing", "NaN"])
def test_refine_when_no_value_and_status_bad_then_it_is_stored_without_value(value: float | None):
    result = refined((7, 1, value, BAD))

    assert np.isnan(result.good.value).tolist() == [True]
    assert np.isnan(result.good.calibrated_value).tolist() == [True]
    assert result.quality_score.tolist() == [30]


@pytest.mark.parametrize(
    ("value", "status", "reason", "shown"),
    [
        (NAN, GOOD, "the value is not a number (NaN), though the status is good", "NaN"),
        (NAN, UNCERTAIN, "the value is not a number (NaN), though the status is uncertain", "NaN"),
        (None, GOOD, "no value, though the status is good", None),
        (INF, GOOD, "the value is infinite", "Infinity"),
        (-INF, BAD, "the value is infinite", "-Infinity"),
        (-51.0, GOOD, "-51 Cel is below the minimum of -50 Cel", -51.0),
        (500.5, BAD, "500.5 Cel is above the maximum of 500 Cel", 500.5),
    ],
)
def test_refine_when_a_reading_cannot_be_stored_then_it_is_rejected_with_reason_and_original(
    value: float | None, status: int, reason: str, shown: object
):
    result = refined((7, 1, 20.0, GOOD), (7, 2, value, status))

    [row] = result.rejected.to_pylist()
    assert row["reasons"] == [reason]
    assert (row["sensor_id"], row["source"], row["sequence"]) == ("t", "opc", 101)
    assert row["time"] == START + timedelta(seconds=2)
    assert json.loads(row["raw"]) == {
        "sensor_id": "t",
        "time": "2026-11-22T10:15:02+00:00",
        "value": shown,
        "unit": "Cel",
        "status": ("good", "uncertain", "bad")[status],
    }
    assert result.good.value.tolist() == [20.0]


def test_refine_when_infinite_without_limits_then_it_is_rejected():
    assert reasons(refined((3, 1, INF, GOOD), (3, 2, -INF, GOOD))) == ["the value is infinite"] * 2


def test_refine_when_the_sensor_is_not_configured_then_all_its_readings_are_rejected():
    result = refined((7, 1, 1.0, GOOD), (9, 1, 1.0, GOOD), (9, 2, None, BAD), known=[*SENSORS, (9, "x", "bar", "plc")])

    assert reasons(result) == ["sensor x is not in the configuration"] * 2
    assert len(result.good) == 1


def test_refine_when_the_unit_was_changed_then_old_readings_convert_and_limits_follow():
    known = [(7, "t", "K", "opc")]

    result = refined((7, 1, 300.0, GOOD), (7, 2, 900.0, GOOD), known=known)

    assert result.good.calibrated_value.tolist() == pytest.approx([300.0])
    assert reasons(result) == ["900 K is above the maximum of 773.15 K"]


def test_refine_when_the_unit_no_longer_converts_then_the_reason_names_both():
    result = refined((7, 1, 3.0, GOOD), known=[(7, "t", "bar", "opc")])

    assert reasons(result) == ["sensor t was collected in bar, which does not convert to K as configured now"]


def test_refine_when_the_calibrated_value_overflows_then_it_is_rejected():
    tags = {"t": TagConfig(sensor_id="t", unit="km", canonical_unit="m")}

    result = refined((7, 1, 1e307, GOOD), tags=tags, known=[(7, "t", "km", "opc")])

    assert reasons(result) == ["1e+307 km cannot be expressed in m"]


def test_refine_when_the_window_is_empty_then_so_is_the_result():
    result = refined(known=[])

    assert len(result.good) == 0
    assert result.rejected.num_rows == 0


@pytest.mark.parametrize(("stored", "rejected", "share"), [(0, 0, 0.0), (3, 1, 0.25), (0, 2, 1.0)])
def test_rejected_share_when_rows_are_counted_then_it_is_their_part(stored: int, rejected: int, share: float):
    assert rejected_share(stored, rejected) == share
