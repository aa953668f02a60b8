"""`erp.energy_consumption`: what a meter used in a period, as the ERP booked it. One row per (system, source_key)."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import (
    amount,
    day,
    erp_columns,
    identifier,
    instant,
    not_negative,
    ordered,
    text,
    unit,
)

ENERGY_CONSUMPTION = DataFrameSchema(
    erp_columns(
        {
            "plant_code": text("Plant the meter stands in", weight=0.2),
            "energy_type": text(
                "electricity, natural_gas, steam, ...; unknown without a meter entry", required=True, weight=0.4
            ),
            "consumption_value": amount(
                "Amount used in the period", required=True, check=not_negative("a consumption")
            ),
            "consumption_unit": unit("Unit of the amount, a UCUM code", required=True, physical=True),
            "consumption_id": identifier("Number of the document"),
            "meter_id": identifier("Meter (measuring point)"),
            "location_code": text("Functional location"),
            "transaction_date": day("Business day in the system's own zone", required=True),
            "period_start": instant("Start of the period, UTC, if known", weight=0.2),
            "period_end": instant("End of the period: the time of the reading, UTC", required=True),
            "cost_center": text("Cost center charged", weight=0.2),
        }
    ),
    checks=ordered("period_start", "period_end", "the period must start before it ends", strictly=True),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
