"""What holds for every row of `scada.rejected_readings`."""

from __future__ import annotations

import json
from typing import Any, cast

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


class RejectedReadings(pa.DataFrameModel):
    """One row per thing that could not become a reading; `time` and `sensor_id` are null where they cannot be told."""

    sequence: Series[int]
    time: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"}, nullable=True)
    sensor_id: Series[object] = pa.Field(nullable=True)
    source: Series[str] = pa.Field(str_length={"min_value": 1})
    raw: Series[str]
    reasons: Series[object]

    class Config:
        """Neither a column less nor one more; each sequence once."""

        strict = True
        unique = ("sequence",)

    @pa.check("raw", element_wise=True)
    @classmethod
    def the_original_is_json(cls, raw: str) -> bool:
        """JSON text, without NaN and Infinity, which JSON does not have."""
        try:
            json.loads(raw, parse_constant=_refuse)
        except ValueError:
            return False
        return True

    @pa.check("reasons", element_wise=True)
    @classmethod
    def at_least_one_reason_is_given(cls, reasons: Any) -> bool:
        """One or more sentences."""
        return len(reasons) > 0 and all(isinstance(reason, str) and reason.strip() for reason in reasons)

    @pa.check("sensor_id", element_wise=True)
    @classmethod
    def sensor_ids_are_names(cls, sensor_id: Any) -> bool:
        """Null, or text with a character in it."""
        return cast("bool", pd.isna(sensor_id) or (isinstance(sensor_id, str) and sensor_id != ""))


def _refuse(constant: str) -> None:
    raise ValueError(constant)
