"""Rows that fulfil each schema of `gl_assets.schemas`: what faults are planted in.

A schema that is not among them fails `test_every_schema`: add a function that returns two or three right rows of it,
different in what makes them rows, with values and missing ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.score_forecast import MODELS
from tests.unit.gl_assets.erp.standard_rows import right_rows
from tests.unit.gl_assets.schemas.test_schemas import efficiency_rows, hourly_rows, rejected_rows, sensor_rows

HOUR = pd.Timestamp("2026-11-22T10:00Z").as_unit("us")
DAY = date(2026, 11, 22)


def _objects(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _times(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype="datetime64[us, UTC]")


def anomaly_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": _times(HOUR, HOUR),
            "sensor_id": ["a", "b"],
            "kind": ["multivariate", "outlier"],
            "value": [1.0, np.nan],
            "expected": [2.0, np.nan],
            "score": [3.0, 0.0],
            "window_start": _times(HOUR, HOUR),
            "equipment": ["boiler", "boiler"],
            "ended_at": _times(HOUR, None),
            "model_version": [1.0, 2.0],
            "found_by": ["asset", "collector"],
        }
    )


def registry_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "agent_id": ["GL-002", "GL-003"],
            "agent_type": ["boiler", "furnace"],
            "status": ["online", "offline"],
            "last_heartbeat": _times(HOUR, None),
            "performance_score": [0.5, np.nan],
            "declared": _objects(True, False),
        }
    )


def answer_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "message_id": ["m1", "m2"],
            "correlation_id": ["c", "c"],
            "agent_id": ["GL-002", "GL-003"],
            "status": ["ok", "expired"],
            "received_at": _times(HOUR, HOUR),
            "latency_ms": [1.5, np.nan],
        }
    )


def cost_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "consumer": ["boiler", "furnace"],
            "day": _objects(DAY, DAY),
            "energy_type": ["natural_gas", "electricity"],
            "basis": ["booked", "measured"],
            "energy_kwh": [100.0, 50.0],
            "price_per_kwh": [0.5, np.nan],
            "cost": [50.0, np.nan],
            "cost_per_t": [5.0, np.nan],
            "currency": _objects("EUR", None),
            "reason": _objects(None, "no price"),
        }
    )


def intensity_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "consumer": ["boiler", "furnace"],
            "day": _objects(DAY, DAY),
            "basis": _objects("booked", None),
            "energy_kwh": [100.0, np.nan],
            "product_t": [10.0, np.nan],
            "intensity_kwh_per_t": [10.0, np.nan],
            "booked_energy_kwh": [100.0, np.nan],
            "booked_product_t": [10.0, np.nan],
            "measured_energy_kwh": [101.0, np.nan],
            "measured_product_t": [10.0, np.nan],
            "measured_hours": [24, 0],
            "good_share": [1.0, np.nan],
            "reason": _objects(None, "nothing was made"),
        }
    )


def forecast_rows() -> pd.DataFrame:
    model = next(iter(MODELS))
    return pd.DataFrame(
        {
            "source": ["a", "b"],
            "day": _objects(DAY, DAY),
            "score": [90.0, 80.0],
            "lower": [80.0, 80.0],
            "upper": [95.0, 80.0],
            "model": [model, model],
            "days": [10, 1],
            "tested": [5, 0],
            "error": [1.0, np.nan],
            "naive_error": [2.0, np.nan],
        }
    )


RIGHT: dict[str, Callable[[], pd.DataFrame]] = {
    "agents_registry": registry_rows,
    "anomalies": anomaly_rows,
    "boiler_efficiency": efficiency_rows,
    "command_results": answer_rows,
    "energy_cost": cost_rows,
    "energy_intensity": intensity_rows,
    "hourly_readings": hourly_rows,
    "rejected_readings": rejected_rows,
    "score_forecasts": forecast_rows,
    "sensor_readings": sensor_rows,
    **{name: lambda table=table: right_rows(table, 2) for name, table in TABLES.items()},  # type: ignore[misc]
}
"""Module of the schema -> right rows of it."""
