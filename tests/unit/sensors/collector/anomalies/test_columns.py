from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from resources.integrations import Integrations
from sensors.collector.anomalies.columns import WatchedColumns
from tests.unit.sensors.collector.anomalies.plant import NOON, NOON_US, batch


def configuration() -> Integrations:
    base = {"unit": "Cel", "equipment": "kiln", "address": 1, "data_type": "uint16"}
    return Integrations.model_validate({
        "site": "plant",
        "start": NOON - timedelta(days=1),
        "calibrations": [
            {
                "sensor_id": "b",
                "certificate": "K-1",
                "valid_from": NOON - timedelta(days=1),
                "linear": {"factor": 2.0, "offset": 1.0},
            }
        ],
        "sources": {
            "line": {
                "kind": "modbus",
                "host": "127.0.0.1",
                "tags": [
                    {"sensor_id": "other", "unit": "Cel", "address": 0, "data_type": "uint16"},
                    {"sensor_id": "a", "canonical_unit": "K", "minimum": 0, "maximum": 100, **base},
                    {"sensor_id": "b", **base},
                ],
            }
        },
    })  # fmt: skip


def test_columns_when_readings_are_mixed_then_good_watched_ones_calibrated_in_the_canonical_unit() -> None:
    columns = WatchedColumns(configuration())
    assert columns.sensors == ("a", "b")
    keys, values = [0, 1, 1, 1, 1, 2], [1.0, 20.0, -1.0, 101.0, np.nan, 10.0]
    found = columns.of([batch([NOON_US] * 6, keys, values).readings, batch([NOON_US], [2], [5.0], 1).readings])
    assert found.sensor.tolist() == [0, 1]
    assert found.value.tolist() == pytest.approx([293.15, 21.0])
    assert found.time_us.tolist() == [NOON_US, NOON_US]
