"""Configuration of a Modbus source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, Fingerprints, StrictModel
from resources.scada.config import SourceOptions
from resources.scada.modbus.tags import AddressRange, ModbusTag

Transport = Literal["tcp", "tls", "rtu_over_tcp", "rtu"]

BITS_PER_REGISTER = 16
"""Of coils and discrete inputs a device gives this many times as many as of registers (2000 and 125)."""

_SERIAL_UNITS = range(1, 248)


class UnitOptions(StrictModel):
    """What is different for one unit; what is absent is as the source has it."""

    timeout: Duration | None = None
    """Longest wait for one answer of this unit."""
    max_registers: int | None = Field(None, ge=1, le=125)
    """Most registers this unit gives in one request."""
    max_gap: int | None = Field(None, ge=0, le=125)
    """Unused registers of this unit that may be read to save a request."""
    forbidden_addresses: tuple[AddressRange, ...] | None = None
    """Registers of this unit that must never be read."""


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """What holds for one unit."""

    timeout_s: float
    max_registers: int
    max_gap: int
    forbidden: tuple[AddressRange, ...]

    def forbidden_in(self, table: str) -> list[tuple[int, int]]:
        """Return the stretches (half-open) of a table that must not be read."""
        return [(r.first, r.last + 1) for r in self.forbidden if r.table == table]


class ModbusConfig(SourceOptions):
    """One Modbus server or line, the unit or units behind it, and the registers polled from them."""

    can_discover: ClassVar[bool] = False

    kind: Literal["modbus"]
    transport: Transport | None = None
    """tcp (the default), tls, rtu_over_tcp (RTU frames in a socket, as simple gateways have it), or rtu (a serial
    line)."""
    host: str | None = Field(None, min_length=1)
    """Host name or address; not on a serial line."""
    port: int = Field(502, ge=1, le=65535)
    """502 plain, 802 with `transport: tls`."""
    unit_id: int = Field(1, ge=0, le=255)
    """Unit behind the server, where a tag names no other."""
    units: dict[Annotated[int, Field(ge=0, le=255)], UnitOptions] = Field(default_factory=dict)
    """unit_id -> what is different for that unit, where several stand behind one gateway or on one line."""
    serial_port: str | None = Field(None, min_length=1)
    """Device of the serial line."""
    baudrate: int = Field(19_200, ge=300, le=4_000_000)
    """Bits per second of the serial line."""
    parity: Literal["even", "odd", "none"] = "even"
    """Parity of the serial line; the standard wants even, and two stop bits where there is none."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of the serial line."""
    tls: bool = False
    """True is the older way to write `transport: tls`; the port then is 502 unless set."""
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
    """Time between two polls, on a fixed grid; a tag may have its own."""
    timeout: Duration = timedelta(seconds=3)
    """Longest wait for one answer."""
    connect_timeout: Duration = timedelta(seconds=3)
    """Longest time for a connection attempt."""
    retries: int | None = Field(None, ge=0, le=5)
    """How often a request is sent again that got no answer in time, before the unit counts as silent; if absent once on
    a serial line and RTU over TCP, where noise takes an answer now and then, and never on TCP and TLS."""
    max_registers: int = Field(125, ge=1, le=125)
    """Most registers the device gives in one request; of coils and discrete inputs 16 times as many."""
    max_gap: int = Field(8, ge=0, le=125)
    """Unused registers that may be read between two tags to save a request."""
    forbidden_addresses: tuple[AddressRange, ...] = ()
    """Registers that must never be read, not even on the way to others."""
    retry_bad_items_after: Duration = timedelta(seconds=60)
    """A tag that the device refuses for good (illegal address, function, value) is asked for again after this long."""
    retry_silent_units_within: Duration = timedelta(seconds=30)
    """A unit that does not answer while others do is asked again after 1 s, then 2 s, 4 s ... and at most this long."""
    tags: tuple[ModbusTag, ...] = ()
    """The values."""

    @model_validator(mode="before")
    @classmethod
    def _transport_has_its_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        if values.get("transport") == "tls":
            return {"port": 802, **values}
        if values.get("transport") == "rtu":
            # a line has no port that could be looked at, and an attempt costs nobody anything
            return {"circuit_breaker": {"recovery": "5s"}, **values}
        return values

    @model_validator(mode="after")
    def _transport_is_complete(self) -> Self:
        if self.tls and self.transport not in (None, "tls"):
            raise ValueError(f"tls: true and transport: {self.transport} contradict each other")
        if self.medium == "tls" and not self.ca_certificate:
            raise ValueError("tls needs ca_certificate")
        if self.medium != "tls" and self.pinned_sha256:
            raise ValueError("pinned_sha256 needs tls: true or transport: tls")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        if self.medium == "rtu":
            if self.serial_port is None or self.host is not None or self.other_endpoints:
                raise ValueError("transport rtu needs serial_port, and has no host and no other_endpoints")
        elif self.host is None or self.serial_port is not None:
            raise ValueError(f"transport {self.medium} needs host, and has no serial_port")
        return self

    @model_validator(mode="after")
    def _units_can_be_asked(self) -> Self:
        used = {self.unit_of(tag) for tag in self.tags}
        if stray := sorted(set(self.units) - used):
            raise ValueError(f"units: no tag is of unit {', '.join(map(str, stray))}: leave it out, or set unit_id")
        if self.has_line and (odd := sorted(used - set(_SERIAL_UNITS))):
            raise ValueError(f"unit_id {odd[0]} cannot be asked by RTU: there units are 1 to 247, and 0 never answers")
        return self

    @model_validator(mode="after")
    def _tags_can_be_read(self) -> Self:
        times = (self.poll_interval, self.timeout, *(u.timeout for u in self.units.values() if u.timeout is not None))
        if min(*times, self.retry_silent_units_within) <= timedelta(0):
            raise ValueError("poll_interval, timeout and retry_silent_units_within must be longer than 0s")
        for tag in self.tags:
            limits = self.limits(self.unit_of(tag))
            first, end = tag.spans[0]
            if end - first > limits.max_registers * (BITS_PER_REGISTER if tag.data_type == "bool" else 1):
                raise ValueError(
                    f"tag {tag.sensor_id}: its registers {first} to {end - 1} do not fit into one request of "
                    f"max_registers {limits.max_registers}; a value and its time_register are read together"
                )
            for start, stop in limits.forbidden_in(tag.where):
                if any(first < stop and start < end for first, end in tag.spans):
                    raise ValueError(
                        f"tag {tag.sensor_id}: reading it would read the forbidden_addresses {start} to {stop - 1}"
                    )
        return self

    @property
    def medium(self) -> Transport:
        """The transport in force."""
        return self.transport or ("tls" if self.tls else "tcp")

    @property
    def has_line(self) -> bool:
        """True where requests go in RTU frames."""
        return self.medium in ("rtu", "rtu_over_tcp")

    @property
    def attempts(self) -> int:
        """How often a request is sent before its unit counts as silent."""
        return 1 + (self.retries if self.retries is not None else int(self.has_line))

    def unit_of(self, tag: ModbusTag) -> int:
        """Return the unit a tag is of."""
        return self.unit_id if tag.unit_id is None else tag.unit_id

    def interval_of(self, tag: ModbusTag) -> timedelta:
        """Return the time between two polls of a tag."""
        return tag.poll_interval or self.poll_interval

    def limits(self, unit_id: int) -> UnitLimits:
        """Return what holds for a unit."""
        own = self.units.get(unit_id, UnitOptions())
        return UnitLimits(
            timeout_s=(own.timeout or self.timeout).total_seconds(),
            max_registers=own.max_registers or self.max_registers,
            max_gap=self.max_gap if own.max_gap is None else own.max_gap,
            forbidden=self.forbidden_addresses if own.forbidden_addresses is None else own.forbidden_addresses,
        )
