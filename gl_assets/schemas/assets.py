"""`erp.assets`: the equipment an ERP knows. One row per piece of equipment."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import erp_columns, identifier, instant, text

ASSETS = DataFrameSchema(
    erp_columns(
        {
            "asset_id": identifier("Number of the equipment"),
            "name": text("Name", weight=0.3),
            "asset_type": text("Type, as the system names it", weight=0.2),
            "location_code": text("Functional location", weight=0.3),
            "status": text("State, as the system names it", weight=0.1),
            "commissioned_at": instant("When it was put into service, UTC", weight=0.1),
        }
    ),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
