"""Every schema takes right rows and catches each planted fault: a check that checks nothing would pass here unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas as pa
import pytest

from gl_assets.schemas.boiler_efficiency import BoilerEfficiency
from gl_assets.schemas.hourly_readings import HourlyReadings
from gl_assets.schemas.rejected_readings import RejectedReadings
from gl_assets.schemas.sensor_readings import SensorReadings
from gl_assets.transforms.frames import readings_frame
from gl_assets.transforms.pipeline.run import refine
from gl_assets.transforms.sensors import sensor_table
from tests.unit.gl_assets.transforms.pipeline.windows import NO_REJECTS
from tests.unit.gl_assets.transforms.window_contents import TAGS, readings, sensors

HOUR = pd.Timestamp("2026-11-22T10:00Z").as_unit("us")


def sensor_rows() -> pd.DataFrame:
    found = [(7, 1, 20.0, 0), (7, 2, 21.0, 1), (7, 3, None, 2), (3, 1, 4.0, 0)]
    table = sensor_table(sensors(), TAGS)
    return readings_frame(refine(readings(found), NO_REJECTS, table), table)


def hourly_rows() -> pd.DataFrame:
    rows = {
        "hour": [HOUR, HOUR],
        "sensor_id": ["a", "b"],
        "readings": [2, 1],
        "good_share": [1.0, 0.0],
        "min_value": [1.0, np.nan],
        "max_value": [3.0, np.nan],
        "sum_value": [4.0, np.nan],
        "mean_value": [2.0, np.nan],
        "unit": ["bar", "Cel"],
    }
    return pd.DataFrame(rows)


def rejected_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sequence": [1, 2],
            "time": pd.Series([HOUR, pd.NaT]).dt.as_unit("us"),
            "sensor_id": pd.Series(["a", None], dtype=object),
            "source": ["plc", "plc"],
            "raw": ['{"a": 1}', '"text"'],
            "reasons": pd.Series([["too high"], ["no JSON", "late"]], dtype=object),
        }
    )


def efficiency_rows() -> pd.DataFrame:
    rows = {
        "boiler": ["b1", "b2"],
        "hour": [HOUR, HOUR],
        "efficiency": [0.9, np.nan],
        "steam_power_kw": [900.0, np.nan],
        "fuel_power_kw": [1000.0, np.nan],
        "good_share": [1.0, 0.5],
        "reason": pd.Series([None, "no fuel"], dtype=object),
    }
    return pd.DataFrame(rows)


TABLES: dict[str, tuple[type[pa.DataFrameModel], Callable[[], pd.DataFrame]]] = {
    "sensor_readings": (SensorReadings, sensor_rows),
    "hourly_readings": (HourlyReadings, hourly_rows),
    "rejected_readings": (RejectedReadings, rejected_rows),
    "boiler_efficiency": (BoilerEfficiency, efficiency_rows),
}

PLANTED: list[tuple[str, str, int, Any]] = [
    ("sensor_readings", "value", 0, np.inf),
    ("sensor_readings", "value", 0, np.nan),
    ("sensor_readings", "calibrated_value", 1, np.nan),
    ("sensor_readings", "calibrated_value", 1, -np.inf),
    ("sensor_readings", "quality_score", 0, 101.0),
    ("sensor_readings", "quality_score", 0, np.nan),
    ("sensor_readings", "quality_level", 0, "POOR"),
    ("sensor_readings", "quality_level", 0, "SUPERB"),
    ("sensor_readings", "status", 0, "excellent"),
    ("sensor_readings", "status", 0, None),
    ("sensor_readings", "sensor_id", 0, ""),
    ("sensor_readings", "unit", 0, None),
    ("sensor_readings", "source", 3, ""),
    ("sensor_readings", "time", 1, pd.NaT),
    ("hourly_readings", "hour", 0, HOUR + pd.Timedelta("1min")),
    ("hourly_readings", "readings", 0, 0),
    ("hourly_readings", "good_share", 0, 1.5),
    ("hourly_readings", "max_value", 0, np.inf),
    ("hourly_readings", "mean_value", 0, 9.0),
    ("hourly_readings", "mean_value", 0, np.nan),
    ("hourly_readings", "min_value", 1, 1.0),
    ("hourly_readings", "unit", 0, ""),
    ("rejected_readings", "raw", 0, '{"a": NaN}'),
    ("rejected_readings", "reasons", 0, []),
    ("rejected_readings", "reasons", 0, [" "]),
    ("rejected_readings", "sensor_id", 0, ""),
    ("rejected_readings", "sequence", 0, 2),
    ("rejected_readings", "source", 0, ""),
    ("boiler_efficiency", "efficiency", 0, 0.5),
    ("boiler_efficiency", "efficiency", 0, 1.2),
    ("boiler_efficiency", "reason", 1, None),
    ("boiler_efficiency", "reason", 0, "though there is one"),
    ("boiler_efficiency", "hour", 0, HOUR + pd.Timedelta("1s")),
    ("boiler_efficiency", "boiler", 0, ""),
    ("boiler_efficiency", "good_share", 0, -0.1),
]


@pytest.mark.parametrize("table", TABLES)
def test_schema_when_rows_are_right_then_they_pass(table: str):
    schema, rows = TABLES[table]
    schema.validate(rows(), lazy=True)


@pytest.mark.parametrize("table", TABLES)
def test_schema_when_there_are_no_rows_then_they_pass(table: str):
    schema, rows = TABLES[table]
    schema.validate(rows()[:0], lazy=True)


@pytest.mark.parametrize(("table", "column", "row", "value"), PLANTED, ids=[f"{t}.{c}={v!r}" for t, c, _, v in PLANTED])
def test_schema_when_a_bad_value_is_planted_then_it_is_caught(table: str, column: str, row: int, value: Any):
    schema, rows = TABLES[table]
    frame = rows()
    values = frame[column].tolist()
    values[row] = value
    frame[column] = pd.Series(values, index=frame.index, dtype=_kind(frame[column], values))

    with pytest.raises(pandera.errors.SchemaErrors):
        schema.validate(frame, lazy=True)


@pytest.mark.parametrize("table", TABLES)
def test_schema_when_a_column_is_missing_or_one_too_many_then_it_is_caught(table: str):
    schema, rows = TABLES[table]
    with pytest.raises(pandera.errors.SchemaErrors):
        schema.validate(rows().iloc[:, 1:], lazy=True)
    with pytest.raises(pandera.errors.SchemaErrors):
        schema.validate(rows().assign(more=1), lazy=True)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 3], [0, 3, 1, 2, 0]], ids=["neighbours", "apart"])
def test_sensor_readings_when_a_sensor_and_time_occur_twice_then_it_is_caught(order: list[int]):
    frame = sensor_rows().iloc[order].reset_index(drop=True)
    with pytest.raises(pandera.errors.SchemaErrors, match="sensor_and_time_are_unique"):
        SensorReadings.validate(frame, lazy=True)


def test_sensor_readings_when_rows_come_in_another_order_then_they_pass():
    SensorReadings.validate(sensor_rows().iloc[[3, 1, 0, 2]].reset_index(drop=True), lazy=True)


@pytest.mark.parametrize("table", ["hourly_readings", "boiler_efficiency"])
def test_schema_when_a_key_occurs_twice_then_it_is_caught(table: str):
    schema, rows = TABLES[table]
    frame = rows()
    with pytest.raises(pandera.errors.SchemaErrors):
        schema.validate(pd.concat([frame, frame.iloc[:1]], ignore_index=True), lazy=True)


def test_every_table_has_planted_faults():
    assert {table for table, *_ in PLANTED} == TABLES.keys()


def _kind(column: pd.Series, values: list[Any]) -> Any:
    """Return the column's type, its categories widened to hold what was planted."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.CategoricalDtype(sorted({v for v in values if v is not None}))
    return column.dtype
