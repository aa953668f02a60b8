"""`erp.maintenance_schedule`: work on equipment, when it is planned. One row per work order."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import day, erp_columns, identifier, instant, ordered, text

MAINTENANCE_SCHEDULE = DataFrameSchema(
    erp_columns(
        {
            "business_date": day("Business day the work is landed under, in the system's own zone", required=True),
            "work_order_id": identifier("Number of the work order"),
            "asset_id": text("Equipment that is worked on", weight=0.4),
            "description": text("What is to be done"),
            "work_type": text("Type of the work, as the system names it", weight=0.2),
            "priority": text("Priority, as the system names it"),
            "planned_start": instant("Planned start, UTC", weight=0.2),
            "planned_end": instant("Planned end, UTC", weight=0.2),
            "status": text("State of the work order, as the system names it"),
        }
    ),
    checks=ordered("planned_start", "planned_end", "the planned start must not lie after the planned end"),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
