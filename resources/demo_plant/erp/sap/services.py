"""The services of the fake SAP: their roots and sets, over its books."""

from __future__ import annotations

from dataclasses import dataclass

from resources.core.clock import Clock
from resources.demo_plant.erp.sap.books.ledger import JournalBook
from resources.demo_plant.erp.sap.books.master_data import CostCenterBook, MaterialBook
from resources.demo_plant.erp.sap.books.measurements import MeterBook
from resources.demo_plant.erp.sap.books.production import PlannedOrderBook, ProductionOrderBook
from resources.demo_plant.erp.sap.books.purchasing import PurchaseOrderBook
from resources.demo_plant.erp.sap.entity_types import (
    ACCOUNT_TEXT,
    COST_CENTER,
    COST_CENTER_TEXT,
    JOURNAL_ITEM,
    MEASUREMENT,
    ORDER_HEADER,
    ORDER_ITEM_NUMBERS,
    ORDER_ITEM_TEXT,
    PLANNED_ORDER,
    PRODUCT,
    PRODUCT_TEXT,
    PRODUCTION_ITEM,
    PRODUCTION_OPERATION,
    PRODUCTION_ORDER,
)
from resources.demo_plant.erp.sap.odata.schema import EntitySet, EntityType, Navigation, Service, children, properties

V4 = "/sap/opu/odata4/sap"
V2 = "/sap/opu/odata/sap"


@dataclass(frozen=True, slots=True)
class Books:
    """Everything the system holds."""

    measurements: MeterBook
    production_orders: ProductionOrderBook
    planned_orders: PlannedOrderBook
    purchase_orders: PurchaseOrderBook
    cost_centers: CostCenterBook
    materials: MaterialBook
    journal: JournalBook


def make_books(*, seed: int = 42, zone: str = "UTC", clock: Clock | None = None) -> Books:
    """Return the books of one system."""
    return Books(
        measurements=MeterBook(seed=seed, zone=zone, clock=clock),
        production_orders=ProductionOrderBook(seed=seed, zone=zone, clock=clock),
        planned_orders=PlannedOrderBook(seed=seed, zone=zone, clock=clock),
        purchase_orders=PurchaseOrderBook(seed=seed, zone=zone, clock=clock),
        cost_centers=CostCenterBook(seed=seed, zone=zone, clock=clock),
        materials=MaterialBook(seed=seed, zone=zone, clock=clock),
        journal=JournalBook(seed=seed, zone=zone, clock=clock),
    )


def make_services(books: Books) -> tuple[Service, ...]:
    """Return the services over `books`."""
    return (
        _measurement_service(books),
        _production_service(books),
        _planned_service(books),
        _purchasing_v4(books),
        _purchasing_v2(books),
        _cost_center_service(books),
        _product_v2(books),
        _product_v4(books),
        Service(
            "API_OPLACCTGDOCITEMCUBE_SRV",
            f"{V2}/API_OPLACCTGDOCITEMCUBE_SRV",
            2,
            {"A_OperationalAcctgDocItemCube": EntitySet(JOURNAL_ITEM, books.journal.records, "PostingDate")},
        ),
    )


def _measurement_service(books: Books) -> Service:
    documents = EntitySet(MEASUREMENT, books.measurements.records, "MsmtRdngDate")
    root = f"{V4}/api_measurementdocument/srvd_a2x/sap/measurementdocument/0001"
    return Service("API_MEASUREMENTDOCUMENT_0001", root, 4, {"MeasurementDocument": documents})


def _production_service(books: Books) -> Service:
    orders, day = books.production_orders.records, "MfgOrderPlannedStartDate"
    sets = {
        "A_ProductionOrder_2": EntitySet(PRODUCTION_ORDER, orders, day),
        "A_ProductionOrderItem_2": EntitySet(PRODUCTION_ITEM, children(orders, "items")),
        "A_ProductionOrderOperation_2": EntitySet(PRODUCTION_OPERATION, children(orders, "operations")),
    }
    return Service("API_PRODUCTION_ORDER_2_SRV_0001", f"{V2}/API_PRODUCTION_ORDER_2_SRV", 2, sets, pages=False)


def _planned_service(books: Books) -> Service:
    headers = EntitySet(PLANNED_ORDER, books.planned_orders.records, "PlndOrderPlannedStartDate")
    root = f"{V4}/api_plannedorder/srvd_a2x/sap/plannedorder/0001"
    return Service("API_PLANNEDORDER_0001", root, 4, {"PlannedOrderHeader": headers})


def _purchasing_v4(books: Books) -> Service:
    orders = books.purchase_orders.records
    line = EntityType(
        "PurchaseOrderScheduleLineType",
        ("PurchaseOrder", "PurchaseOrderItem", "PurchaseOrderScheduleLine"),
        properties(
            text="PurchaseOrder PurchaseOrderItem PurchaseOrderScheduleLine PurchaseOrderQuantityUnit",
            dates="ScheduleLineDeliveryDate",
            decimals="ScheduleLineOrderQuantity",
        ),
    )
    account = EntityType(
        "PurOrdAccountAssignmentType",
        ("PurchaseOrder", "PurchaseOrderItem", "AccountAssignmentNumber"),
        properties(text=ACCOUNT_TEXT),
    )
    item = EntityType(
        "PurchaseOrderItemType",
        ("PurchaseOrder", "PurchaseOrderItem"),
        properties(text=ORDER_ITEM_TEXT, decimals=f"{ORDER_ITEM_NUMBERS} NetAmount", booleans="IsCompletelyDelivered"),
        {
            "_PurchaseOrderScheduleLineTP": Navigation("PurchaseOrderScheduleLineType", "schedule_lines"),
            "_PurOrdAccountAssignment": Navigation("PurOrdAccountAssignmentType", "accounts"),
        },
    )
    header = EntityType(
        "PurchaseOrderType",
        ("PurchaseOrder",),
        ORDER_HEADER,
        {"_PurchaseOrderItem": Navigation("PurchaseOrderItemType", "items")},
    )
    sets = {
        "PurchaseOrder": EntitySet(header, orders, "PurchaseOrderDate"),
        "PurchaseOrderItem": EntitySet(item, children(orders, "items")),
        "PurchaseOrderScheduleLine": EntitySet(line, children(orders, "items", "schedule_lines")),
        "PurOrdAccountAssignment": EntitySet(account, children(orders, "items", "accounts")),
    }
    return Service("CE_PURCHASEORDER_0001", f"{V4}/api_purchaseorder_2/srvd_a2x/sap/purchaseorder/0001", 4, sets)


def _purchasing_v2(books: Books) -> Service:
    orders = books.purchase_orders.records
    line = EntityType(
        "A_PurchaseOrderScheduleLineType",
        ("PurchasingDocument", "PurchasingDocumentItem", "ScheduleLine"),
        properties(
            text="PurchasingDocument PurchasingDocumentItem ScheduleLine PurchaseOrderQuantityUnit",
            dates="ScheduleLineDeliveryDate",
            decimals="ScheduleLineOrderQuantity",
        ),
    )
    account = EntityType(
        "A_PurOrdAccountAssignmentType",
        ("PurchaseOrder", "PurchaseOrderItem", "AccountAssignmentNumber"),
        properties(text=ACCOUNT_TEXT),
    )
    item = EntityType(
        "A_PurchaseOrderItemType",
        ("PurchaseOrder", "PurchaseOrderItem"),
        properties(text=ORDER_ITEM_TEXT, decimals=ORDER_ITEM_NUMBERS, booleans="IsCompletelyDelivered"),
        {
            "to_ScheduleLine": Navigation("A_PurchaseOrderScheduleLineType", "schedule_lines"),
            "to_AccountAssignment": Navigation("A_PurOrdAccountAssignmentType", "accounts"),
        },
    )
    header = EntityType(
        "A_PurchaseOrderType",
        ("PurchaseOrder",),
        ORDER_HEADER,
        {"to_PurchaseOrderItem": Navigation("A_PurchaseOrderItemType", "items")},
    )
    sets = {
        "A_PurchaseOrder": EntitySet(header, orders, "PurchaseOrderDate"),
        "A_PurchaseOrderItem": EntitySet(item, children(orders, "items")),
        "A_PurchaseOrderScheduleLine": EntitySet(line, children(orders, "items", "schedule_lines")),
        "A_PurOrdAccountAssignment": EntitySet(account, children(orders, "items", "accounts")),
    }
    return Service("API_PURCHASEORDER_PROCESS_SRV_0001", f"{V2}/API_PURCHASEORDER_PROCESS_SRV", 2, sets)


def _cost_center_service(books: Books) -> Service:
    centers = books.cost_centers.records
    sets = {
        "A_CostCenter": EntitySet(COST_CENTER, centers),
        "A_CostCenterText": EntitySet(COST_CENTER_TEXT, children(centers, "texts")),
    }
    return Service("API_COSTCENTER_SRV_0001", f"{V2}/API_COSTCENTER_SRV", 2, sets, pages=False)


def _product_v2(books: Books) -> Service:
    text = EntityType("A_ProductDescriptionType", ("Product", "Language"), PRODUCT_TEXT)
    product = EntityType(
        "A_ProductType", ("Product",), PRODUCT, {"to_Description": Navigation("A_ProductDescriptionType", "texts")}
    )
    sets = {
        "A_Product": EntitySet(product, books.materials.records),
        "A_ProductDescription": EntitySet(text, children(books.materials.records, "texts")),
    }
    return Service("API_PRODUCT_SRV_0001", f"{V2}/API_PRODUCT_SRV", 2, sets)


def _product_v4(books: Books) -> Service:
    text = EntityType("ProductDescriptionType", ("Product", "Language"), PRODUCT_TEXT)
    product = EntityType(
        "ProductType",
        ("Product",),
        PRODUCT,
        {"_ProductDescription": Navigation("ProductDescriptionType", "texts")},
    )
    sets = {
        "Product": EntitySet(product, books.materials.records),
        "ProductDescription": EntitySet(text, children(books.materials.records, "texts")),
    }
    return Service("API_PRODUCT_0002", f"{V4}/api_product/srvd_a2x/sap/product/0002", 4, sets)
