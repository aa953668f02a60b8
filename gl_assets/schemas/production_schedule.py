"""`erp.production_schedule`: what is to be made, when and where. One row per order, planned or released."""

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
    together,
    unit,
)

PRODUCTION_SCHEDULE = DataFrameSchema(
    erp_columns(
        {
            "business_date": day("Business day the order is landed under, in the system's own zone", required=True),
            "plant_code": text("Plant that makes it", weight=0.2),
            "order_id": identifier("Number of the order"),
            "order_type": text("Type of the order, as the system names it"),
            "material": text("What is made", weight=0.2),
            "quantity": amount("How much", weight=0.2, check=not_negative("a quantity")),
            "unit": unit("Unit of the quantity, a UCUM code; {box} and the like where it only counts"),
            "planned_start": instant("Planned start, UTC", weight=0.2),
            "planned_end": instant("Planned end, UTC", weight=0.2),
            "actual_start": instant("Start, UTC, once it has begun"),
            "actual_end": instant("End, UTC, once it is done"),
            "work_center": text("Work center"),
            "status": text("State of the order, as the system names it"),
        }
    ),
    checks=[
        ordered("planned_start", "planned_end", "the planned start must not lie after the planned end"),
        ordered("actual_start", "actual_end", "the actual start must not lie after the actual end"),
        together("quantity", "unit", "a quantity must have a unit"),
    ],
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
