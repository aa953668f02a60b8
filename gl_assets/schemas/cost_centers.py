"""`erp.cost_centers`: the cost centers valid now. One row per cost center and period of validity."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import day, erp_columns, identifier, ordered, text

COST_CENTERS = DataFrameSchema(
    erp_columns(
        {
            "cost_center": identifier("Number of the cost center"),
            "name": text("Name", weight=0.4),
            "responsible": text("Who answers for it: a role or an id where the system has one", weight=0.2),
            "valid_from": day("First day it is valid; missing where it always was", weight=0.2),
            "valid_to": day("Last day it is valid; 9999-12-31 or missing where there is no end"),
            "profit_center": text("Profit center it belongs to", weight=0.2),
        }
    ),
    checks=ordered("valid_from", "valid_to", "the validity must not start after it ends"),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
