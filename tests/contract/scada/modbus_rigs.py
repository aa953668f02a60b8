"""Modbus servers of several units over every transport: TCP, RTU in a socket, and RTU on a pair of pseudo terminals."""

import asyncio
import os
import tty
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from resources.core.tags import Sensor, SensorCatalog
from resources.embedded.ports import free_port
from resources.scada.modbus.client import ModbusClient
from resources.scada.modbus.config import ModbusConfig
from tests.contract.scada.proxy import CuttableProxy
from tests.contract.scada.recorder import Recorder
from tests.contract.scada.rigs import ModbusRig

SIZE = 400
REGISTER_FUNCTIONS = (3, 4, 6, 16, 22, 23)


class SerialCable:
    """Two serial ports joined by a cable that a test can pull, make noisy or deaf; the kernel's terminals are real."""

    def __init__(self) -> None:
        self.deaf = False
        self.noise = b""
        self.ports: list[str] = []
        self._descriptors: list[int] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        ends = []
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            # the slave stays open, or the master is hung up while nobody has the port
            self._descriptors += [master, slave]
            self.ports.append(os.ttyname(slave))
            ends.append(master)
        loop.add_reader(ends[0], self._carry, ends[0], ends[1], False)
        loop.add_reader(ends[1], self._carry, ends[1], ends[0], True)

    def _carry(self, source: int, sink: int, is_answer: bool) -> None:
        data = os.read(source, 4096)
        if is_answer:
            data, self.noise = (b"" if self.deaf else self.noise + data), b""
        if data:
            os.write(sink, data)

    def pull(self) -> None:
        """The adapters are gone."""
        loop = asyncio.get_running_loop()
        descriptors, self._descriptors = self._descriptors, []
        for master in descriptors[::2]:
            loop.remove_reader(master)
        for descriptor in descriptors:
            os.close(descriptor)


@dataclass
class Unit:
    """What one unit holds, and how it misbehaves."""

    registers: list[int] = field(default_factory=lambda: [0] * SIZE)
    coils: list[bool] = field(default_factory=lambda: [False] * SIZE)
    refused: dict[int, ExcCodes] = field(default_factory=dict)
    unknown_functions: set[int] = field(default_factory=set)
    silent: bool = False
    busy: ExcCodes | None = None
    requests: list[tuple[int, int, int]] = field(default_factory=list)
    written: list[tuple[int, int, list[Any]]] = field(default_factory=list)

    def answer(self, function: int, address: int, count: int, new: Any) -> ExcCodes | None:
        """Note a request; return why it is refused, else carry it out."""
        if new is None:
            self.requests.append((function, address, count))
        else:
            self.written.append((function, address, list(new)))
        if self.busy is not None:
            return self.busy
        if function in self.unknown_functions:
            return ExcCodes.ILLEGAL_FUNCTION
        for place in range(address, address + count):
            if place in self.refused:
                return self.refused[place]
        if new is not None:
            table: list[Any] = self.registers if function in REGISTER_FUNCTIONS else self.coils
            table[address : address + len(new)] = new
        return None

    def show(self, function: int, place: int, address: int, count: int, current: list[Any]) -> None:
        """Put into the server's own memory what is to be read."""
        if function in REGISTER_FUNCTIONS:
            current[place : place + count] = self.registers[address : address + count]
            return
        for word in range(len(current)):
            bits = self.coils[16 * word : 16 * word + 16]
            current[word] = sum(1 << n for n, bit in enumerate(bits) if bit)


class UnitsRig(ABC):
    """Units 1 to 3 of one server."""

    transport: str

    def __init__(self, units: Sequence[int] = (1, 2, 3)) -> None:
        self.units = {number: Unit() for number in units}
        self.asked: Counter[int] = Counter()
        self.order: list[int] = []

    def _device(self, number: int) -> SimDevice:
        unit = self.units[number]

        async def answer(
            function: int, start: int, address: int, count: int, current: list[Any], new: Any
        ) -> ExcCodes | None:
            self.asked[number] += 1
            self.order.append(number)
            return unit.answer(function, address, count, new) or unit.show(
                function, address - start, address, count, current
            )

        def words() -> SimData:
            return SimData(0, values=[0] * SIZE, datatype=DataType.REGISTERS)

        def bits() -> SimData:
            return SimData(0, values=[False] * SIZE, datatype=DataType.BITS)

        return SimDevice(number, simdata=([bits()], [bits()], [words()], [words()]), action=answer)

    def _trace(self, sending: bool, packet: bytes) -> bytes:
        unit = self.units.get(packet[self._unit_at]) if sending else None
        return b"" if unit is not None and unit.silent else packet

    _unit_at = 0

    async def start(self) -> None:
        await self._listen([self._device(number) for number in self.units])

    @abstractmethod
    async def _listen(self, devices: list[SimDevice]) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def cut(self) -> None: ...

    @abstractmethod
    def place(self) -> dict[str, Any]:
        """Where it is, as the configuration says it."""

    def ready(self, *tags: dict[str, Any], **changes: Any) -> tuple[ModbusClient, Recorder]:
        made = [{"sensor_id": f"s{n}", "unit": "kW", "data_type": "uint16"} | tag for n, tag in enumerate(tags)]
        config = ModbusConfig.model_validate(
            {"kind": "modbus", "transport": self.transport, "poll_interval": "20ms", "timeout": "5s", "tags": made}
            | self.place()
            | changes
        )
        catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, "rig", tag.is_text) for tag in config.tags)
        return ModbusClient("rig", config, catalog), Recorder(catalog)


class TcpUnits(UnitsRig):
    transport = "tcp"
    framer = FramerType.SOCKET
    _unit_at = 6

    async def _listen(self, devices: list[SimDevice]) -> None:
        port = free_port()
        self.proxy = CuttableProxy(port)
        self.server = ModbusTcpServer(
            devices, address=("127.0.0.1", port), framer=self.framer, trace_packet=self._trace
        )
        await self.server.serve_forever(background=True)
        await self.proxy.start()

    async def stop(self) -> None:
        await self.proxy.stop()
        await self.server.shutdown()

    def cut(self) -> None:
        self.proxy.cut()

    def place(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.proxy.port}


class RtuOverTcpUnits(TcpUnits):
    transport = "rtu_over_tcp"
    framer = FramerType.RTU
    _unit_at = 0


class SerialUnits(UnitsRig):
    transport = "rtu"

    async def _listen(self, devices: list[SimDevice]) -> None:
        self.cable = SerialCable()
        self.cable.start()
        self.server = ModbusSerialServer(
            devices,
            port=self.cable.ports[1],
            baudrate=115_200,
            parity="N",
            stopbits=2,
            trace_packet=self._trace,
            ignore_missing_devices=True,
        )
        await self.server.serve_forever(background=True)

    async def stop(self) -> None:
        await self.server.shutdown()
        self.cable.pull()

    def cut(self) -> None:
        self.cable.pull()

    def place(self) -> dict[str, Any]:
        # a pseudo terminal has no parity
        return {"serial_port": self.cable.ports[0], "baudrate": 115_200, "parity": "none", "stop_bits": 2}


class ModbusRtuRig(ModbusRig):
    """The rig of the common contract, in RTU frames and without encryption."""

    tls = False

    async def start_server(self) -> None:
        self.client_pair = self.around.authority.issue("modbus-client")
        data = [SimData(0, count=200, values=0, datatype=DataType.REGISTERS)]
        device = SimDevice(1, simdata=data, action=self._answer)
        self.server = ModbusTcpServer(device, address=("127.0.0.1", self.server_port), framer=FramerType.RTU)
        await self.server.serve_forever(background=True)

    def config(self, **changes: Any) -> ModbusConfig:
        return super().config(**{"transport": "rtu_over_tcp", **changes})


RIGS: dict[str, type[UnitsRig]] = {rig.transport: rig for rig in (TcpUnits, RtuOverTcpUnits, SerialUnits)}
