"""Configuration of a SAP S/4HANA system."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from resources.core.settings import Duration, StrictModel
from resources.transport.config import HttpConfig, OAuthConfig


class SapMeter(StrictModel):
    """What the ERP does not say of a measuring point: which energy it counts and where."""

    energy_type: str
    """electricity, natural_gas, steam, ..."""
    plant_code: str
    """Plant the meter stands in."""
    location_code: str | None = None
    """Functional location."""
    cost_center: str | None = None
    """Cost center charged."""


class SapConfig(StrictModel):
    """One SAP S/4HANA system, read by OData V4."""

    kind: Literal["sap"]
    http: HttpConfig
    """Where."""
    oauth: OAuthConfig
    """Who."""
    sap_client: str = Field("100", pattern=r"^\d{3}$")
    """SAP client (`sap-client`)."""
    company: str = Field(min_length=1)
    """Company code written into every record."""
    time_zone: str = "UTC"
    """Zone of the system's business days and of its dates without zone, an IANA name."""
    datasets: tuple[Literal["energy_consumption"], ...] = ("energy_consumption",)
    """What is pulled."""
    overlap: Duration = timedelta(days=3)
    """The daily schedule pulls this far back again, for late entries."""
    meters: dict[str, SapMeter] = {}
    """Measuring point -> what it measures; a document of another point is kept with energy_type `unknown`."""

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {value!r}: write an IANA name such as Europe/Berlin") from error
        return value
