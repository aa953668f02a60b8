"""Which REST resources the fake has: their attributes with types, keys, children and finders.

Names: Oracle's REST references (Maintenance 24C to 26B, Financials 24C), and for what those leave out the columns of
CSE_METER_READINGS and CSE_ASSETS in the table reference. The README of the connector says how sure each one is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AttributeType = Literal["integer", "number", "string", "boolean", "date", "datetime"]


@dataclass(frozen=True, slots=True)
class Finder:
    """A predefined search: bind variable -> attribute it is compared with."""

    name: str
    binds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, or a child of one."""

    name: str
    key: str
    """Attribute that identifies a record among its siblings."""
    attributes: Mapping[str, AttributeType]
    children: Mapping[str, Resource] = field(default_factory=dict)
    finders: tuple[Finder, ...] = ()
    dated: str | None = None
    """Attribute by which records of a day are generated; a child's one is written with a dot."""
    opaque: bool = False
    """The address of a record carries a hash, not its key."""

    def finder(self, name: str) -> Finder | None:
        """Return the finder of that name."""
        return next((finder for finder in self.finders if finder.name == name), None)

    def type_of(self, path: str) -> AttributeType | None:
        """Return the type of an attribute, of a child's with dots; None if there is none."""
        child, dot, rest = path.partition(".")
        if dot:
            return self.children[child].type_of(rest) if child in self.children else None
        return self.attributes.get(path)


_WHO: dict[str, AttributeType] = {"CreationDate": "datetime", "LastUpdateDate": "datetime", "LastUpdatedBy": "string"}

METER_READINGS = Resource(
    "meterReadings",
    "MeterReadingId",
    {
        "MeterReadingId": "integer",
        "AssetId": "integer",
        "AssetNumber": "string",
        "MeterId": "integer",
        "MeterCode": "string",
        "ReadingDate": "datetime",
        "ReadingTypeCode": "string",
        "ReadingValue": "number",
        "ReadingNetChange": "number",
        "DisplayedValue": "number",
        "NetValue": "number",
        "InitialFlag": "boolean",
        "ResetFlag": "boolean",
        "RolloverFlag": "boolean",
        "DisabledFlag": "boolean",
        "CanceledFlag": "boolean",
        "Comments": "string",
        **_WHO,
    },
    finders=(
        Finder("PrimaryKey", {"MeterReadingId": "MeterReadingId"}),
        Finder("MetersByAssetMeterUserKey", {"MntAssetNumber": "AssetNumber", "MntMeterCode": "MeterCode"}),
    ),
    dated="ReadingDate",
)

WORK_ORDERS = Resource(
    "maintenanceWorkOrders",
    "WorkOrderId",
    {
        "WorkOrderId": "integer",
        "WorkOrderNumber": "string",
        "OrganizationId": "integer",
        "OrganizationCode": "string",
        "AssetId": "integer",
        "AssetNumber": "string",
        "WorkOrderDescription": "string",
        "WorkOrderTypeCode": "string",
        "WorkOrderSubTypeCode": "string",
        "WorkOrderStatusCode": "string",
        "WorkOrderPriority": "integer",
        "PlannedStartDate": "datetime",
        "PlannedCompletionDate": "datetime",
        "ActualStartDate": "datetime",
        "ActualCompletionDate": "datetime",
        **_WHO,
    },
    children={
        "WorkOrderOperation": Resource(
            "WorkOrderOperation",
            "WoOperationId",
            {
                "WoOperationId": "integer",
                "OperationSequenceNumber": "integer",
                "OperationName": "string",
                "WorkCenterCode": "string",
                "PlannedStartDate": "datetime",
                "PlannedCompletionDate": "datetime",
            },
        )
    },
    finders=(Finder("PrimaryKey", {"WorkOrderId": "WorkOrderId"}),),
    dated="PlannedStartDate",
)

ASSETS = Resource(
    "installedBaseAssets",
    "AssetId",
    {
        "AssetId": "integer",
        "AssetNumber": "string",
        "AssetDescription": "string",
        "ItemNumber": "string",
        "SerialNumber": "string",
        "OperatingOrganizationId": "integer",
        "OperatingOrganizationCode": "string",
        "CurrentLocationContextCode": "string",
        "LocationNumber": "string",
        "InServiceDate": "datetime",
        "InstalledDate": "datetime",
        "StatusCode": "string",
        "ActiveEndDate": "datetime",
        **_WHO,
    },
    finders=(Finder("PrimaryKey", {"AssetId": "AssetId"}),),
)

JOURNALS = Resource(
    "journalBatches",
    "JeBatchId",
    {
        "JeBatchId": "integer",
        "BatchName": "string",
        "BatchDescription": "string",
        "DefaultPeriodName": "string",
        "Status": "string",
        "UserJeSourceName": "string",
        "ActualFlagMeaning": "string",
        "PostedDate": "datetime",
        "ReversalFlag": "boolean",
        **_WHO,
    },
    children={
        "journalHeaders": Resource(
            "journalHeaders",
            "JournalName",
            {
                "JournalName": "string",
                "JournalDescription": "string",
                "LedgerName": "string",
                "LedgerCurrencyCode": "string",
                "CurrencyCode": "string",
                "PeriodName": "string",
                "DefaultEffectiveDate": "date",
                "UserJeCategoryName": "string",
                "LegalEntityName": "string",
                **_WHO,
            },
            children={
                "journalLines": Resource(
                    "journalLines",
                    "JeLineNumber",
                    {
                        "JeLineNumber": "integer",
                        "AccountCombination": "string",
                        "AccountedDr": "number",
                        "AccountedCr": "number",
                        "EnteredDr": "number",
                        "EnteredCr": "number",
                        "CurrencyCode": "string",
                        "Description": "string",
                        **_WHO,
                    },
                    opaque=True,
                )
            },
            opaque=True,
        )
    },
    finders=(
        Finder("PrimaryKey", {"JeBatchId": "JeBatchId"}),
        Finder("JournalsFinder", {"AccountingPeriod": "DefaultPeriodName"}),
    ),
    dated="journalHeaders.DefaultEffectiveDate",
)

CURRENCIES = Resource(
    "currenciesLOV",
    "CurrencyCode",
    {"CurrencyCode": "string", "Name": "string", "EnabledFlag": "string"},
)

RESOURCES: dict[str, Resource] = {
    resource.name: resource for resource in (METER_READINGS, WORK_ORDERS, ASSETS, JOURNALS, CURRENCIES)
}
"""Every resource of the fake by name."""
