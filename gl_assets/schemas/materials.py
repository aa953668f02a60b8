"""`erp.materials`: the material master. One row per material."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import erp_columns, identifier, text, unit

MATERIALS = DataFrameSchema(
    erp_columns(
        {
            "material": identifier("Number of the material"),
            "description": text("Description", weight=0.4),
            "base_unit": unit("Base unit, a UCUM code; {box} and the like where it only counts", weight=0.4),
            "material_group": text("Group of materials", weight=0.2),
        }
    ),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
