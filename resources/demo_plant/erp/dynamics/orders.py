"""Production and purchase orders of the demo plant's two companies, by business day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from resources.demo_plant.erp.dynamics.ledger import (
    COST_CENTERS,
    NULL_DATE,
    Company,
    day_number,
    day_random,
    display_value,
    noon,
)

Record = dict[str, Any]

PRODUCTS = (("HX-PLATE-10", "Plate pack 10 kW"), ("BURNER-250", "Burner 250 kW"), ("VALVE-DN50", "Control valve DN50"))
"""What the companies make: item number and name."""

_PURCHASES = (
    ("GAS-NAT", "Natural gas", "m3"),
    ("NACL-25", "Regeneration salt", "kg"),
    ("GASKET-8", "Gasket set", "ea"),
)


def production_orders(seed: int, company: Company, day: date, age_days: int) -> list[Record]:
    """Return the orders scheduled to start on a day; the older the day, the further they are."""
    chance = day_random(seed, company, day, "production")
    found = []
    for number in range(chance.randint(3, 7)):
        item, name = chance.choice(PRODUCTS)
        quantity, days = chance.randint(1, 40), chance.randint(0, 3)
        starts, ends = chance.randrange(6 * 3600, 10 * 3600, 900), chance.randrange(12 * 3600, 20 * 3600, 900)
        center = chance.choice(COST_CENTERS)
        started, ended = age_days > 0, age_days > days
        status = "ReportedFinished" if ended else "StartedUp" if started else "Released"
        found.append(
            {
                "dataAreaId": company.data_area,
                "ProductionOrderNumber": f"P{company.number}{day_number(day):06d}{number:02d}",
                "ProductionOrderName": name,
                "ItemNumber": item,
                "ProductionOrderStatus": status,
                "EstimatedQuantity": quantity,
                "ScheduledQuantity": quantity,
                "StartedQuantity": quantity if started else 0,
                "RemainingReportAsFinishedQuantity": 0 if ended else quantity,
                "ScheduledStartDate": noon(day),
                "ScheduledEndDate": noon(day + timedelta(days=days)),
                "DeliveryDate": noon(day + timedelta(days=days + 2)),
                "StartedDate": noon(day) if started else NULL_DATE,
                "EndedDate": noon(day + timedelta(days=days)) if ended else NULL_DATE,
                "ScheduledStartTime": starts,
                "ScheduledEndTime": ends,
                "ProductionOrderPriority": 0,
                "ProductionSiteId": str(company.number),
                "ProductionWarehouseId": f"{company.number}1",
                "ProductionPoolId": "HEAT",
                "ProductionGroupId": "WIP",
                "DefaultLedgerDimensionDisplayValue": display_value(
                    center.business_unit, center.department, center.value
                ),
            }
        )
    return found


def purchase_orders(seed: int, company: Company, day: date) -> list[Record]:
    """Return the headers of the orders of a day."""
    chance = day_random(seed, company, day, "purchase")
    return [
        {
            "dataAreaId": company.data_area,
            "PurchaseOrderNumber": f"{company.number}{day_number(day):06d}{number:02d}",
            "PurchaseOrderName": "Contoso Utilities",
            "OrderVendorAccountNumber": f"V{chance.randint(1, 40):05d}",
            "CurrencyCode": company.currency,
            "PurchaseOrderStatus": "Backorder",
            "AccountingDate": noon(day),
            "RequestedDeliveryDate": noon(day + timedelta(days=7)),
            "ConfirmedDeliveryDate": NULL_DATE,
            "DefaultReceivingSiteId": str(company.number),
            "DefaultLedgerDimensionDisplayValue": display_value("001", "OPS", ""),
        }
        for number in range(chance.randint(2, 5))
    ]


def purchase_lines(seed: int, company: Company, day: date) -> list[Record]:
    """Return the lines of the orders of a day: one to four each, none of an order whose number ends in 4."""
    chance = day_random(seed, company, day, "purchase lines")
    found = []
    for header in purchase_orders(seed, company, day):
        if header["PurchaseOrderNumber"].endswith("4"):
            continue
        for line in range(1, chance.randint(1, 4) + 1):
            item, name, unit = chance.choice(_PURCHASES)
            quantity, price = chance.randint(1, 500), round(chance.uniform(0.2, 90), 2)
            center = chance.choice(COST_CENTERS)
            found.append(
                {
                    "dataAreaId": company.data_area,
                    "PurchaseOrderNumber": header["PurchaseOrderNumber"],
                    "LineNumber": line,
                    "ItemNumber": item,
                    "LineDescription": name,
                    "PurchaseUnitSymbol": unit,
                    "OrderedPurchaseQuantity": quantity,
                    "PurchasePrice": price,
                    "PurchasePriceQuantity": 1,
                    "LineAmount": round(quantity * price, 2),
                    "PurchaseOrderLineStatus": "Backorder",
                    "RequestedDeliveryDate": header["RequestedDeliveryDate"],
                    "ConfirmedDeliveryDate": NULL_DATE,
                    "ReceivingSiteId": str(company.number),
                    "ReceivingWarehouseId": f"{company.number}1",
                    "DefaultLedgerDimensionDisplayValue": display_value(
                        center.business_unit, center.department, center.value
                    ),
                }
            )
    return found
