"""A Modbus server of measured values, plain TCP or TLS: pymodbus behind the few calls that the plant needs."""

from __future__ import annotations

import asyncio
import math
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from resources.demo_plant.servers.ports import require_free

log = structlog.get_logger(__name__)

Table = Literal["coil", "discrete_input", "holding_register", "input_register"]

_TABLES: dict[int, Table] = {1: "coil", 2: "discrete_input", 3: "holding_register", 4: "input_register"}
_FORMATS = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d"}
_SIZE = 512


@dataclass(frozen=True)
class Register:
    """Where one value lies; a bool is a bit of a coil or discrete input, the others are registers."""

    table: Table
    address: int
    data_type: str
    scale: float = 1.0
    word_order: Literal["big", "little"] = "big"

    @property
    def length(self) -> int:
        """Registers the value takes."""
        return 1 if self.data_type == "bool" else struct.calcsize(f">{_FORMATS[self.data_type]}") // 2

    def encode(self, value: float) -> list[int]:
        """Return the registers of an engineering value; an integer register takes the nearest step.

        Example: 21.5 as int16 with scale 0.1 is `[0x00D7]`; 1.0 as float32, little word order, `[0x0000, 0x3F80]`.
        """
        raw = value if self.scale == 1.0 else value / self.scale
        number = raw if self.data_type.startswith("float") else round(raw)
        packed = struct.pack(f">{_FORMATS[self.data_type]}", number)
        words = list(struct.unpack(f">{len(packed) // 2}H", packed))
        return words if self.word_order == "big" else words[::-1]

    def as_read(self, value: float) -> float:
        """Return the engineering value that a client reads after `value` was encoded."""
        if self.data_type == "bool":
            return float(bool(value))
        words = self.encode(value)
        packed = struct.pack(f">{len(words)}H", *(words if self.word_order == "big" else words[::-1]))
        (raw,) = struct.unpack(f">{_FORMATS[self.data_type]}", packed)
        return float(raw) * self.scale


@dataclass(frozen=True)
class ModbusEndpoint:
    """Where the server listens; with a certificate it talks TLS and wants a certificate of the same CA."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def tls(self) -> ssl.SSLContext | None:
        """Return the server's TLS context, None for plain TCP."""
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.authority is not None:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class ModbusServer:
    """Serves `registers` of unit 1, read only.

    `on_read(table, address, count)` is called before a request is served, and may `set` values; `on_connect()` when a
    client has connected or gone.
    """

    def __init__(
        self,
        endpoint: ModbusEndpoint,
        registers: Sequence[Register],
        *,
        on_read: Callable[[Table, int, int], None] | None = None,
        on_connect: Callable[[], None] | None = None,
    ) -> None:
        """Take what to serve; `start` opens the port."""
        self.endpoint = endpoint
        self.registers = tuple(registers)
        self.requests = 0
        self.exceptions = 0
        self.poisoned = 0
        self._fail_next = 0
        self._poison: dict[int, int] = {}
        self._on_read = on_read
        self._on_connect = on_connect
        self._image: dict[Table, list[int]] = {table: [0] * _SIZE for table in _TABLES.values()}
        self._server: ModbusTcpServer | None = None

    def set(self, column: int, value: float) -> None:
        """Put an engineering value into its registers."""
        register = self.registers[column]
        image = self._image[register.table]
        if register.data_type == "bool":
            word, bit = divmod(register.address, 16)
            image[word] = image[word] & ~(1 << bit) | (bool(value) << bit)
        else:
            image[register.address : register.address + register.length] = register.encode(value)

    def fail_next(self, requests: int) -> None:
        """Answer that many requests with exception 4 (server device failure)."""
        self._fail_next += requests

    def poison_next(self, readings: int) -> int:
        """Let that many floats be read as NaN, each once, in the order of the registers; return how many will be."""
        floats = [column for column, r in enumerate(self.registers) if r.data_type.startswith("float")]
        if not floats:
            return 0
        for number in range(readings):
            column = floats[number % len(floats)]
            self._poison[column] = self._poison.get(column, 0) + 1
        return readings

    async def start(self) -> None:
        """Listen.

        Raises:
            UnreachableError: The port is taken.
        """
        context = self.endpoint.tls()
        address = (self.endpoint.host, self.endpoint.port)
        require_free(*address, "Modbus")
        device = self._device()
        if context is None:
            self._server = ModbusTcpServer(device, address=address, trace_connect=self._connected)
        else:
            # the TLS framer takes whatever one read gave for one frame; the bytes on the wire are the same
            self._server = ModbusTlsServer(
                device, address=address, sslctx=context, framer=FramerType.SOCKET, trace_connect=self._connected
            )
        await self._server.serve_forever(background=True)
        log.info("modbus_server_started", host=address[0], port=address[1], tls=context is not None)

    def _device(self) -> SimDevice:
        def words() -> SimData:
            return SimData(0, values=[0] * _SIZE, datatype=DataType.REGISTERS, readonly=True)

        def bits() -> SimData:
            return SimData(0, values=[False] * (_SIZE * 16), datatype=DataType.BITS, readonly=True)

        return SimDevice(1, simdata=([bits()], [bits()], [words()], [words()]), action=self._serve)

    async def _serve(
        self,
        function_code: int,
        _start: int,
        address: int,
        count: int,
        current: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        table = _TABLES.get(function_code)
        if table is None or written is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        self.requests += 1
        if self._fail_next:
            self._fail_next -= 1
            self.exceptions += 1
            return ExcCodes.DEVICE_FAILURE
        if self._on_read is not None:
            self._on_read(table, address, count)
        current[:_SIZE] = self._image[table]
        self._apply_poison(table, address, count, current)
        return None

    def _apply_poison(self, table: Table, address: int, count: int, current: list[int]) -> None:
        for column in [c for c, left in self._poison.items() if left]:
            register = self.registers[column]
            if register.table != table or not address <= register.address <= address + count - register.length:
                continue
            current[register.address : register.address + register.length] = register.encode(math.nan)
            self._poison[column] -= 1
            self.poisoned += 1

    def _connected(self, _is_connected: bool) -> None:
        if self._on_connect is not None:
            self._on_connect()

    def drop_connections(self) -> int:
        """Cut every client's connection; return how many there were."""
        connections = [] if self._server is None else list(self._server.active_connections.values())
        for connection in connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()
        return len(connections)

    async def stop(self) -> None:
        """Close the port and every connection; the values stay for the next `start`."""
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()  # type: ignore[no-untyped-call]
