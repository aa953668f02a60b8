"""Configuration of a SAP S/4HANA system."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from resources.core.settings import Duration, StrictModel, Unit
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
    reading: Literal["auto", "interval", "counter"] = "auto"
    """What the entered value is: `interval` the amount used, `counter` a meter reading whose difference is the amount;
    `auto` tells them apart by the document (README of this folder)."""
    interval: Duration | None = None
    """Time a document covers, up to its reading: gives period_start; unknown if absent."""


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
    """The daily schedule pulls this far back again, for late entries; whole days, parts are rounded up."""
    service_root: str = Field(
        "/sap/opu/odata4/sap/api_measurementdocument/srvd_a2x/sap/measurementdocument/0001", pattern=r"^/[^\s?#]+$"
    )
    """Path of the measurement document service, for a release or a gateway that has it elsewhere."""
    unit_codes: dict[str, Unit] = Field(default_factory=dict)
    """Unit code of the system (as `sap-language=EN` shows it) -> UCUM code, beyond the connector's own list."""
    meters: dict[str, SapMeter] = Field(default_factory=dict)
    """Measuring point -> what it measures; a document of another point is kept with energy_type `unknown`."""

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {value!r}: write an IANA name such as Europe/Berlin") from error
        return value

    @model_validator(mode="after")
    def _secrets_travel_encrypted(self) -> Self:
        if self.oauth.token_url.startswith("http://") and not self.http.insecure_plain_http:
            raise ValueError(
                "an http:// oauth.token_url needs http.insecure_plain_http: true: the secret would travel readable"
            )
        return self
