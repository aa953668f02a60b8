"""What holds for every row of `quality.score_forecasts`."""

from __future__ import annotations

from datetime import date
from typing import cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from gl_assets.transforms.score_forecast import MODELS


class ScoreForecasts(pa.DataFrameModel):
    """One row per source and forecast day."""

    source: Series[str] = pa.Field(str_length={"min_value": 1})
    day: Series[object]
    score: Series[float] = pa.Field(ge=0, le=100)
    lower: Series[float] = pa.Field(ge=0, le=100)
    upper: Series[float] = pa.Field(ge=0, le=100)
    model: Series[str] = pa.Field(isin=tuple(MODELS))
    days: Series[np.int64] = pa.Field(ge=1)
    tested: Series[np.int64] = pa.Field(ge=0)
    error: Series[float] = pa.Field(ge=0, le=100, nullable=True)
    naive_error: Series[float] = pa.Field(ge=0, le=100, nullable=True)

    class Config:
        """Neither a column less nor one more; each (source, day) once."""

        strict = True
        unique = ("source", "day")

    @pa.check("day")
    @classmethod
    def days_are_dates(cls, column: Series[object]) -> Series[bool]:
        """A day has no time of day."""
        return cast("Series[bool]", column.map(type) == date)

    @pa.dataframe_check
    @classmethod
    def the_score_lies_in_its_interval(cls, frame: pd.DataFrame) -> Series[bool]:
        """Lower, score, upper, in this order."""
        return cast("Series[bool]", frame["score"].between(frame["lower"], frame["upper"]))

    @pa.dataframe_check
    @classmethod
    def errors_are_there_where_days_were_tested(cls, frame: pd.DataFrame) -> Series[bool]:
        """Both of them, or none."""
        there = frame[["error", "naive_error"]].notna()
        return cast("Series[bool]", there.eq(frame["tested"] > 0, axis=0).all(axis=1))
