"""The datasets read from SAP, declared: entity set, key, business date, and the properties asked for.

Source: SAP Business Accelerator Hub, OP_API_MEASUREMENTDOCUMENT_0001 (OData V4).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SapDataset:
    """One entity set that is pulled by business day."""

    entity_set: str
    key: str
    """Property that identifies a record."""
    business_date: str
    """Property, an Edm.Date in the system's zone, that says which day a record belongs to."""
    select: tuple[str, ...]


DATASETS = {
    "energy_consumption": SapDataset(
        entity_set="MeasurementDocument",
        key="MeasurementDocument",
        business_date="MsmtRdngDate",
        select=(
            "MeasurementDocument",
            "MeasuringPoint",
            "MsmtRdngDate",
            "MsmtRdngTime",
            "Characteristic",
            "CharcValueUnit",
            "MeasurementReadingInEntryUoM",
            "MeasurementReadingEntryUoM",
            "MeasurementCounterReading",
            "MsmtCounterReadingDifference",
            "MsmtCntrReadingDiffIsEntered",
            "MsmtValuationCode",
            "MeasurementDocumentText",
            "MsmtRdngStatus",
            "MsmtRdngIsReversed",
        ),
    )
}
"""Dataset name -> where it is in SAP."""
