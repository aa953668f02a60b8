"""The data entities that the Dynamics-like service has: sets, keys, properties, enumerations, navigation, `$metadata`.

Names and types are those that public code generated from real `$metadata` shows. Of each entity only the properties
that are of use here: a real one has up to a hundred and fifty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

NAMESPACE = "Microsoft.Dynamics.DataEntities"
"""Namespace of all types; an enumeration's literal in a filter carries it."""

STRING, DECIMAL, INT32, INT64, DATE_TIME = "Edm.String", "Edm.Decimal", "Edm.Int32", "Edm.Int64", "Edm.DateTimeOffset"
ENUMS: Mapping[str, tuple[str, ...]] = {
    "NoYes": ("No", "Yes"),
    "LedgerJournalACType": ("Ledger", "Cust", "Vend", "Project", "FixedAssets", "Bank"),
    "CurrentOperationsTax": ("Current", "Operations", "Tax"),
    "ProdStatus": ("Created", "CostEstimated", "Scheduled", "Released", "StartedUp", "ReportedFinished", "Completed"),
    "PurchStatus": ("None", "Backorder", "Received", "Invoiced", "Canceled"),
    "LedgerPostingType": ("None", "LedgerJournal", "PurchExpense", "VendBalance"),
    "OMOperatingUnitType": ("OMDepartment", "OMCostCenter", "OMBusinessUnit"),
    "DimensionHierarchyType": (
        "AccountStructure",
        "DataEntityDefaultDimensionFormat",
        "DataEntityLedgerDimensionFormat",
    ),
    "DimensionSegmentDelimiter": ("Hyphen", "Period", "Underscore", "Bar"),
}
"""Enumeration -> its members."""


def enum(name: str) -> str:
    """Return the full name of an enumeration type."""
    return f"{NAMESPACE}.{name}"


@dataclass(frozen=True, slots=True)
class Navigation:
    """A navigation property: the set it leads to, and which properties (of both) tie the two."""

    target: str
    many: bool
    on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntitySet:
    """One set of a service; a set with `dataAreaId` is read of one company unless the request is cross-company."""

    name: str
    entity_type: str
    keys: tuple[str, ...]
    properties: Mapping[str, str]
    navigation: Mapping[str, Navigation] = field(default_factory=dict)

    @property
    def of_company(self) -> bool:
        """Whether records belong to a company."""
        return "dataAreaId" in self.properties


def _typed(**kinds: str) -> dict[str, str]:
    """Return property -> type from type -> names, in the order given."""
    return {name: kind for kind_name, names in kinds.items() for kind in (_KINDS[kind_name],) for name in names.split()}


_KINDS = {"text": STRING, "number": DECIMAL, "int32": INT32, "int64": INT64, "time": DATE_TIME}

LEDGER_JOURNAL_HEADERS = EntitySet(
    "LedgerJournalHeaders",
    "LedgerJournalHeader",
    ("dataAreaId", "JournalBatchNumber"),
    {
        **_typed(text="dataAreaId JournalBatchNumber JournalName Description AccountingCurrency"),
        "PostingLayer": enum("CurrentOperationsTax"),
        "IsPosted": enum("NoYes"),
        **_typed(number="JournalTotalDebit JournalTotalCredit"),
    },
    {"LedgerJournalLine": Navigation("LedgerJournalLines", True, ("dataAreaId", "JournalBatchNumber"))},
)
LEDGER_JOURNAL_LINES = EntitySet(
    "LedgerJournalLines",
    "LedgerJournalLine",
    ("dataAreaId", "JournalBatchNumber", "LineNumber"),
    {
        **_typed(text="dataAreaId JournalBatchNumber", number="LineNumber"),
        "AccountType": enum("LedgerJournalACType"),
        **_typed(text="AccountDisplayValue DefaultDimensionDisplayValue"),
        **_typed(number="DebitAmount CreditAmount Quantity ExchRate", time="TransDate DocumentDate"),
        **_typed(text="CurrencyCode Voucher Text Document Invoice OffsetAccountDisplayValue"),
        "OffsetAccountType": enum("LedgerJournalACType"),
    },
    {"LedgerJournalHeader": Navigation("LedgerJournalHeaders", False, ("dataAreaId", "JournalBatchNumber"))},
)
PRODUCTION_ORDER_HEADERS = EntitySet(
    "ProductionOrderHeaders",
    "ProductionOrderHeader",
    ("dataAreaId", "ProductionOrderNumber"),
    {
        **_typed(text="dataAreaId ProductionOrderNumber ProductionOrderName ItemNumber"),
        "ProductionOrderStatus": enum("ProdStatus"),
        **_typed(number="EstimatedQuantity ScheduledQuantity StartedQuantity RemainingReportAsFinishedQuantity"),
        **_typed(time="ScheduledStartDate ScheduledEndDate DeliveryDate StartedDate EndedDate"),
        **_typed(int32="ScheduledStartTime ScheduledEndTime ProductionOrderPriority"),
        **_typed(text="ProductionSiteId ProductionWarehouseId ProductionPoolId ProductionGroupId"),
        **_typed(text="DefaultLedgerDimensionDisplayValue"),
    },
    {"ReleasedProductV2": Navigation("ReleasedProductsV2", False, ("dataAreaId", "ItemNumber"))},
)
PURCHASE_ORDER_HEADERS = EntitySet(
    "PurchaseOrderHeadersV2",
    "PurchaseOrderHeaderV2",
    ("dataAreaId", "PurchaseOrderNumber"),
    {
        **_typed(text="dataAreaId PurchaseOrderNumber PurchaseOrderName OrderVendorAccountNumber CurrencyCode"),
        "PurchaseOrderStatus": enum("PurchStatus"),
        **_typed(time="AccountingDate RequestedDeliveryDate ConfirmedDeliveryDate"),
        **_typed(text="DefaultReceivingSiteId DefaultLedgerDimensionDisplayValue"),
    },
    {"PurchaseOrderLinesV2": Navigation("PurchaseOrderLinesV2", True, ("dataAreaId", "PurchaseOrderNumber"))},
)
PURCHASE_ORDER_LINES = EntitySet(
    "PurchaseOrderLinesV2",
    "PurchaseOrderLineV2",
    ("dataAreaId", "PurchaseOrderNumber", "LineNumber"),
    {
        **_typed(text="dataAreaId PurchaseOrderNumber", int64="LineNumber"),
        **_typed(text="ItemNumber LineDescription PurchaseUnitSymbol"),
        **_typed(number="OrderedPurchaseQuantity PurchasePrice PurchasePriceQuantity LineAmount"),
        "PurchaseOrderLineStatus": enum("PurchStatus"),
        **_typed(time="RequestedDeliveryDate ConfirmedDeliveryDate"),
        **_typed(text="ReceivingSiteId ReceivingWarehouseId DefaultLedgerDimensionDisplayValue"),
    },
    {"PurchaseOrderHeader": Navigation("PurchaseOrderHeadersV2", False, ("dataAreaId", "PurchaseOrderNumber"))},
)
RELEASED_PRODUCTS = EntitySet(
    "ReleasedProductsV2",
    "ReleasedProductV2",
    ("dataAreaId", "ItemNumber"),
    _typed(text="dataAreaId ItemNumber ProductName SearchName InventoryUnitSymbol ProductGroupId"),
)
LEGAL_ENTITIES = EntitySet(
    "LegalEntities", "LegalEntity", ("LegalEntityId",), _typed(text="LegalEntityId Name PartyNumber LanguageId")
)
FINANCIAL_DIMENSION_VALUES = EntitySet(
    "FinancialDimensionValues",
    "FinancialDimensionValue",
    ("FinancialDimension", "DimensionValue", "LegalEntityId"),
    {
        **_typed(text="FinancialDimension DimensionValue LegalEntityId Description GroupDimension Owner"),
        "IsSuspended": enum("NoYes"),
        "IsBlockedForManualEntry": enum("NoYes"),
        **_typed(time="ActiveFrom ActiveTo"),
    },
)
OPERATING_UNITS = EntitySet(
    "OperatingUnits",
    "OperatingUnit",
    ("OperatingUnitNumber",),
    {
        **_typed(text="OperatingUnitNumber Name NameAlias PartyNumber ManagerPersonnelNumber"),
        "OperatingUnitType": enum("OMOperatingUnitType"),
    },
)
DIMENSION_FORMATS = EntitySet(
    "DimensionIntegrationFormats",
    "DimensionIntegrationFormat",
    ("DimensionFormatName", "DimensionFormatType"),
    {
        **_typed(text="DimensionFormatName FinancialDimensionFormat"),
        "DimensionFormatType": enum("DimensionHierarchyType"),
        "IsActive": enum("NoYes"),
    },
)
DIMENSION_PARAMETERS = EntitySet(
    "DimensionParameters",
    "DimensionParameters",
    ("Key",),
    {**_typed(int32="Key"), "DimensionSegmentDelimiter": enum("DimensionSegmentDelimiter")},
)


def general_journal(name: str) -> EntitySet:
    """Return the posted entries of the general ledger: the name of their set differs from version to version."""
    return EntitySet(
        name,
        "GeneralJournalAccountEntry",
        ("dataAreaId", "GeneralJournalAccountEntryRecId"),
        {
            **_typed(text="dataAreaId", int64="GeneralJournalAccountEntryRecId"),
            **_typed(text="JournalNumber Voucher LedgerAccount AccountDisplayValue Description DocumentNumber"),
            **_typed(int64="MainAccount", number="TransactionCurrencyAmount", text="TransactionCurrencyCode"),
            **_typed(number="AccountingCurrencyAmount ReportingCurrencyAmount Quantity"),
            "IsCredit": enum("NoYes"),
            "IsCorrection": enum("NoYes"),
            "PostingType": enum("LedgerPostingType"),
            "PostingLayer": enum("CurrentOperationsTax"),
            **_typed(time="AccountingDate DocumentDate ModifiedDateTime1"),
        },
    )


def entity_sets(general_journal_name: str) -> dict[str, EntitySet]:
    """Return all sets of the service by name."""
    sets = (
        LEDGER_JOURNAL_HEADERS,
        LEDGER_JOURNAL_LINES,
        general_journal(general_journal_name),
        PRODUCTION_ORDER_HEADERS,
        PURCHASE_ORDER_HEADERS,
        PURCHASE_ORDER_LINES,
        RELEASED_PRODUCTS,
        LEGAL_ENTITIES,
        FINANCIAL_DIMENSION_VALUES,
        OPERATING_UNITS,
        DIMENSION_FORMATS,
        DIMENSION_PARAMETERS,
    )
    return {entity.name: entity for entity in sets}


def metadata(sets: Iterable[EntitySet]) -> bytes:
    """Return the sets as a CSDL document, what `$metadata` answers."""
    held = list(sets)
    types = {entity.name: f"{NAMESPACE}.{entity.entity_type}" for entity in held}
    enums = "".join(_enum_type(name, members) for name, members in ENUMS.items())
    entities = "".join(_entity_type(entity, types) for entity in held)
    listed = "".join(f"<EntitySet Name={quoteattr(e.name)} EntityType={quoteattr(types[e.name])}/>" for e in held)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        f'<Schema Namespace="{NAMESPACE}" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'{enums}{entities}<EntityContainer Name="Resources">{listed}</EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    ).encode()


def _enum_type(name: str, members: tuple[str, ...]) -> str:
    listed = "".join(f'<Member Name="{member}" Value="{value}"/>' for value, member in enumerate(members))
    return f'<EnumType Name="{name}">{listed}</EnumType>'


def _entity_type(entity: EntitySet, types: Mapping[str, str]) -> str:
    keys = "".join(f'<PropertyRef Name="{key}"/>' for key in entity.keys)
    properties = "".join(f'<Property Name="{name}" Type="{kind}"/>' for name, kind in entity.properties.items())
    navigation = "".join(
        f'<NavigationProperty Name="{name}" Type="{_many(types[n.target], n.many)}"/>'
        for name, n in entity.navigation.items()
    )
    return f'<EntityType Name="{entity.entity_type}"><Key>{keys}</Key>{properties}{navigation}</EntityType>'


def _many(kind: str, many: bool) -> str:
    return f"Collection({kind})" if many else kind
