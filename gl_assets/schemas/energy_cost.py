"""What holds for every row of `process_heat.energy_cost`."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


class EnergyCost(pa.DataFrameModel):
    """One row per consumer, day and type of energy; where there is no cost, `reason` says why."""

    consumer: Series[str] = pa.Field(str_length={"min_value": 1})
    day: Series[object]
    energy_type: Series[str] = pa.Field(str_length={"min_value": 1})
    basis: Series[str] = pa.Field(isin=("booked", "measured"))
    energy_kwh: Series[float] = pa.Field(ge=0)
    price_per_kwh: Series[float] = pa.Field(ge=0, nullable=True)
    cost: Series[float] = pa.Field(ge=0, nullable=True)
    cost_per_t: Series[float] = pa.Field(ge=0, nullable=True)
    currency: Series[object] = pa.Field(nullable=True)
    reason: Series[object] = pa.Field(nullable=True)

    class Config:
        """Neither a column less nor one more; each (consumer, day, energy_type) once."""

        strict = True
        unique = ("consumer", "day", "energy_type")

    @pa.dataframe_check
    @classmethod
    def the_cost_is_energy_times_price(cls, frame: pd.DataFrame) -> Series[bool]:
        """Both are given, or neither."""
        product = frame["energy_kwh"] * frame["price_per_kwh"]
        alike = frame["cost"].isna() == frame["price_per_kwh"].isna()
        return cast("Series[bool]", alike & (frame["cost"].isna() | np.isclose(frame["cost"], product, rtol=1e-6)))

    @pa.dataframe_check
    @classmethod
    def a_cost_has_a_currency_or_a_reason_why_there_is_none(cls, frame: pd.DataFrame) -> Series[bool]:
        """A currency of three letters with a cost, a reason without."""
        known = frame["currency"].notna() & frame["currency"].astype(str).str.fullmatch("[A-Z]{3}")
        missing = frame["cost"].isna()
        return cast("Series[bool]", (known == ~missing) & (frame["reason"].notna() == missing))
