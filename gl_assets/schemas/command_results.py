"""What holds for every row of `agents.responses`, with the status that the payload tells."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

STATUSES = ("ok", "error", "expired", "in_doubt")
"""What an agent can answer."""


class CommandResults(pa.DataFrameModel):
    """One row per answer."""

    message_id: Series[str] = pa.Field(str_length={"min_value": 1}, unique=True)
    correlation_id: Series[str] = pa.Field(str_length={"min_value": 1})
    agent_id: Series[str] = pa.Field(str_matches=r"^[A-Za-z0-9_.-]{1,64}$")
    status: Series[str] = pa.Field(isin=STATUSES)
    received_at: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    latency_ms: Series[float] = pa.Field(ge=0, nullable=True)

    class Config:
        """Neither a column less nor one more."""

        strict = True
