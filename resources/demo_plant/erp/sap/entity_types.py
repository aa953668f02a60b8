"""Entity types of the fake SAP: properties and navigations under the names that SAP publishes.

Source: SAP Business Accelerator Hub and the packages generated from it; where a name was seen in public code only, or
is from memory, `resources/erp/sap/datasets.yaml` says so.
"""

from __future__ import annotations

from resources.demo_plant.erp.sap.odata.schema import EntityType, Navigation, properties

MEASUREMENT = EntityType(
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

PRODUCTION_ITEM = EntityType(
    "A_ProductionOrderItem_2Type",
    ("ManufacturingOrder", "ManufacturingOrderItem"),
    properties(
        text="ManufacturingOrder ManufacturingOrderItem Material ProductionPlant ProductionUnit",
        decimals="MfgOrderItemPlannedTotalQty",
    ),
)
PRODUCTION_OPERATION = EntityType(
    "A_ProductionOrderOperation_2Type",
    ("OrderInternalBillOfOperations", "OrderIntBillOfOperationsItem"),
    properties(
        text="OrderInternalBillOfOperations OrderIntBillOfOperationsItem ManufacturingOrder "
        "ManufacturingOrderOperation WorkCenter",
        dates="OpActualExecutionStartDate OpActualExecutionEndDate",
        times="OpActualExecutionStartTime OpActualExecutionEndTime",
    ),
)
PRODUCTION_ORDER = EntityType(
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
PLANNED_ORDER = EntityType(
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

ORDER_HEADER = properties(
    text="PurchaseOrder CompanyCode PurchaseOrderType Supplier PurchasingOrganization PurchasingGroup DocumentCurrency "
    "PurchasingProcessingStatus PurchasingDocumentDeletionCode",
    dates="PurchaseOrderDate CreationDate",
    instants="LastChangeDateTime",
)
ORDER_ITEM_TEXT = (
    "PurchaseOrder PurchaseOrderItem Plant Material PurchaseOrderItemText PurchaseOrderQuantityUnit "
    "OrderPriceUnit DocumentCurrency AccountAssignmentCategory PurchasingDocumentDeletionCode"
)
ORDER_ITEM_NUMBERS = (
    "OrderQuantity NetPriceAmount NetPriceQuantity OrderPriceUnitToOrderUnitNmrtr OrdPriceUnitToOrderUnitDnmntr"
)
ACCOUNT_TEXT = (
    "PurchaseOrder PurchaseOrderItem AccountAssignmentNumber CostCenter GLAccount OrderID WBSElement ProfitCenter"
)

COST_CENTER_TEXT = EntityType(
    "A_CostCenterTextType",
    ("ControllingArea", "CostCenter", "Language", "ValidityEndDate"),
    properties(
        text="ControllingArea CostCenter Language CostCenterName CostCenterDescription",
        dates="ValidityStartDate ValidityEndDate",
    ),
)
COST_CENTER = EntityType(
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

PRODUCT = properties(
    text="Product ProductType BaseUnit ProductGroup WeightUnit",
    dates="CreationDate LastChangeDate",
    instants="LastChangeDateTime",
    decimals="GrossWeight NetWeight",
    booleans="IsMarkedForDeletion",
)
PRODUCT_TEXT = properties(text="Product Language ProductDescription")

JOURNAL_ITEM = EntityType(
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
