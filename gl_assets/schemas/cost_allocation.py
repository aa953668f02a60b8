"""`erp.cost_allocation`: costs charged to cost centers for a period. One row per allocation and cost center."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import amount, currency, day, erp_columns, identifier, ordered, text

COST_ALLOCATION = DataFrameSchema(
    erp_columns(
        {
            "allocation_id": identifier("Number of the allocation or its journal"),
            "cost_center": identifier("Cost center charged"),
            "amount": amount("Amount charged; negative where it is relieved", required=True),
            "currency": currency("Currency of the amount, ISO 4217", required=True),
            "allocation_base": text("What the costs were shared by, such as kWh or machine hours", weight=0.5),
            "period_start": day("First day of the period: the business day, in the system's own zone", required=True),
            "period_end": day("Last day of the period", weight=0.5),
        }
    ),
    checks=ordered("period_start", "period_end", "the period must not start after it ends"),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
