"""The services of the fake SAP, with the names and types that SAP publishes of them.

Source: SAP Business Accelerator Hub and the packages generated from it; where a name was seen in public code only, or
is from memory, `resources/erp/sap/datasets.yaml` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from resources.core.clock import Clock
from resources.demo_plant.erp.sap.books.ledger import JournalBook
from resources.demo_plant.erp.sap.books.master_data import CostCenterBook, MaterialBook
from resources.demo_plant.erp.sap.books.measurements import MeterBook
from resources.demo_plant.erp.sap.books.production import PlannedOrderBook, ProductionOrderBook
from resources.demo_plant.erp.sap.books.purchasing import PurchaseOrderBook
from resources.demo_plant.erp.sap.odata.schema import EntitySet, EntityType, Navigation, Service, children, properties

V4 = "/sap/opu/odata4/sap"
V2 = "/sap/opu/odata/sap"

_MEASUREMENT = EntityType(
    "MeasurementDocumentType",
    ("MeasurementDocument",),
    properties(
        text="MeasurementDocument MeasuringPoint MeasuringPointPositionNumber Characteristic CharcValueUnit "
        "MeasurementReadingEntryUoM MsmtValuationCode MeasurementDocumentText MsmtRdngByUser MsmtRdngStatus",
        dates="MsmtRdngDate",
        times="MsmtRdngTime",
        doubles="MeasurementReading MeasurementReadingInEntryUoM MeasurementCounterReading "
        "MsmtCounterReadingDifference",
        booleans="MsmtCntrReadingDiffIsEntered MsmtRdngIsReversed",
    ),
    unfilterable=frozenset({"MeasurementDocumentText"}),
)

_PRODUCTION_ITEM = EntityType(
    "A_ProductionOrderItem_2Type",
    ("ManufacturingOrder", "ManufacturingOrderItem"),
    properties(
        text="ManufacturingOrder ManufacturingOrderItem Material ProductionPlant ProductionUnit",
        decimals="MfgOrderItemPlannedTotalQty",
    ),
)
_PRODUCTION_OPERATION = EntityType(
    "A_ProductionOrderOperation_2Type",
    ("OrderInternalBillOfOperations", "OrderIntBillOfOperationsItem"),
    properties(
        text="OrderInternalBillOfOperations OrderIntBillOfOperationsItem ManufacturingOrder "
        "ManufacturingOrderOperation WorkCenter",
        dates="OpActualExecutionStartDate OpActualExecutionEndDate",
        times="OpActualExecutionStartTime OpActualExecutionEndTime",
    ),
)
_PRODUCTION_ORDER = EntityType(
    "A_ProductionOrder_2Type",
    ("ManufacturingOrder",),
    properties(
        text="ManufacturingOrder ManufacturingOrderType ManufacturingOrderCategory Material ProductionPlant "
        "MRPController ProductionVersion PlannedOrder SalesOrder ProductionUnit ProductionUnitISOCode "
        "LastChangeDateTime OrderIsCreated OrderIsReleased OrderIsConfirmed OrderIsTechnicallyCompleted "
        "OrderIsClosed OrderIsMarkedForDeletion",
        dates="MfgOrderPlannedStartDate MfgOrderPlannedEndDate MfgOrderScheduledStartDate MfgOrderScheduledEndDate "
        "MfgOrderActualReleaseDate",
        times="MfgOrderPlannedStartTime MfgOrderPlannedEndTime MfgOrderScheduledStartTime MfgOrderScheduledEndTime",
        decimals="TotalQuantity MfgOrderPlannedScrapQty MfgOrderConfirmedYieldQty",
    ),
    {
        "to_ProductionOrderItem": Navigation("A_ProductionOrderItem_2Type", "items"),
        "to_ProductionOrderOperation": Navigation("A_ProductionOrderOperation_2Type", "operations"),
    },
)
_PLANNED_ORDER = EntityType(
    "PlannedOrderHeaderType",
    ("PlannedOrder",),
    properties(
        text="PlannedOrder PlannedOrderType Material ProductionPlant MRPPlant MRPController BaseUnit",
        dates="PlndOrderPlannedStartDate PlndOrderPlannedEndDate ProductionStartDate ProductionEndDate",
        times="PlndOrderPlannedStartTime PlndOrderPlannedEndTime",
        instants="PlannedOrderLastChangeDateTime",
        decimals="TotalQuantity",
        booleans="PlannedOrderIsFirm",
    ),
)

_ORDER_HEADER = properties(
    text="PurchaseOrder CompanyCode PurchaseOrderType Supplier PurchasingOrganization PurchasingGroup DocumentCurrency "
    "PurchasingProcessingStatus PurchasingDocumentDeletionCode",
    dates="PurchaseOrderDate CreationDate",
    instants="LastChangeDateTime",
)
_ORDER_ITEM_TEXT = (
    "PurchaseOrder PurchaseOrderItem Plant Material PurchaseOrderItemText PurchaseOrderQuantityUnit "
    "OrderPriceUnit DocumentCurrency AccountAssignmentCategory PurchasingDocumentDeletionCode"
)
_ORDER_ITEM_NUMBERS = (
    "OrderQuantity NetPriceAmount NetPriceQuantity OrderPriceUnitToOrderUnitNmrtr OrdPriceUnitToOrderUnitDnmntr"
)
_ACCOUNT_TEXT = (
    "PurchaseOrder PurchaseOrderItem AccountAssignmentNumber CostCenter GLAccount OrderID WBSElement ProfitCenter"
)

_COST_CENTER_TEXT = EntityType(
    "A_CostCenterTextType",
    ("ControllingArea", "CostCenter", "Language", "ValidityEndDate"),
    properties(
        text="ControllingArea CostCenter Language CostCenterName CostCenterDescription",
        dates="ValidityStartDate ValidityEndDate",
    ),
)
_COST_CENTER = EntityType(
    "A_CostCenterType",
    ("ControllingArea", "CostCenter", "ValidityEndDate"),
    properties(
        text="ControllingArea CostCenter CompanyCode BusinessArea ProfitCenter CostCenterCategory "
        "CostCenterStandardHierArea CostCtrResponsiblePersonName CostCenterCurrency",
        dates="ValidityStartDate ValidityEndDate",
        booleans="ConsumptionQtyIsRecorded",
    ),
    {"to_Text": Navigation("A_CostCenterTextType", "texts")},
)

_PRODUCT = properties(
    text="Product ProductType BaseUnit ProductGroup WeightUnit",
    dates="CreationDate LastChangeDate",
    instants="LastChangeDateTime",
    decimals="GrossWeight NetWeight",
    booleans="IsMarkedForDeletion",
)
_PRODUCT_TEXT = properties(text="Product Language ProductDescription")

_JOURNAL_ITEM = EntityType(
    "A_OperationalAcctgDocItemCubeType",
    ("CompanyCode", "FiscalYear", "AccountingDocument", "AccountingDocumentItem"),
    properties(
        text="CompanyCode FiscalYear AccountingDocument AccountingDocumentItem AccountingDocumentType GLAccount "
        "DebitCreditCode CompanyCodeCurrency TransactionCurrency ControllingArea CostCenter DocumentItemText",
        dates="PostingDate DocumentDate AccountingDocumentCreationDate",
        decimals="AmountInCompanyCodeCurrency AmountInTransactionCurrency",
    ),
    unfilterable=frozenset({"DocumentItemText"}),
)


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
            {"A_OperationalAcctgDocItemCube": EntitySet(_JOURNAL_ITEM, books.journal.records, "PostingDate")},
        ),
    )


def _measurement_service(books: Books) -> Service:
    documents = EntitySet(_MEASUREMENT, books.measurements.records, "MsmtRdngDate")
    root = f"{V4}/api_measurementdocument/srvd_a2x/sap/measurementdocument/0001"
    return Service("API_MEASUREMENTDOCUMENT_0001", root, 4, {"MeasurementDocument": documents})


def _production_service(books: Books) -> Service:
    orders, day = books.production_orders.records, "MfgOrderPlannedStartDate"
    sets = {
        "A_ProductionOrder_2": EntitySet(_PRODUCTION_ORDER, orders, day),
        "A_ProductionOrderItem_2": EntitySet(_PRODUCTION_ITEM, children(orders, "items")),
        "A_ProductionOrderOperation_2": EntitySet(_PRODUCTION_OPERATION, children(orders, "operations")),
    }
    return Service("API_PRODUCTION_ORDER_2_SRV_0001", f"{V2}/API_PRODUCTION_ORDER_2_SRV", 2, sets, pages=False)


def _planned_service(books: Books) -> Service:
    headers = EntitySet(_PLANNED_ORDER, books.planned_orders.records, "PlndOrderPlannedStartDate")
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
        properties(text=_ACCOUNT_TEXT),
    )
    item = EntityType(
        "PurchaseOrderItemType",
        ("PurchaseOrder", "PurchaseOrderItem"),
        properties(
            text=_ORDER_ITEM_TEXT, decimals=f"{_ORDER_ITEM_NUMBERS} NetAmount", booleans="IsCompletelyDelivered"
        ),
        {
            "_PurchaseOrderScheduleLineTP": Navigation("PurchaseOrderScheduleLineType", "schedule_lines"),
            "_PurOrdAccountAssignment": Navigation("PurOrdAccountAssignmentType", "accounts"),
        },
    )
    header = EntityType(
        "PurchaseOrderType",
        ("PurchaseOrder",),
        _ORDER_HEADER,
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
        properties(text=_ACCOUNT_TEXT),
    )
    item = EntityType(
        "A_PurchaseOrderItemType",
        ("PurchaseOrder", "PurchaseOrderItem"),
        properties(text=_ORDER_ITEM_TEXT, decimals=_ORDER_ITEM_NUMBERS, booleans="IsCompletelyDelivered"),
        {
            "to_ScheduleLine": Navigation("A_PurchaseOrderScheduleLineType", "schedule_lines"),
            "to_AccountAssignment": Navigation("A_PurOrdAccountAssignmentType", "accounts"),
        },
    )
    header = EntityType(
        "A_PurchaseOrderType",
        ("PurchaseOrder",),
        _ORDER_HEADER,
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
        "A_CostCenter": EntitySet(_COST_CENTER, centers),
        "A_CostCenterText": EntitySet(_COST_CENTER_TEXT, children(centers, "texts")),
    }
    return Service("API_COSTCENTER_SRV_0001", f"{V2}/API_COSTCENTER_SRV", 2, sets, pages=False)


def _product_v2(books: Books) -> Service:
    text = EntityType("A_ProductDescriptionType", ("Product", "Language"), _PRODUCT_TEXT)
    product = EntityType(
        "A_ProductType", ("Product",), _PRODUCT, {"to_Description": Navigation("A_ProductDescriptionType", "texts")}
    )
    sets = {
        "A_Product": EntitySet(product, books.materials.records),
        "A_ProductDescription": EntitySet(text, children(books.materials.records, "texts")),
    }
    return Service("API_PRODUCT_SRV_0001", f"{V2}/API_PRODUCT_SRV", 2, sets)


def _product_v4(books: Books) -> Service:
    text = EntityType("ProductDescriptionType", ("Product", "Language"), _PRODUCT_TEXT)
    product = EntityType(
        "ProductType",
        ("Product",),
        _PRODUCT,
        {"_ProductDescription": Navigation("ProductDescriptionType", "texts")},
    )
    sets = {
        "Product": EntitySet(product, books.materials.records),
        "ProductDescription": EntitySet(text, children(books.materials.records, "texts")),
    }
    return Service("API_PRODUCT_0002", f"{V4}/api_product/srvd_a2x/sap/product/0002", 4, sets)
