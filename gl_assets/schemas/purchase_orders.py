"""`erp.purchase_orders`: what was ordered from whom. One row per item of an order."""

from __future__ import annotations

from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import (
    amount,
    currency,
    day,
    erp_columns,
    identifier,
    not_negative,
    text,
    together,
    unit,
)

PURCHASE_ORDERS = DataFrameSchema(
    erp_columns(
        {
            "order_id": identifier("Number of the order"),
            "item": text("Number of the item in the order"),
            "supplier": text("Supplier", weight=0.2),
            "material": text("Material; missing where a service or a text is ordered", weight=0.2),
            "quantity": amount("How much", weight=0.2, check=not_negative("a quantity")),
            "unit": unit("Unit of the quantity, a UCUM code; {box} and the like where it only counts"),
            "net_amount": amount("Net value of the item", weight=0.2),
            "currency": currency("Currency of the amount, ISO 4217"),
            "plant_code": text("Plant that it is delivered to", weight=0.2),
            "order_date": day("Date of the order: the business day, in the system's own zone", required=True),
            "delivery_date": day("Date of delivery"),
            "cost_center": text("Cost center charged"),
        }
    ),
    checks=[
        together("quantity", "unit", "a quantity must have a unit"),
        together("net_amount", "currency", "an amount must have a currency"),
    ],
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
