"""`erp.workforce`: positions and where they belong. One row per worker; no name and no pay is ever stored."""

from __future__ import annotations

from pandera.pandas import Check, DataFrameSchema

from gl_assets.schemas.erp_columns import amount, day, erp_columns, identifier, ordered, text

WORKFORCE = DataFrameSchema(
    erp_columns(
        {
            "worker_id": identifier("Id of the worker, which says nothing without the source"),
            "position": text("Position", weight=0.3),
            "cost_center": text("Cost center", weight=0.3),
            "location_code": text("Where the work is done", weight=0.1),
            "fte": amount(
                "Share of a full time job",
                weight=0.2,
                check=Check.in_range(0, 2, error="a share of a full time job must lie between 0 and 2"),
            ),
            "valid_from": day("First day", weight=0.1),
            "valid_to": day("Last day; missing where there is no end"),
        }
    ),
    checks=ordered("valid_from", "valid_to", "the validity must not start after it ends"),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
