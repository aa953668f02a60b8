"""How fast the collector takes QoS 1 messages of 200 bytes of JSON, each durable before its PUBACK, against bare paho.

Both subscribe the same Mosquitto while a publisher in a process of its own sends as fast as the broker takes it. The
collector decodes, writes to the buffer, syncs and acknowledges; paho acknowledges and counts. The publisher's rate is
reported beside: it is no limit where it is above both. `python -m benchmarks.scada_mqtt`
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import find_programs
from resources.integrations import Integrations
from sensors.collector.assembly import Collector, Doors

MESSAGES = 60_000
SENSORS = 200
MANY, USUAL = 65_535, 20
"""Messages in flight: what the collector asks an MQTT 5 broker for, and what a broker of 3.1.1 usually allows."""
_LIMIT_S = 300


@dataclass
class _Rates:
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    publisher: list[float] = field(default_factory=list)


def measure(repeats: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Return ratios and rates, messages/s, medians of `repeats` runs in turns.

    `mqtt_vs_bare`: the collector's rate over bare paho's, both with 65,535 in flight; `mqtt_20_in_flight_vs_bare`: with
    20. `mqtt_publisher_per_s`: the slowest rate at which the broker took the publisher's messages meanwhile.
    """
    many, usual = _Rates(), _Rates()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = EmbeddedBroker(folder / "broker", find_programs(progress), BrokerOptions(insecure_anonymous=True))
        broker.start()
        try:
            for number in range(repeats):
                for rates, in_flight, messages in ((many, MANY, MESSAGES), (usual, USUAL, MESSAGES // 3)):
                    progress(f"mqtt: run {number + 1} of {repeats}, {in_flight:,} in flight")
                    run = _Run(broker, in_flight, messages, f"n{number}x{in_flight}")
                    rates.bare.append(run.bare(rates.publisher))
                    rates.ours.append(asyncio.run(run.collected(folder / run.name, rates.publisher)))
        finally:
            broker.stop()
    ours, bare = statistics.median(many.ours), statistics.median(many.bare)
    ours_20, bare_20 = statistics.median(usual.ours), statistics.median(usual.bare)
    return {
        "mqtt_vs_bare": round(ours / bare, 2),
        "mqtt_per_s": round(ours),
        "mqtt_bare_per_s": round(bare),
        "mqtt_publisher_per_s": round(min(many.publisher)),
        "mqtt_20_in_flight_per_s": round(ours_20),
        "mqtt_20_in_flight_bare_per_s": round(bare_20),
        "mqtt_20_in_flight_vs_bare": round(ours_20 / bare_20, 2),
    }


class _Publisher:
    """The other process: made ready first, then told to begin."""

    def __init__(self, broker: EmbeddedBroker, prefix: str, messages: int) -> None:
        arguments = (broker.host, str(broker.port), prefix, str(messages), str(SENSORS))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.mqtt_publisher", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the publisher did not come up")

    def begin(self) -> None:
        """Let it publish."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def rate(self) -> float:
        """Return its messages/s; waits for its end."""
        said, _ = self._process.communicate(timeout=_LIMIT_S)
        return float(said)


class _Run:
    """One measurement of both, with as many messages in flight."""

    def __init__(self, broker: EmbeddedBroker, in_flight: int, messages: int, name: str) -> None:
        self.name = name
        self._broker, self._in_flight, self._messages = broker, in_flight, messages

    def bare(self, publisher_rates: list[float]) -> float:
        """Return messages/s of a paho subscriber that acknowledges and counts."""
        subscribed, seen = threading.Event(), [0]
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"bare-{self.name}", protocol=paho.MQTTv5)
        client.on_connect = lambda c, *_: c.subscribe(f"bare-{self.name}/#", qos=1)
        client.on_subscribe = lambda *_: subscribed.set()

        def count(*_: Any) -> None:
            seen[0] += 1

        client.on_message = count
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._in_flight
        client.connect(self._broker.host, self._broker.port, clean_start=True, properties=properties)
        client.loop_start()
        if not subscribed.wait(_LIMIT_S):
            raise RuntimeError("the broker did not grant the subscription")
        publisher = _Publisher(self._broker, f"bare-{self.name}", self._messages)
        began = time.perf_counter()
        publisher.begin()
        deadline = began + _LIMIT_S
        while seen[0] < self._messages:
            if time.perf_counter() > deadline:
                raise RuntimeError(f"the broker delivered {seen[0]} of {self._messages} messages")
            time.sleep(0.001)
        seconds = time.perf_counter() - began
        client.disconnect()
        client.loop_stop()
        publisher_rates.append(publisher.rate())
        return self._messages / seconds

    async def collected(self, home: Path, publisher_rates: list[float]) -> float:
        """Return messages/s of the collector, until the last one is durable and acknowledged."""
        collector, stop = Collector(self._config(), home), asyncio.Event()
        running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
        async with asyncio.timeout(_LIMIT_S):
            while not collector.states["plant"].connected:
                await asyncio.sleep(0.001)
            publisher = await asyncio.to_thread(_Publisher, self._broker, f"gl-{self.name}", self._messages)
            began = time.perf_counter()
            publisher.begin()
            while collector.flow.rows < self._messages:  # a figure is waited for
                await asyncio.sleep(0.001)
            seconds = time.perf_counter() - began
        stop.set()
        await running
        publisher_rates.append(await asyncio.to_thread(publisher.rate))
        return self._messages / seconds

    def _config(self) -> Integrations:
        source = {
            "kind": "mqtt",
            "client_id": f"gl-{self.name}",
            "broker": {
                "host": self._broker.host,
                "port": self._broker.port,
                "tls": False,
                "insecure_plain_tcp": True,
            },
            "topic_filters": [f"gl-{self.name}/#"],
            "receive_maximum": self._in_flight,
            "tags": [{"sensor_id": f"s{n}", "unit": "Cel", "topic": f"gl-{self.name}/{n}"} for n in range(SENSORS)],
        }
        start = datetime.now(UTC) - timedelta(days=1)
        return Integrations.model_validate(
            {"site": "bench", "start": start, "window": "1h", "sources": {"plant": source}}
        )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(3, lambda step: print(step, file=sys.stderr))) + "\n")  # noqa: T201
