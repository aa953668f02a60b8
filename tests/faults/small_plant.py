"""A small plant of real servers (OPC UA, Modbus, MQTT), and the collector as a process of its own that reads it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import yaml
from prometheus_client.parser import text_string_to_metric_families

from resources.core.clock import to_micros
from resources.core.configuration.settings import load_yaml
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.demo_plant.servers.mqtt import Message, MqttEndpoint, MqttPublisher
from resources.demo_plant.servers.opc_ua import NAMESPACE_URI, OpcUaEndpoint, OpcUaNode, OpcUaServer
from resources.embedded.broker import EmbeddedBroker
from resources.embedded.ports import free_port
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import Gap, SourceCounts
from resources.window_buffer.reader import BufferReader
from tests.unit.sensors.collector.bench import until

__all__ = ["CollectorProcess", "SmallPlant", "until"]

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = "testsite"


def now_us() -> int:
    return to_micros(datetime.now(UTC))


class SmallPlant:
    """One counter per protocol: every value is one more than the one before, so that a lost one shows."""

    def __init__(
        self, folder: Path, broker: EmbeddedBroker, *, window: str = "1h", sources: str = "opc_ua modbus mqtt"
    ) -> None:
        self.home = folder / "gl"
        self.home.mkdir(parents=True)
        self.broker = broker
        self.opc_ua = OpcUaServer(OpcUaEndpoint("127.0.0.1", free_port()), [OpcUaNode("opc.count")])
        self.modbus = ModbusServer(
            ModbusEndpoint("127.0.0.1", free_port()),
            [Register("holding_register", 0, "uint32")],
            on_read=self._next_register,
        )
        self.published: dict[int, float] = {}
        """Source time -> value of every message that the broker has taken."""
        self._values: dict[int, float] = {}
        self.publisher = MqttPublisher(MqttEndpoint(broker.host, broker.port, "device-1"), self._sent)
        self.polled = 0
        self.written: dict[int, float] = {}
        """Source time -> value of every value the OPC UA node has had."""
        self._names = sources.split()
        self._window = window
        self._feeders: list[asyncio.Task[None]] = []
        self.config_path = folder / "integrations.yaml"
        self.config_path.write_text(yaml.safe_dump(self._config()))

    @property
    def config(self) -> Integrations:
        return load_yaml(self.config_path, Integrations)

    def _config(self) -> dict[str, Any]:
        sources: dict[str, Any] = {
            "opc_ua": {
                "kind": "opc_ua",
                "endpoint_url": self.opc_ua.endpoint.url,
                "insecure_no_security": True,
                "publishing_interval": "100ms",
                "sampling_interval": "50ms",
                "tags": [{"sensor_id": "opc.count", "unit": "1", "node_id": f"nsu={NAMESPACE_URI};s=opc.count"}],
            },
            "modbus": {
                "kind": "modbus",
                "host": "127.0.0.1",
                "port": self.modbus.endpoint.port,
                "poll_interval": "100ms",
                "tags": [{"sensor_id": "modbus.count", "unit": "1", "address": 0, "data_type": "uint32"}],
            },
            "mqtt": {
                "kind": "mqtt",
                "broker": {
                    "host": self.broker.host,
                    "port": self.broker.port,
                    "tls": False,
                    "insecure_plain_tcp": True,
                },
                "client_id": "collector-under-test",
                "topic_filters": ["plant/#"],
                "tags": [{"sensor_id": "mqtt.count", "unit": "1", "topic": "plant/count"}],
            },
        }
        return {
            "site": SITE,
            "start": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
            "window": self._window,
            "collector": {"port": 0},
            "sources": {name: sources[name] for name in self._names},
        }

    # -- the devices -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self.opc_ua.start()
        await self.modbus.start()
        self.publisher.start()

    async def stop(self) -> None:
        await self.rest()
        await self.publisher.stop()
        await self.modbus.stop()
        await self.opc_ua.stop()

    def work(self, messages_per_s: int = 200) -> None:
        """Let the devices send until `rest`."""
        self._feeders = [
            asyncio.create_task(self._publish(1 / messages_per_s)),
            asyncio.create_task(self._write(0.05)),
        ]

    async def rest(self) -> None:
        for task in self._feeders:
            task.cancel()
        await asyncio.gather(*self._feeders, return_exceptions=True)
        self._feeders = []

    async def all_published(self) -> None:
        """Wait until the broker has taken everything."""
        await until(lambda: self.publisher.pending() == 0)

    def publish(self, value: float, time_us: int) -> None:
        time = datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()
        self._values[time_us] = value
        self.publisher.publish(Message("plant/count", json.dumps({"value": value, "time": time}).encode(), time_us))

    async def _publish(self, pause_s: float) -> None:
        number, last = 0.0, 0
        while True:
            # whole milliseconds: exact as text and as float
            last = max(last + 1000, now_us() // 1000 * 1000)
            number += 1
            self.publish(number, last)
            await asyncio.sleep(pause_s)

    async def _write(self, pause_s: float) -> None:
        number, last = 0.0, 0
        while True:
            last = max(last + 1000, now_us() // 1000 * 1000)
            number += 1
            self.written[last] = number
            await self.opc_ua.write(0, number, last)
            await asyncio.sleep(pause_s)

    def _sent(self, message: Message, _heard: bool) -> None:
        self.published[message.time_us] = self._values[message.time_us]

    def _next_register(self, *_: object) -> None:
        self.polled += 1
        self.modbus.set(0, float(self.polled))

    # -- what arrived ------------------------------------------------------------------------------------------------

    def contents(self) -> dict[str, list[tuple[int, float]]]:
        """Close every window and return sensor_id -> (time, value) of all readings, each window deduplicated."""
        config = self.config
        with WindowBuffer(
            self.home / "buffer", collector="collector", grid=config.grid, start=config.start, catalog=config.catalog()
        ) as buffer:
            buffer.close_all()
        reader = BufferReader(self.home / "buffer")
        found: dict[str, list[tuple[int, float]]] = {sensor.sensor_id: [] for sensor in config.catalog().sensors}
        for window in reader.windows():
            held = reader.read(window.window_start)
            names = dict(zip(*(held.sensors.column(c).to_pylist() for c in ("sensor_key", "sensor_id")), strict=True))
            times = held.readings.column("time").cast(pa.int64()).to_pylist()
            for key, time, value in zip(
                held.readings.column("sensor_key").to_pylist(),
                times,
                held.readings.column("value").to_pylist(),
                strict=True,
            ):
                found[names[key]].append((time, value))
        return {sensor_id: sorted(rows) for sensor_id, rows in found.items()}

    def gaps(self, source: str) -> list[Gap]:
        """Gaps of a source; to be asked before `contents`, which opens the buffer again and so notes one more."""
        return [gap for gap in BufferReader(self.home / "buffer").gaps() if gap.source == source]

    def outages(self, source: str) -> list[Gap]:
        """The gaps without those of a machine that is too busy: polls left out, a slow first connection."""
        busy = ("polls were skipped", "the first connection took this long")
        return [gap for gap in self.gaps(source) if not any(reason in gap.reason for reason in busy)]

    def counts(self) -> dict[str, SourceCounts]:
        return BufferReader(self.home / "buffer").counts()


@dataclass
class CollectorProcess:
    """`gl collect` as a process of its own."""

    plant: SmallPlant
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # the file of the run before must not be taken for this one's
        (self.plant.home / "collector.json").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "GL_CONFIG": str(self.plant.config_path),
            "GL_HOME": str(self.plant.home),
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gl_assets.cli.main", "collect"],
                cwd=REPOSITORY,
                env=environment,
                stderr=log,
                stdout=log,
            )

    @property
    def log(self) -> Path:
        return self.plant.home / "collect.log"

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def page(self, path: str) -> httpx.Response | None:
        """Return a page of the collector, None if it is not there yet."""
        assert self.running.poll() is None, self.log.read_text()
        try:
            url = json.loads((self.plant.home / "collector.json").read_text())["url"]
            return httpx.get(url + path, timeout=10)
        except (OSError, ValueError, httpx.HTTPError):
            return None

    def findings(self) -> dict[str, str]:
        page = self.page("/healthz")
        return {} if page is None else {f["name"]: f["level"] for f in page.json()["findings"]}

    def metric(self, name: str, **labels: str) -> float:
        page = self.page("/metrics")
        for family in text_string_to_metric_families("" if page is None else page.text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that asks the pages; the servers of this process go on meanwhile."""
        try:
            async with asyncio.timeout(90):
                while not await asyncio.to_thread(condition):  # another process is waited for
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(self.log.read_text()) from None

    async def until_connected(self) -> None:
        names = list(self.plant.config.sources)
        await self.until(lambda: all(self.findings().get(f"source.{name}") == "green" for name in names))

    async def until_rows(self, source: str, more: float) -> None:
        """Wait until `more` rows of a source have come beyond those of now."""
        before = await asyncio.to_thread(self.metric, "gl_readings_total", source=source)
        await self.until(lambda: self.metric("gl_readings_total", source=source) >= before + more)

    async def kill(self) -> datetime:
        """End it as `kill -9` does; return when."""
        self.running.kill()
        at = datetime.now(UTC)
        await asyncio.to_thread(self.running.wait, 60)
        return at

    async def end(self) -> int:
        """Ask it to end, as a service manager does; return its exit code."""
        self.running.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.running.wait, 60)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(60)
