"""What holds for every row of `process_heat.energy_intensity`."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


class EnergyIntensity(pa.DataFrameModel):
    """One row per consumer and day; where there is no intensity, `reason` says why."""

    consumer: Series[str] = pa.Field(str_length={"min_value": 1})
    day: Series[object]
    basis: Series[object] = pa.Field(isin=("booked", "measured"), nullable=True)
    energy_kwh: Series[float] = pa.Field(ge=0, nullable=True)
    product_t: Series[float] = pa.Field(ge=0, nullable=True)
    intensity_kwh_per_t: Series[float] = pa.Field(ge=0, nullable=True)
    booked_energy_kwh: Series[float] = pa.Field(ge=0, nullable=True)
    booked_product_t: Series[float] = pa.Field(ge=0, nullable=True)
    measured_energy_kwh: Series[float] = pa.Field(ge=0, nullable=True)
    measured_product_t: Series[float] = pa.Field(ge=0, nullable=True)
    measured_hours: Series[np.int64] = pa.Field(ge=0, le=25)
    good_share: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    reason: Series[object] = pa.Field(nullable=True)

    class Config:
        """Neither a column less nor one more; each (consumer, day) once."""

        strict = True
        unique = ("consumer", "day")

    @pa.dataframe_check
    @classmethod
    def the_intensity_is_energy_over_product(cls, frame: pd.DataFrame) -> Series[bool]:
        """The intensity is energy_kwh over product_t, where it is given."""
        given = frame["intensity_kwh_per_t"]
        ratio = frame["energy_kwh"] / frame["product_t"]
        return cast("Series[bool]", given.isna() | np.isclose(given, ratio, rtol=1e-6))

    @pa.dataframe_check
    @classmethod
    def a_missing_intensity_has_a_reason(cls, frame: pd.DataFrame) -> Series[bool]:
        """Intensity and basis go together, and a reason stands in their place."""
        missing = frame["intensity_kwh_per_t"].isna()
        return cast("Series[bool]", (missing == frame["reason"].notna()) & (missing == frame["basis"].isna()))
