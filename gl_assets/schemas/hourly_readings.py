"""What holds for every row of `scada.hourly_readings`."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

_STATISTICS = ("min_value", "max_value", "sum_value", "mean_value")


class HourlyReadings(pa.DataFrameModel):
    """One row per sensor and hour."""

    hour: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    sensor_id: Series[str] = pa.Field(str_length={"min_value": 1})
    readings: Series[np.int64] = pa.Field(ge=1)
    good_share: Series[float] = pa.Field(ge=0, le=1)
    min_value: Series[float] = pa.Field(nullable=True)
    max_value: Series[float] = pa.Field(nullable=True)
    sum_value: Series[float] = pa.Field(nullable=True)
    mean_value: Series[float] = pa.Field(nullable=True)
    unit: Series[str] = pa.Field(str_length={"min_value": 1})

    class Config:
        """Neither a column less nor one more; each (sensor_id, hour) once."""

        strict = True
        unique = ("sensor_id", "hour")

    @pa.check("hour")
    @classmethod
    def hours_are_whole(cls, column: Series[pd.DatetimeTZDtype]) -> Series[bool]:
        """An hour is named by its start."""
        return cast("Series[bool]", column.dt.floor("h") == column)

    @pa.check(*_STATISTICS)
    @classmethod
    def values_are_finite(cls, column: Series[float]) -> Series[bool]:
        """No infinity."""
        return cast("Series[bool]", ~np.isinf(column))

    @pa.dataframe_check
    @classmethod
    def the_mean_lies_between_minimum_and_maximum(cls, frame: pd.DataFrame) -> Series[bool]:
        """Up to the rounding of a weighted sum."""
        slack = 1e-9 * frame[["min_value", "max_value"]].abs().max(axis=1)
        fits = frame["mean_value"].between(frame["min_value"] - slack, frame["max_value"] + slack)
        return cast("Series[bool]", fits | frame["mean_value"].isna())

    @pa.dataframe_check
    @classmethod
    def statistics_are_there_only_with_good_readings(cls, frame: pd.DataFrame) -> Series[bool]:
        """All of them, or none where no reading was good; a sum that overflows is null by itself."""
        there, good = frame[list(_STATISTICS)].notna(), frame["good_share"] > 0
        fits = there.drop(columns="sum_value").eq(good, axis=0).all(axis=1) & (good | ~there["sum_value"])
        return cast("Series[bool]", fits)
