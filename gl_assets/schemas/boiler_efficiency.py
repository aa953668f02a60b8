"""What holds for every row of `process_heat.boiler_efficiency`."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

MOST = 1.1
"""Above this an efficiency is a fault of measurement; by the lower heating value, a condensing boiler exceeds 1."""


class BoilerEfficiency(pa.DataFrameModel):
    """One row per boiler and hour; `efficiency` is null where the balance cannot be drawn, and `reason` says why."""

    boiler: Series[str] = pa.Field(str_length={"min_value": 1})
    hour: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    efficiency: Series[float] = pa.Field(ge=0, le=MOST, nullable=True)
    steam_power_kw: Series[float] = pa.Field(nullable=True)
    fuel_power_kw: Series[float] = pa.Field(ge=0, nullable=True)
    good_share: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    reason: Series[object] = pa.Field(nullable=True)

    class Config:
        """Neither a column less nor one more; each (boiler, hour) once."""

        strict = True
        unique = ("boiler", "hour")

    @pa.check("hour")
    @classmethod
    def hours_are_whole(cls, column: Series[pd.DatetimeTZDtype]) -> Series[bool]:
        """An hour is named by its start."""
        return cast("Series[bool]", column.dt.floor("h") == column)

    @pa.dataframe_check
    @classmethod
    def the_efficiency_is_steam_over_fuel(cls, frame: pd.DataFrame) -> Series[bool]:
        """The efficiency is steam_power_kw over fuel_power_kw, where it is given."""
        ratio = frame["steam_power_kw"] / frame["fuel_power_kw"]
        return cast("Series[bool]", frame["efficiency"].isna() | np.isclose(frame["efficiency"], ratio, rtol=1e-6))

    @pa.dataframe_check
    @classmethod
    def a_missing_efficiency_has_a_reason(cls, frame: pd.DataFrame) -> Series[bool]:
        """Null efficiency and reason go together."""
        return cast("Series[bool]", frame["efficiency"].isna() == frame["reason"].notna())
