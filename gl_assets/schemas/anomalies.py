"""What holds for every row of `scada.anomalies`."""

from __future__ import annotations

from typing import cast

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

KINDS = ("multivariate", "outlier", "level_change")
"""What an anomaly can be."""


class Anomalies(pa.DataFrameModel):
    """One row per anomaly: a stretch of time in which an equipment, or a sensor, was not as in training."""

    time: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    sensor_id: Series[str] = pa.Field(str_length={"min_value": 1})
    kind: Series[str] = pa.Field(isin=KINDS)
    value: Series[float] = pa.Field(nullable=True)
    expected: Series[float] = pa.Field(nullable=True)
    score: Series[float] = pa.Field(ge=0)
    window_start: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    equipment: Series[str] = pa.Field(str_length={"min_value": 1})
    ended_at: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"}, nullable=True)
    model_version: Series[float] = pa.Field(ge=1)
    found_by: Series[str] = pa.Field(isin=("asset", "collector"))

    class Config:
        """Neither a column less nor one more; each (sensor_id, time, kind) once."""

        strict = True
        unique = ("sensor_id", "time", "kind")

    @pa.dataframe_check
    @classmethod
    def an_anomaly_ends_after_it_begins(cls, frame: pd.DataFrame) -> Series[bool]:
        """It may end at the instant it begins."""
        return cast("Series[bool]", frame["ended_at"].isna() | (frame["ended_at"] >= frame["time"]))
