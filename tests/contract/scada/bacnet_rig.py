"""The rig of BACnet/IP: a real device on loopback behind a relay of datagrams. It has no login, and no times of its own."""

import asyncio
import itertools
from typing import Any

from bacpypes3.primitivedata import Real

from resources.core.tags import SensorCatalog
from resources.scada.bacnet.client import BacnetClient
from resources.scada.bacnet.config import BacnetConfig
from tests.contract.scada.recorder import Recorder
from tests.contract.scada.rigs import Rig, Surroundings
from tests.unit.resources.scada.bacnet.plant import BacnetPlant

_instances = itertools.count(2001)


class _Way(asyncio.DatagramProtocol):
    def __init__(self, relay: "DatagramRelay", client: Any = None) -> None:
        self.relay, self.client = relay, client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.client is None:
            self.relay.from_client(data, addr)
        elif not self.relay.deaf and self.relay.front is not None:
            self.relay.front.transport.sendto(data, self.client)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there at the moment: the datagram is lost, as on any network."""


class DatagramRelay:
    """Relays datagrams to a device as `CuttableProxy` does streams; each client has a socket of its own there."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._ways: dict[Any, _Way] = {}
        self._waiting: dict[Any, list[bytes]] = {}
        self.front: _Way | None = None
        self.port = 0
        self.deaf = False

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        transport, self.front = await loop.create_datagram_endpoint(
            lambda: _Way(self), local_addr=("127.0.0.1", self.port)
        )
        self.port = transport.get_extra_info("sockname")[1]

    @property
    def connections(self) -> int:
        """None: a datagram knows no connection."""
        return 0

    def from_client(self, data: bytes, client: Any) -> None:
        if client in self._ways:
            self._ways[client].transport.sendto(data)
        elif client in self._waiting:
            self._waiting[client].append(data)
        else:
            self._waiting[client] = [data]
            self._opening = asyncio.ensure_future(self._open(client))

    async def _open(self, client: Any) -> None:
        _, way = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Way(self, client), remote_addr=self._target
        )
        self._ways[client] = way
        for data in self._waiting.pop(client):
            way.transport.sendto(data)

    def inject(self, data: bytes) -> None:
        for client in self._ways:
            assert self.front is not None
            self.front.transport.sendto(data, client)

    def cut(self) -> None:
        """Nothing to cut."""

    async def stop(self) -> None:
        for way in (*self._ways.values(), *([self.front] if self.front else [])):
            way.transport.close()
        self._ways.clear()
        self.front = None
        await asyncio.sleep(0)


class BacnetRig(Rig):
    kind = "bacnet"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.plant = BacnetPlant(instance=next(_instances))
        self.proxy: Any = DatagramRelay((self.plant.host, self.plant.port))

    async def start_server(self) -> None:
        await self.plant.start()

    async def stop_server(self) -> None:
        self.plant.stop()
        await asyncio.sleep(0)

    def config(self, **changes: Any) -> BacnetConfig:
        tags = self.tags(
            temperature={"object": "analog-input,1"},
            flow={"object": "analog-input,2"},
            bad={"object": "analog-input,99"},
        )
        return BacnetConfig.model_validate(
            self.plant.config(tags, endpoint=f"127.0.0.1:{self.proxy.port}", timeout="1s") | changes
        )

    def impatient(self) -> BacnetConfig:
        return self.config(timeout="300ms", retries=0)

    def wrong_login(self) -> BacnetConfig:
        raise NotImplementedError("BACnet/IP has no login")

    def writable(self, **bounds: Any) -> BacnetConfig:
        self.flow_bounds = {"minimum": 0, "maximum": 100, "max_step": 10} | bounds
        tags = self.tags(
            temperature={"object": "analog-input,1"},
            flow={"object": "analog-output,1"},
            bad={"object": "analog-input,99"},
        )
        return self.config(tags=tags)

    async def put(self, raw: float, time_us: int) -> None:
        self.plant.temperature.presentValue = raw
        self.plant.pressure.presentValue = raw

    async def show(self, raw: float) -> None:
        await self.plant.valve.write_property("presentValue", Real(raw), priority=16)

    def remove_temperature(self) -> None:
        self.plant.app.delete_object(self.plant.temperature)

    async def at_device(self) -> float:
        return float(self.plant.valve.presentValue)

    def seen(self, recorder: Recorder, sensor_id: str, time_us: int, value: float) -> bool:
        return any(row.sensor_id == sensor_id and row.value == value for row in recorder.rows())

    def build(self, config: Any, catalog: SensorCatalog) -> BacnetClient:
        return BacnetClient("rig", config, catalog)
