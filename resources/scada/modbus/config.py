"""Configuration of a Modbus source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from resources.core.settings import Duration, Fingerprints, TagConfig
from resources.scada.config import SourceOptions

DataType = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool"]

WORDS: dict[str, int] = {
    "bool": 1,
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
}
"""Data type -> registers (or coils) it takes."""

TIME_WORDS = 4
"""Registers of a device's own time."""


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

    @property
    def first(self) -> int:
        """First address that must be read in one request for this tag."""
        return self.address if self.time_register is None else min(self.address, self.time_register)

    @property
    def end(self) -> int:
        """The address after the last one."""
        end = self.address + WORDS[self.data_type]
        return end if self.time_register is None else max(end, self.time_register + TIME_WORDS)


class ModbusConfig(SourceOptions):
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
    allow_tls_1_2: bool = False
    """True also accepts TLS 1.2, the least that Modbus/TCP Security asks for; 1.3 is the minimum otherwise."""
    pinned_sha256: Fingerprints = ()
    """SHA-256 fingerprints of which the server's certificate must have one, besides being verified; any if absent."""
    poll_interval: Duration = timedelta(seconds=1)
    """Time between two polls of everything, on a fixed grid."""
    timeout: Duration = timedelta(seconds=3)
    """Longest wait for one answer."""
    connect_timeout: Duration = timedelta(seconds=3)
    """Longest time for a connection attempt."""
    max_registers: int = Field(125, ge=1, le=125)
    """Most registers the device gives in one request; of coils and discrete inputs 16 times as many."""
    max_gap: int = Field(8, ge=0, le=125)
    """Unused registers that may be read between two tags to save a request."""
    retry_bad_items_after: Duration = timedelta(seconds=60)
    """A tag that the device refuses for good (illegal address, function, value) is asked for again after this long."""
    tags: tuple[ModbusTag, ...] = Field(min_length=1)
    """The values."""

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if self.tls and not self.ca_certificate:
            raise ValueError("tls needs ca_certificate")
        if not self.tls and self.pinned_sha256:
            raise ValueError("pinned_sha256 needs tls: true")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        return self

    @model_validator(mode="after")
    def _tags_can_be_read(self) -> Self:
        if self.poll_interval <= timedelta(0) or self.timeout <= timedelta(0):
            raise ValueError("poll_interval and timeout must be longer than 0s")
        for tag in self.tags:
            bits = tag.table in ("coil", "discrete_input")
            if (tag.data_type == "bool") != bits:
                raise ValueError(
                    f"tag {tag.sensor_id}: data_type bool goes with coil and discrete_input, and only with them"
                )
            if bits and tag.time_register is not None:
                raise ValueError(f"tag {tag.sensor_id}: a {tag.table} has no time_register")
            if tag.end > 65_536:
                raise ValueError(f"tag {tag.sensor_id}: its registers end at {tag.end - 1}, beyond 65535")
            if tag.end - tag.first > self.max_registers:
                raise ValueError(
                    f"tag {tag.sensor_id}: its registers {tag.first} to {tag.end - 1} do not fit into one request of "
                    f"max_registers {self.max_registers}; a value and its time_register are read together"
                )
        return self
