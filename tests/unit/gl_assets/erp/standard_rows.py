"""Rows that fulfil the schema of any standard table: what tests plant a fault in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
from pandera.pandas import Column

from gl_assets.erp.tables import MasterTable
from gl_assets.schemas.erp_columns import AMOUNT, DAY, INSTANT, KIND, SCORE

START, END = datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 20, 10, tzinfo=UTC)
_OF_KIND = {"unit": "kW.h", "physical_unit": "kW.h", "currency": "EUR"}
_OF_NAME: dict[str, Any] = {"extra": "{}", "debit_credit": "debit"}


def right_rows(table: MasterTable, rows: int) -> pd.DataFrame:
    """Return rows that break no rule; every column has a value."""
    columns = {name: _values(name, column, rows) for name, column in table.schema.columns.items()}
    return pd.DataFrame(columns)


def _values(name: str, column: Column, rows: int) -> pd.Series:
    dtype = column.dtype.type
    if name == "source_key":
        return pd.Series([f"k{number}" for number in range(rows)], dtype=dtype)
    ends = name.endswith(("_end", "_to"))
    of_type: dict[Any, Any] = {
        AMOUNT: Decimal("1.5"),
        DAY: date(2026, 11, 21) if ends else date(2026, 11, 20),
        INSTANT: END if ends else START,
        SCORE: 0.5,
    }
    value = _OF_NAME.get(name) or _OF_KIND.get((column.metadata or {}).get(KIND, "")) or of_type.get(dtype, name)
    return pd.Series([value] * rows, dtype=dtype)
