"""Purchase orders of the demo plant: two headers a day, one to three items each, children under each item."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

from resources.demo_plant.erp.sap.books.book import Book, Document, instant_text

PER_DAY = 2
_ORIGIN = date(2020, 1, 1).toordinal()
_GOODS = (
    ("GAS-NAT", "M3", "17300001", 5000, 20000, "0.42", 1),
    ("CHEM-NAOH", "KG", "17300002", 100, 900, "38.50", 100),
    ("FIREBRICK", "ST", "17300003", 50, 400, "6.75", 1),
    ("", "H", "17300004", 4, 40, "92.50", 1),
)
"""Material, unit, supplier, least and most ordered, net price, per how many; the last is a service, by the hour and
without material."""


class PurchaseOrderBook(Book):
    """Purchase orders by order date. One in ten is changed three days later."""

    key = ("PurchaseOrder",)
    day_property = "PurchaseOrderDate"

    def generated(self, day: date) -> list[Document]:
        """Return the orders of a day that have been entered."""
        orders = (self._order(day, index) for index in range(PER_DAY))
        return [order for order in orders if order is not None]

    def _order(self, day: date, index: int) -> Document | None:
        number = str(4_500_000_000 + (day.toordinal() - _ORIGIN) * PER_DAY + index)
        entered = datetime.combine(day, time(8 + 5 * index, 12), self.zone)
        if entered > self.clock.now():
            return None
        changed = entered + timedelta(days=3)
        is_changed = self.draw(number, "change") < 0.1 and changed <= self.clock.now()
        goods = int(len(_GOODS) * self.draw(number, "goods"))
        count = 1 + int(3 * self.draw(number, "items"))
        currency = "USD" if self.draw(number, "currency") < 0.2 else "EUR"
        header = {
            "PurchaseOrder": number,
            "CompanyCode": "1000",
            "PurchaseOrderType": "NB",
            "Supplier": _GOODS[goods][2],
            "PurchasingOrganization": "1000",
            "PurchasingGroup": "001",
            "PurchaseOrderDate": day.isoformat(),
            "DocumentCurrency": currency,
            "CreationDate": day.isoformat(),
            "LastChangeDateTime": instant_text(changed if is_changed else entered),
            "PurchasingProcessingStatus": "05" if is_changed else "02",
            "PurchasingDocumentDeletionCode": "",
        }
        return {**header, "items": [self._item(header, goods, position) for position in range(1, count + 1)]}

    def _item(self, header: Document, goods: int, position: int) -> Document:
        material, unit, _, low, high, price, per = _GOODS[goods]
        number, item = header["PurchaseOrder"], str(10 * position)
        quantity = self.amount(low, high, number, item, places="0.001")
        net = (Decimal(price) * quantity / per).quantize(Decimal("0.01"))
        ordered = date.fromisoformat(header["PurchaseOrderDate"])
        delivery = ordered + timedelta(days=7 + int(14 * self.draw(number, item, "delivery")))
        return {
            "PurchaseOrder": number,
            "PurchaseOrderItem": item,
            "Plant": "P100",
            "Material": material,
            "PurchaseOrderItemText": material or "Maintenance of burners",
            "OrderQuantity": quantity,
            "PurchaseOrderQuantityUnit": unit,
            "OrderPriceUnit": unit,
            "OrderPriceUnitToOrderUnitNmrtr": Decimal(1),
            "OrdPriceUnitToOrderUnitDnmntr": Decimal(1),
            "NetPriceAmount": Decimal(price),
            "NetPriceQuantity": Decimal(per),
            "NetAmount": net,
            "DocumentCurrency": header["DocumentCurrency"],
            "AccountAssignmentCategory": "K",
            "IsCompletelyDelivered": False,
            "PurchasingDocumentDeletionCode": "",
            "schedule_lines": [_schedule_line(number, item, delivery, quantity, unit)],
            "accounts": [
                {
                    "PurchaseOrder": number,
                    "PurchaseOrderItem": item,
                    "AccountAssignmentNumber": "1",
                    "CostCenter": "4711" if goods % 2 == 0 else "4712",
                    "GLAccount": "65100000",
                    "OrderID": "",
                    "WBSElement": "",
                    "ProfitCenter": "PC100",
                }
            ],
        }


def _schedule_line(number: str, item: str, delivery: date, quantity: Decimal, unit: str) -> Document:
    return {
        # the names of OData V4 and those of V2, which are not the parent's
        "PurchaseOrder": number,
        "PurchaseOrderItem": item,
        "PurchaseOrderScheduleLine": "1",
        "PurchasingDocument": number,
        "PurchasingDocumentItem": item,
        "ScheduleLine": "1",
        "ScheduleLineDeliveryDate": delivery.isoformat(),
        "ScheduleLineOrderQuantity": quantity,
        "PurchaseOrderQuantityUnit": unit,
    }
