"""`erp.energy_consumption`: what a meter used in a period, as the ERP booked it. One row per (system, source_key)."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
from pandera.pandas import Check, Column, DataFrameSchema

TEXT = pd.ArrowDtype(pa.string())
INSTANT = pd.ArrowDtype(pa.timestamp("us", tz="UTC"))
DAY = pd.ArrowDtype(pa.date32())
AMOUNT = pd.ArrowDtype(pa.decimal128(38, 9))
SCORE = pd.ArrowDtype(pa.float32())

ENERGY_CONSUMPTION = DataFrameSchema(
    {
        "system": Column(TEXT, description="System, as the configuration names it"),
        "source_key": Column(TEXT, unique=True, description="Key in the system; unique within it"),
        "company": Column(TEXT, description="Company code"),
        "plant_code": Column(TEXT, nullable=True, description="Plant the meter stands in"),
        "energy_type": Column(TEXT, description="electricity, natural_gas, steam, ...; unknown without a meter entry"),
        "consumption_value": Column(
            AMOUNT, Check.ge(0, error="a consumption must not be negative"), description="Amount used in the period"
        ),
        "consumption_unit": Column(TEXT, description="Unit of the amount, a UCUM code"),
        "consumption_id": Column(TEXT, description="Number of the document"),
        "meter_id": Column(TEXT, description="Meter (measuring point)"),
        "location_code": Column(TEXT, nullable=True, description="Functional location"),
        "transaction_date": Column(DAY, description="Business day in the system's own zone"),
        "period_start": Column(INSTANT, nullable=True, description="Start of the period, UTC, if known"),
        "period_end": Column(INSTANT, description="End of the period: the time of the reading, UTC"),
        "cost_center": Column(TEXT, nullable=True, description="Cost center charged"),
        "changed_at": Column(INSTANT, nullable=True, description="When the record changed, as far as was seen"),
        "ingested_at": Column(INSTANT, description="When this version was pulled"),
        "quality_score": Column(SCORE, Check.in_range(0, 1), description="Share of what should be known, 0 to 1"),
        "extra": Column(TEXT, description="JSON object of mapped fields beyond these"),
    },
    checks=Check(
        lambda frame: frame["period_start"].isna() | (frame["period_start"] < frame["period_end"]),
        error="the period must start before it ends",
        name="period_is_positive",
    ),
    strict="filter",
    ordered=False,
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
