"""Configuration of a SAP S/4HANA system."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from resources.erp.config import SystemConfig


class SapConfig(SystemConfig):
    """One SAP S/4HANA system, read by OData V4."""

    pulled_by_default: ClassVar[tuple[str, ...] | None] = ("energy_consumption",)

    kind: Literal["sap"]
    """Kind of the system."""
    sap_client: str = Field("100", pattern=r"^\d{3}$")
    """SAP client (`sap-client`)."""
    service_root: str | None = Field(None, pattern=r"^/[^\s?#]+$")
    """Path of the measurement document service, for a release or a gateway that has it elsewhere: the same as
    `datasets.energy_consumption.service`, which is the place for other datasets."""
