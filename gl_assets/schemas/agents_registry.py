"""What holds for every row of `agents.registry`."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

STATUSES = ("online", "degraded", "offline")
"""What an agent can be."""


class AgentsRegistry(pa.DataFrameModel):
    """One row per agent that is declared or was ever heard of."""

    agent_id: Series[str] = pa.Field(str_matches=r"^[A-Za-z0-9_.-]{1,64}$")
    agent_type: Series[str]
    status: Series[str] = pa.Field(isin=STATUSES)
    last_heartbeat: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"}, nullable=True)
    performance_score: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    declared: Series[object] = pa.Field(isin=(True, False))

    class Config:
        """Neither a column less nor one more; each agent once."""

        strict = True
        unique = ("agent_id",)
