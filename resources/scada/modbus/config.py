"""Configuration of a Modbus source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from resources.core.settings import Duration, StrictModel, TagConfig

DataType = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool"]


class ModbusTag(TagConfig):
    """One value in the registers of a unit."""

    table: Literal["holding_register", "input_register", "coil", "discrete_input"] = "holding_register"
    """Which of the four tables."""
    address: int = Field(ge=0, le=65535)
    """Zero-based, as on the wire."""
    data_type: DataType = "float32"
    """`bool` for coils and discrete inputs."""
    byte_order: Literal["big", "little"] = "big"
    """Order of the two bytes in a register."""
    word_order: Literal["big", "little"] = "big"
    """Order of the registers of one value."""
    time_register: int | None = Field(None, ge=0, le=65535)
    """Address, in the same table, of the device's own time for this value: uint64, microseconds since 1970 UTC, in the
    tag's byte and word order. It is read in the same request as the value, and then is the source time."""


class ModbusConfig(StrictModel):
    """One Modbus TCP or TLS server, one unit, and the registers polled from it."""

    kind: Literal["modbus"]
    host: str = Field(min_length=1)
    """Host name or address."""
    port: int = Field(502, ge=1, le=65535)
    """502 plain, 802 TLS."""
    unit_id: int = Field(1, ge=0, le=255)
    """Unit behind the server."""
    tls: bool = False
    """Modbus/TCP Security: TLS with the certificates below."""
    ca_certificate: Path | None = None
    """CA that signed the server's certificate."""
    client_certificate: Path | None = None
    """PEM client certificate."""
    client_key: Path | None = None
    """PEM private key of the client certificate."""
    poll_interval: Duration = timedelta(seconds=1)
    """Time between two polls of everything, on a fixed grid."""
    timeout: Duration = timedelta(seconds=3)
    """Longest wait for one answer, and for a connection."""
    max_registers: int = Field(125, ge=1, le=125)
    """Most registers the device gives in one request."""
    max_gap: int = Field(8, ge=0, le=125)
    """Unused registers that may be read between two tags to save a request."""
    tags: tuple[ModbusTag, ...] = Field(min_length=1)
    """The values."""

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if self.tls and not self.ca_certificate:
            raise ValueError("tls needs ca_certificate")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        for tag in self.tags:
            if (tag.data_type == "bool") != (tag.table in ("coil", "discrete_input")):
                raise ValueError(
                    f"tag {tag.sensor_id}: data_type bool goes with coil and discrete_input, and only with them"
                )
        return self
