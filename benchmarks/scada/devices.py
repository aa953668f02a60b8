"""Many devices in a process of their own: real Modbus and OPC UA servers, and MQTT publishers, that count upwards.

Every tag of a device shows the same number, one more each time, so that whoever reads it can tell what is missing.
`python -m benchmarks.scada.devices '{"kind": "modbus", "ports": [1502], "tags": 10}'` serves until its stdin ends, and
takes commands as JSON lines: `work`, `rest`, `stop` and `start` a device, `counts`, `dump`. `Fleet` is the other side.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import pickle
import random
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import structlog

from resources.core.clock import from_micros
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.demo_plant.servers.mqtt import Message, MqttEndpoint, MqttPublisher
from resources.embedded.ports import is_free

REPOSITORY = Path(__file__).resolve().parents[2]
"""Where the process of devices is started."""

NAMESPACE = "urn:gl:demo-plant"
"""Namespace of the OPC UA devices' nodes."""

_READY_S = 240.0
_STARTS = 3
_STUCK_S = 10.0
"""What has not left a device after this long without a change is kept by it for somebody who will not come."""
_MILLISECOND_US = 1_000


class Device(ABC):
    """One device; `times[n - 1]` is the source time of the number n, microseconds."""

    def __init__(self, tags: int) -> None:
        """Show a number on `tags` tags."""
        self.tags = tags
        self.times: list[int] = []

    @abstractmethod
    async def start(self) -> None:
        """Take connections."""

    @abstractmethod
    async def stop(self) -> None:
        """Drop every connection and take no more."""

    @abstractmethod
    async def step(self) -> None:
        """Count one further."""

    def pending(self) -> int:
        """Return how many numbers have not left the device."""
        return 0

    def sessions(self) -> int:
        """Return how many clients are connected."""
        return 0

    def next_time(self) -> int:
        """Return a source time of whole milliseconds, later than the last."""
        now = time.time_ns() // 1_000_000 * _MILLISECOND_US
        return max(now, self.times[-1] + _MILLISECOND_US) if self.times else now


class ModbusDevice(Device):
    """Counts one further with every poll: a poll begins at register 0."""

    def __init__(self, port: int, tags: int) -> None:
        """Serve `tags` uint32 from register 0 on."""
        super().__init__(tags)
        registers = [Register("holding_register", 2 * n, "uint32") for n in range(tags)]
        self._server = ModbusServer(ModbusEndpoint("127.0.0.1", port), registers, on_read=self._polled)

    def _polled(self, _table: str, address: int, _count: int) -> None:
        if address == 0:
            self.times.append(self.next_time())
            for column in range(self.tags):
                self._server.set(column, float(len(self.times)))

    async def start(self) -> None:
        """Take connections."""
        await self._server.start()

    async def stop(self) -> None:
        """Drop every connection and take no more."""
        await self._server.stop()

    async def step(self) -> None:
        """Wait to be polled."""


class OpcUaDevice(Device):
    """Writes all its nodes at every step."""

    def __init__(self, port: int, tags: int) -> None:
        """Serve `tags` nodes `n0`, `n1` and so on."""
        from resources.demo_plant.servers.opc_ua import OpcUaEndpoint, OpcUaNode, OpcUaServer

        super().__init__(tags)
        self._server = OpcUaServer(OpcUaEndpoint("127.0.0.1", port), [OpcUaNode(f"n{n}") for n in range(tags)])

    async def start(self) -> None:
        """Take connections."""
        await self._server.start()

    async def stop(self) -> None:
        """Drop every connection and take no more."""
        await self._server.stop()

    async def step(self) -> None:
        """Count one further."""
        self.times.append(self.next_time())
        for column in range(self.tags):
            await self._server.write(column, float(len(self.times)), self.times[-1])

    def pending(self) -> int:
        """Return how many values the server has not handed to a connected client, or not had acknowledged."""
        return self._server.pending()


class MqttDevice(Device):
    """Publishes one message with all its tags at every step, through a client that all devices of a process share."""

    def __init__(self, name: str, tags: int, publish: Callable[[Message], None]) -> None:
        """Publish on `plant/<name>`."""
        super().__init__(tags)
        self._topic, self._publish = f"plant/{name}", publish

    async def start(self) -> None:
        """Nothing to do: the client is there."""

    async def stop(self) -> None:
        """Nothing to do: a device that publishes does not listen."""

    async def step(self) -> None:
        """Count one further."""
        self.times.append(self.next_time())
        number, at = float(len(self.times)), self.times[-1]
        values: dict[str, Any] = {f"v{n}": number for n in range(self.tags)}
        payload = json.dumps(values | {"time": from_micros(at).isoformat()})
        self._publish(Message(self._topic, payload.encode(), at))


def share_address_space() -> None:
    """Let all OPC UA servers of this process copy OPC UA's own nodes from the first: making them takes much longer."""
    from asyncua.server.internal_server import InternalServer

    made: list[bytes] = []
    internal_server: Any = InternalServer
    load = internal_server.load_standard_address_space

    async def load_or_copy(server: Any, shelf_file: Path | None = None) -> None:
        if made:
            server.aspace._nodes = pickle.loads(made[0])  # noqa: S301  # what this process has pickled
            return
        await load(server, shelf_file)
        made.append(pickle.dumps(server.aspace._nodes, pickle.HIGHEST_PROTOCOL))

    internal_server.load_standard_address_space = load_or_copy


class Host:
    """The devices of this process, and the commands they obey."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Make what `order` asks for."""
        self._interval_s = float(order.get("interval_s", 1.0))
        self._publisher: MqttPublisher | None = None
        self._working: list[asyncio.Task[None]] = []
        self._acknowledged = 0
        tags = int(order["tags"])
        if order["kind"] == "mqtt":
            endpoint = MqttEndpoint("127.0.0.1", order["broker"], f"devices-{order['names'][0]}")
            self._publisher = MqttPublisher(endpoint, self._sent)
            self.devices: list[Device] = [MqttDevice(name, tags, self._publisher.publish) for name in order["names"]]
        else:
            make: Callable[[int, int], Device] = ModbusDevice if order["kind"] == "modbus" else OpcUaDevice
            self.devices = [make(port, tags) for port in order["ports"]]

    def _sent(self, _message: Message, _heard: bool) -> None:
        self._acknowledged += 1

    async def start(self) -> None:
        """Let every device take connections."""
        if self._publisher is not None:
            self._publisher.start()
        for device in self.devices:
            await device.start()

    async def stop(self) -> None:
        """End everything."""
        await self.rest()
        for device in self.devices:
            await device.stop()
        if self._publisher is not None:
            await self._publisher.stop()

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says; return the answer."""
        match command["do"]:
            case "work":
                self._work()
            case "rest":
                await self.rest()
            case "stop":
                await self.devices[command["device"]].stop()
            case "start":
                await self.devices[command["device"]].start()
            case "dump":
                await asyncio.to_thread(self._dump, Path(command["path"]))
        pending = sum(device.pending() for device in self.devices)
        pending += self._publisher.pending() if self._publisher is not None else 0
        return {"counts": [len(device.times) for device in self.devices], "pending": pending}

    def _dump(self, path: Path) -> None:
        path.write_text(json.dumps([device.times for device in self.devices]))

    def _work(self) -> None:
        self._working = [
            asyncio.create_task(self._step_forever(device, number / len(self.devices)))
            for number, device in enumerate(self.devices)
        ]

    async def _step_forever(self, device: Device, phase: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + phase * self._interval_s
        while True:
            await asyncio.sleep(due - loop.time())
            await device.step()
            due += self._interval_s

    async def rest(self) -> None:
        """Count no further."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self._working = []


async def serve(order: dict[str, Any]) -> None:
    """Serve until stdin ends."""
    host, loop = Host(order), asyncio.get_running_loop()
    # the collector of garbage would look through hundreds of thousands of nodes again and again
    gc.disable()
    await host.start()
    gc.freeze()
    gc.enable()
    say({"ready": True})
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        say(await host.obey(json.loads(line)))
    await host.stop()


def say(answer: dict[str, Any]) -> None:
    """Write one line to whoever started this process."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


_HANDED_OUT: set[int] = set()


def device_ports(count: int) -> list[int]:
    """Return free ports below those that the system gives to clients: a device keeps its port while it is away."""
    found: list[int] = []
    for port in random.sample(range(12_000, 32_000), 20_000):
        if port not in _HANDED_OUT and is_free(port):
            found.append(port)
            _HANDED_OUT.add(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


class Fleet:
    """A process of devices, seen from outside."""

    def __init__(self, kind: str, count: int, *, tags: int, interval_s: float = 1.0, broker_port: int = 0) -> None:
        """Prepare `count` devices of one protocol; `start` starts them."""
        self.kind, self.count, self.tags, self.interval_s = kind, count, tags, interval_s
        self.names = [f"{kind}{n:03d}" for n in range(count)]
        self.ports = device_ports(count) if kind != "mqtt" else [broker_port] * count
        self._broker_port = broker_port
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> Self:
        """Start the process; returns once its devices take connections."""
        for left in range(_STARTS - 1, -1, -1):
            try:
                await self._start()
            except RuntimeError:
                await self.stop()
                # somebody else has taken one of the ports meanwhile
                if not left or self.kind == "mqtt":
                    raise
                self.ports = device_ports(self.count)
            else:
                break
        return self

    async def _start(self) -> None:
        order = {
            "kind": self.kind, "tags": self.tags, "interval_s": self.interval_s, "ports": self.ports,
            "names": self.names, "broker": self._broker_port,
        }  # fmt: skip
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.scada.devices",
            json.dumps(order),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=REPOSITORY,
            limit=1 << 22,
        )
        await self._answer()

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Give a command; return the answer."""
        async with self._turn:
            process = self._running
            assert process.stdin is not None
            process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            return await self._answer()

    async def drained(self) -> list[int]:
        """Wait until everything counted has left the devices, or no more leaves; return how far each has counted."""
        loop = asyncio.get_running_loop()
        answer, changed = await self.ask("counts"), loop.time()
        while answer["pending"] and loop.time() - changed < _STUCK_S:
            await asyncio.sleep(0.2)
            before, answer = answer["pending"], await self.ask("counts")
            changed = changed if answer["pending"] == before else loop.time()
        counts: list[int] = answer["counts"]
        return counts

    async def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the devices are not started")
        return self._process

    async def _answer(self) -> dict[str, Any]:
        out = self._running.stdout
        assert out is not None
        async with asyncio.timeout(_READY_S):
            line = await out.readline()
        if not line:
            raise RuntimeError(f"the process of {self.kind} devices has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    # -- how to read them ----------------------------------------------------------------------------------------

    def source(self, number: int, *, port: int | None = None, **options: Any) -> dict[str, Any]:
        """Return the configuration of the source that reads one device, through `port` if it is given."""
        name, at = self.names[number], port or self.ports[number]
        if self.kind == "modbus":
            tags = [
                {"sensor_id": f"{name}.{n}", "unit": "1", "address": 2 * n, "data_type": "uint32"}
                for n in range(self.tags)
            ]
            return {
                "kind": "modbus", "host": "127.0.0.1", "port": at, "poll_interval": f"{self.interval_s}s",
                "tags": tags, **options,
            }  # fmt: skip
        if self.kind == "opc_ua":
            nodes = [
                {"sensor_id": f"{name}.{n}", "unit": "1", "node_id": f"nsu={NAMESPACE};s=n{n}"}
                for n in range(self.tags)
            ]
            url = f"opc.tcp://127.0.0.1:{at}/gl-demo-plant"
            return {"kind": "opc_ua", "endpoint_url": url, "insecure_no_security": True, "tags": nodes, **options}
        values = [
            {"sensor_id": f"{name}.{n}", "unit": "1", "topic": f"plant/{name}", "value_path": f"v{n}"}
            for n in range(self.tags)
        ]
        broker = {"host": "127.0.0.1", "port": at, "tls": False, "insecure_plain_tcp": True}
        return {
            "kind": "mqtt", "broker": broker, "client_id": f"collector-{name}", "topic_filters": [f"plant/{name}"],
            "tags": values, **options,
        }  # fmt: skip


def sources(fleets: Sequence[Fleet], **options: Any) -> dict[str, dict[str, Any]]:
    """Return the configuration of the sources that read all devices of some fleets."""
    return {name: fleet.source(n, **options) for fleet in fleets for n, name in enumerate(fleet.names)}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _order = json.loads(sys.argv[1])
    if _order["kind"] == "opc_ua":
        share_address_space()
    asyncio.run(serve(_order))
