"""What holds for every row of `scada.sensor_readings`."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

LEVELS = {"EXCELLENT": 95.0, "GOOD": 80.0, "FAIR": 60.0, "POOR": 40.0, "INVALID": 0.0}
"""quality_level -> its least quality_score, best first."""

STATUSES = ("good", "uncertain", "bad")
"""Status names."""


class SensorReadings(pa.DataFrameModel):
    """One row per sensor and source time, sorted by both; text columns may be categorical."""

    time: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    sensor_id: Series[pd.CategoricalDtype]
    value: Series[float] = pa.Field(nullable=True)
    unit: Series[pd.CategoricalDtype]
    calibrated_value: Series[float] = pa.Field(nullable=True)
    calibrated_unit: Series[pd.CategoricalDtype]
    status: Series[pd.CategoricalDtype]
    quality_score: Series[np.float32]
    quality_level: Series[pd.CategoricalDtype]
    source: Series[pd.CategoricalDtype]
    ingested_at: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})

    class Config:
        """Neither a column less nor one more."""

        strict = True

    @pa.dataframe_check(ignore_na=False)
    @classmethod
    def sensor_and_time_are_unique(cls, frame: pd.DataFrame) -> Series[bool]:
        """Each (sensor_id, time) occurs once.

        Rows come by sensor and time, so that neighbours tell; only where they don't is everything compared.
        """
        sensor, time = _codes(frame["sensor_id"]), pd.DatetimeIndex(frame["time"]).asi8
        if bool(((time[1:] > time[:-1]) | (sensor[1:] != sensor[:-1])).all()) and _is_grouped(sensor):
            return _every(frame)
        return cast("Series[bool]", ~frame.duplicated(["sensor_id", "time"], keep=False))

    @pa.dataframe_check(ignore_na=False)
    @classmethod
    def a_value_is_missing_only_where_the_status_is_bad(cls, frame: pd.DataFrame) -> Series[bool]:
        """No value without status bad."""
        missing = np.isnan(frame["value"].to_numpy())
        if not missing.any():
            return _every(frame)
        return _mask(frame, ~missing | (frame["status"] == "bad").to_numpy())

    @pa.dataframe_check(ignore_na=False)
    @classmethod
    def a_calibrated_value_goes_with_a_value(cls, frame: pd.DataFrame) -> Series[bool]:
        """Both are there, or neither."""
        value, calibrated = frame["value"].to_numpy(), frame["calibrated_value"].to_numpy()
        return _mask(frame, np.isnan(value) == np.isnan(calibrated))

    @pa.check("value", "calibrated_value")
    @classmethod
    def values_are_finite(cls, column: Series[float]) -> Series[bool]:
        """No infinity."""
        return _mask(column, ~np.isinf(column.to_numpy()))

    @pa.check("quality_score")
    @classmethod
    def the_score_lies_between_0_and_100(cls, column: Series[np.float32]) -> Series[bool]:
        """0 to 100, and a number."""
        score = column.to_numpy()
        return _mask(column, (score >= 0) & (score <= 100))

    @pa.dataframe_check(ignore_na=False)
    @classmethod
    def the_level_is_that_of_the_score(cls, frame: pd.DataFrame) -> Series[bool]:
        """The level's least score is reached, the next better level's is not."""
        least = list(LEVELS.values())
        low = np.array([LEVELS.get(name, np.nan) for name in frame["quality_level"].cat.categories])
        high = np.array([least[least.index(v) - 1] if v != least[0] else np.inf for v in low if v in least])
        if len(high) != len(low):
            return _mask(frame, frame["quality_level"].isin(LEVELS).to_numpy())
        codes, score = _codes(frame["quality_level"]), frame["quality_score"].to_numpy()
        return _mask(frame, (codes >= 0) & (score >= low[codes]) & (score < high[codes]))

    @pa.check("status")
    @classmethod
    def the_status_is_known(cls, column: Series[pd.CategoricalDtype]) -> Series[bool]:
        """good, uncertain or bad."""
        return _by_category(column, lambda name: name in STATUSES)

    @pa.check("sensor_id", "unit", "calibrated_unit", "source")
    @classmethod
    def names_are_not_empty(cls, column: Series[pd.CategoricalDtype]) -> Series[bool]:
        """A name is there, and has a character."""
        return _by_category(column, bool)


def _codes(column: pd.Series) -> npt.NDArray[np.signedinteger]:
    return cast("npt.NDArray[np.signedinteger]", column.cat.codes.to_numpy())


def _is_grouped(sensor: npt.NDArray[np.signedinteger]) -> bool:
    """Return whether the rows of each sensor follow one another."""
    starts = sensor[np.flatnonzero(np.append(True, sensor[1:] != sensor[:-1]))] if len(sensor) else sensor
    return len(np.unique(starts)) == len(starts)


def _by_category(column: pd.Series, fits: object) -> Series[bool]:
    """Judge the categories, not the rows; a missing one never fits."""
    assert callable(fits)
    good = np.array([bool(fits(name)) for name in column.cat.categories] + [False])
    if good[:-1].all() and not column.hasnans:
        return _every(column)
    return _mask(column, good[_codes(column)])


def _mask(of: pd.Series | pd.DataFrame, mask: npt.NDArray[np.bool_]) -> Series[bool]:
    return cast("Series[bool]", pd.Series(mask, index=of.index, copy=False))


def _every(of: pd.Series | pd.DataFrame) -> Series[bool]:
    return _mask(of, np.ones(len(of), dtype=bool))
