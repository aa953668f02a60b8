"""Sets of the Dynamics-like service that have no days: dimensions, operating units, formats of display values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resources.demo_plant.erp.dynamics.ledger import COST_CENTERS, NULL_DATE, Company
from resources.demo_plant.erp.dynamics.orders import PRODUCTS

Record = dict[str, Any]

LEDGER_DIMENSION_FORMAT = ("MainAccount", "BusinessUnit", "Department", "CostCenter")
"""Order of the segments of a ledger account's display value."""

DEFAULT_DIMENSION_FORMAT = LEDGER_DIMENSION_FORMAT[1:]
"""Order of the segments of a default dimension's display value."""

_MAX_DATE = "2154-12-31T23:59:59Z"


def records(entity_set: str, companies: Sequence[Company]) -> list[Record]:
    """Return all records of a set of master data."""
    if entity_set == "FinancialDimensionValues":
        return _dimension_values()
    if entity_set == "OperatingUnits":
        return _operating_units()
    if entity_set == "DimensionIntegrationFormats":
        return [
            _format("Ledger", "DataEntityLedgerDimensionFormat", LEDGER_DIMENSION_FORMAT),
            _format("Default", "DataEntityDefaultDimensionFormat", DEFAULT_DIMENSION_FORMAT),
            {**_format("Old", "DataEntityLedgerDimensionFormat", ("MainAccount",)), "IsActive": "No"},
        ]
    if entity_set == "LegalEntities":
        return [_legal_entity(company) for company in companies]
    if entity_set == "ReleasedProductsV2":
        return [_product(company, item, name) for company in companies for item, name in PRODUCTS]
    return [{"Key": 0, "DimensionSegmentDelimiter": "Hyphen"}]


def _dimension_values() -> list[Record]:
    departments = sorted({(center.department, center.department) for center in COST_CENTERS})
    values = [("CostCenter", center.value, center.name) for center in COST_CENTERS]
    values += [("Department", value, name) for value, name in departments]
    return [
        {
            "FinancialDimension": dimension,
            "DimensionValue": value,
            "LegalEntityId": "",
            "Description": name,
            "GroupDimension": "",
            "Owner": "000020" if dimension == "CostCenter" else "",
            "IsSuspended": "No",
            "IsBlockedForManualEntry": "No",
            "ActiveFrom": NULL_DATE,
            "ActiveTo": _MAX_DATE if dimension == "Department" else NULL_DATE,
        }
        for dimension, value, name in values
    ]


def _operating_units() -> list[Record]:
    return [
        {
            "OperatingUnitNumber": center.value,
            "Name": center.name,
            "NameAlias": center.name,
            "PartyNumber": f"{number:09d}",
            "ManagerPersonnelNumber": "000020",
            "OperatingUnitType": "OMCostCenter",
        }
        for number, center in enumerate(COST_CENTERS, 1)
    ]


def _legal_entity(company: Company) -> Record:
    # here the id is written as it was entered, in capitals
    identity = {"LegalEntityId": company.data_area.upper(), "Name": company.name}
    return {**identity, "PartyNumber": f"{company.number:09d}", "LanguageId": "en-US"}


def _product(company: Company, item: str, name: str) -> Record:
    product = {"dataAreaId": company.data_area, "ItemNumber": item, "ProductName": name, "SearchName": item}
    return {**product, "InventoryUnitSymbol": "ea", "ProductGroupId": "HEAT"}


def _format(name: str, kind: str, segments: Sequence[str]) -> Record:
    return {
        "DimensionFormatName": name,
        "FinancialDimensionFormat": "-".join(segments),
        "DimensionFormatType": kind,
        "IsActive": "Yes",
    }
