"""Production orders and planned orders of the demo plant: steam and heat treatment, four orders a day.

An order lives by the clock: created, released, started, confirmed, technically completed. Each event raises
LastChangeDateTime, so that a reader of changes has something to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from resources.demo_plant.erp.sap.books.book import Book, Document, instant_text

PER_DAY = 4
_ORIGIN = date(2020, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Product:
    """What is made where, and how much of it at once."""

    material: str
    unit: str
    iso_unit: str
    work_center: str
    low: int
    high: int


PRODUCTS = (
    Product("STEAM-HP", "TO", "TNE", "BLR1", 40, 90),
    Product("STEAM-LP", "TO", "TNE", "BLR2", 20, 60),
    Product("HEAT-TREATED-BAR", "KG", "KGM", "FUR1", 4000, 9000),
    Product("100200", "ST", "PCE", "FUR1", 200, 900),
)
"""Made once a day each; 100200 is a number of digits only, which SAP pads with zeros inside."""


class ProductionOrderBook(Book):
    """Production orders by planned start; each has one item and two operations."""

    key = ("ManufacturingOrder",)
    day_property = "MfgOrderPlannedStartDate"
    horizon = timedelta(days=7)

    def generated(self, day: date) -> list[Document]:
        """Return the orders that start on `day` and exist already."""
        orders = (self._order(day, index) for index in range(PER_DAY))
        return [order for order in orders if order is not None]

    def _order(self, day: date, index: int) -> Document | None:
        number = str(1_000_000 + (day.toordinal() - _ORIGIN) * PER_DAY + index)
        product = PRODUCTS[index]
        start = datetime.combine(day, time(6 * index), self.zone)
        end = start + timedelta(minutes=180 + int(150 * self.draw(number, "length")))
        began = start + timedelta(minutes=int(30 * self.draw(number, "late")))
        ended = end + timedelta(minutes=int(60 * self.draw(number, "over")))
        morning = datetime.combine(day, time(9), self.zone)
        events = {
            "OrderIsCreated": morning - timedelta(days=7),
            "OrderIsReleased": morning - timedelta(days=2),
            "OrderIsStarted": began,
            "OrderIsConfirmed": ended,
            "OrderIsTechnicallyCompleted": ended + timedelta(days=1),
        }
        happened = {name: at for name, at in events.items() if at <= self.clock.now()}
        if not happened:
            return None
        quantity = Decimal(int(product.low + (product.high - product.low) * self.draw(number, "quantity")))
        return {
            "ManufacturingOrder": number,
            "ManufacturingOrderType": "PP01",
            "ManufacturingOrderCategory": "10",
            "Material": product.material,
            "ProductionPlant": "P100",
            "MRPController": "001",
            "ProductionVersion": "0001",
            "PlannedOrder": "",
            "SalesOrder": "",
            "TotalQuantity": quantity,
            "MfgOrderPlannedScrapQty": Decimal(0),
            "MfgOrderConfirmedYieldQty": quantity if "OrderIsConfirmed" in happened else Decimal(0),
            "ProductionUnit": product.unit,
            "ProductionUnitISOCode": product.iso_unit,
            **_moment("MfgOrderPlannedStart", start),
            **_moment("MfgOrderPlannedEnd", end),
            **_moment("MfgOrderScheduledStart", start),
            **_moment("MfgOrderScheduledEnd", end),
            "MfgOrderActualReleaseDate": _date(happened.get("OrderIsReleased")),
            # a string of 14 digits, in UTC: what the real service has where others have an instant
            "LastChangeDateTime": max(happened.values()).astimezone(UTC).strftime("%Y%m%d%H%M%S"),
            **{flag: "X" if flag in happened else "" for flag in events if flag != "OrderIsStarted"},
            "OrderIsClosed": "",
            "OrderIsMarkedForDeletion": "",
            "items": [self._item(number, product, quantity)],
            "operations": [
                self._operation(number, product, step, began if step == 0 else ended, happened) for step in (0, 1)
            ],
        }

    def _item(self, number: str, product: Product, quantity: Decimal) -> Document:
        return {
            "ManufacturingOrder": number,
            "ManufacturingOrderItem": "0001",
            "Material": product.material,
            "ProductionPlant": "P100",
            "MfgOrderItemPlannedTotalQty": quantity,
            "ProductionUnit": product.unit,
        }

    def _operation(
        self, number: str, product: Product, step: int, at: datetime, happened: dict[str, datetime]
    ) -> Document:
        event = "OrderIsStarted" if step == 0 else "OrderIsConfirmed"
        done = at if event in happened else None
        return {
            "OrderInternalBillOfOperations": number.zfill(10),
            "OrderIntBillOfOperationsItem": str(step + 1),
            "ManufacturingOrder": number,
            "ManufacturingOrderOperation": f"{10 * (step + 1):04d}",
            "WorkCenter": product.work_center,
            **_moment("OpActualExecutionStart", done if step == 0 else happened.get("OrderIsStarted")),
            **_moment("OpActualExecutionEnd", done if step == 1 else None),
        }


class PlannedOrderBook(Book):
    """Planned orders by planned start: what the planning run proposes; half of them become production orders."""

    key = ("PlannedOrder",)
    day_property = "PlndOrderPlannedStartDate"
    horizon = timedelta(days=30)

    def generated(self, day: date) -> list[Document]:
        """Return the proposals for `day` that have not been converted."""
        # a week ahead the even ones have become production orders, and are gone from here
        kept = [1] if day <= self.today() + timedelta(days=7) else [0, 1]
        return [self._order(day, index) for index in kept]

    def _order(self, day: date, index: int) -> Document:
        number = str(5_000_000 + (day.toordinal() - _ORIGIN) * 2 + index)
        product = PRODUCTS[int(len(PRODUCTS) * self.draw(number, "product"))]
        start = datetime.combine(day, time(6 + 8 * index), self.zone)
        end = start + timedelta(hours=4)
        changed = start - timedelta(days=30 + int(10 * self.draw(number, "planned")))
        return {
            "PlannedOrder": number,
            "PlannedOrderType": "LA",
            "Material": product.material,
            "ProductionPlant": "P100",
            "MRPPlant": "P100",
            "MRPController": "001",
            "TotalQuantity": Decimal(int(product.low + (product.high - product.low) * self.draw(number, "quantity"))),
            "BaseUnit": product.unit,
            **_moment("PlndOrderPlannedStart", start),
            **_moment("PlndOrderPlannedEnd", end),
            "ProductionStartDate": _date(start),
            "ProductionEndDate": _date(end),
            "PlannedOrderLastChangeDateTime": instant_text(changed),
            "PlannedOrderIsFirm": index == 1,
        }


def _moment(prefix: str, at: datetime | None) -> Document:
    """Return the pair of local date and time that SAP keeps an instant as; initial values stand for none."""
    return {
        f"{prefix}Date": _date(at),
        f"{prefix}Time": at.time().isoformat() if at else "00:00:00",
    }


def _date(at: datetime | None) -> str | None:
    return at.date().isoformat() if at else None
