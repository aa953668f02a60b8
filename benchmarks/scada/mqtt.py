"""How fast the collector takes QoS 1 messages of 200 bytes of JSON, each durable before its PUBACK, against bare paho.

A queue of messages waits at Mosquitto in a persistent session of each; what is timed is draining it: by the collector
(decode, buffer, fsync, acknowledge), and by a bare paho subscriber that acknowledges and counts. The publisher, in a
process of its own, has ended by then: it is no limit. Beside that the collector is timed live, with the publisher
sending as fast as the broker takes it. `python -m benchmarks.scada.mqtt`
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
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

from benchmarks.scratch_broker import scratch_broker
from resources.embedded.broker import EmbeddedBroker
from resources.integrations import Integrations
from sensors.collector.assembly import Collector, Doors

MESSAGES = 60_000
SENSORS = 200
MANY, USUAL = 65_535, 20
"""Messages in flight: what the collector asks an MQTT 5 broker for, and what a broker of 3.1.1 usually allows."""
_LIMIT_S = 300
_LOOK_S = 0.005
"""How often the count is looked at: seldom enough not to disturb it."""


@dataclass
class _Rates:
    """Messages/s, one of each a run."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    filled: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """Return our rate over the bare one, medians."""
        return round(statistics.median(self.ours) / statistics.median(self.bare), 2)


def measure(repeats: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Return ratios and rates, messages/s, medians of `repeats` runs in turns.

    `mqtt_vs_bare`: the collector's rate over bare paho's, both draining with 65,535 in flight;
    `mqtt_20_in_flight_vs_bare`: with 20. `mqtt_live_per_s`: the collector's while messages come;
    `mqtt_publisher_per_s`: what the publisher brings to the broker with nobody connected, the slowest run.
    """
    many, usual, live = _Rates(), _Rates(), list[float]()
    with scratch_broker(progress) as (broker, folder):
        for number in range(repeats):
            for rates, in_flight, messages in ((many, MANY, MESSAGES), (usual, USUAL, MESSAGES // 3)):
                progress(f"mqtt: run {number + 1} of {repeats}, {in_flight:,} in flight")
                _Run(broker, in_flight, messages, folder / f"n{number}x{in_flight}").drain(rates, number % 2 == 0)
            progress(f"mqtt: run {number + 1} of {repeats}, live")
            live.append(asyncio.run(_Run(broker, MANY, MESSAGES, folder / f"live{number}").live()))
    return {
        "mqtt_vs_bare": many.ratio(),
        "mqtt_per_s": round(statistics.median(many.ours)),
        "mqtt_bare_per_s": round(statistics.median(many.bare)),
        "mqtt_live_per_s": round(statistics.median(live)),
        "mqtt_publisher_per_s": round(min(many.filled)),
        "mqtt_20_in_flight_per_s": round(statistics.median(usual.ours)),
        "mqtt_20_in_flight_bare_per_s": round(statistics.median(usual.bare)),
        "mqtt_20_in_flight_vs_bare": usual.ratio(),
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

    def __init__(self, broker: EmbeddedBroker, in_flight: int, messages: int, home: Path) -> None:
        self._broker, self._in_flight, self._messages, self._home = broker, in_flight, messages, home
        self._prefix = home.name
        self._seen = 0

    def drain(self, rates: _Rates, bare_first: bool) -> None:
        """Let messages wait for both, then time each."""
        first = self._paho()
        _close(first)
        asyncio.run(self._subscribe_ours())
        publisher = _Publisher(self._broker, self._prefix, self._messages)
        publisher.begin()
        rates.filled.append(publisher.rate())
        for bare in (bare_first, not bare_first):
            if bare:
                rates.bare.append(self._drain_bare())
            else:
                rates.ours.append(asyncio.run(self._drain_ours()))

    def _paho(self) -> paho.Client:
        """Return a subscriber that acknowledges and counts, connected and subscribed."""
        subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"bare-{self._prefix}", protocol=paho.MQTTv5)
        client.on_connect = lambda c, *_: c.subscribe(f"{self._prefix}/#", qos=1)
        client.on_subscribe = lambda *_: subscribed.set()

        def count(*_: Any) -> None:
            self._seen += 1

        client.on_message = count
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._in_flight
        properties.SessionExpiryInterval = 3600
        client.connect(self._broker.host, self._broker.port, clean_start=False, properties=properties)
        client.loop_start()
        if not subscribed.wait(_LIMIT_S):
            raise RuntimeError("the broker did not grant the subscription")
        return client

    def _drain_bare(self) -> float:
        began = time.perf_counter()
        client = self._paho()
        while self._seen < self._messages:
            if time.perf_counter() > began + _LIMIT_S:
                raise RuntimeError(f"the broker delivered {self._seen} of {self._messages} messages")
            time.sleep(_LOOK_S)
        seconds = time.perf_counter() - began
        client.unsubscribe(f"{self._prefix}/#")
        _close(client)
        return self._messages / seconds

    async def _subscribe_ours(self) -> None:
        """Make the collector's session, and leave."""
        collector, stop = Collector(self._config(), self._home), asyncio.Event()
        running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
        await _until(lambda: collector.states["plant"].connected)
        stop.set()
        await running

    async def _drain_ours(self) -> float:
        """Return the collector's messages/s until the last one is durable."""
        collector, stop = Collector(self._config(), self._home), asyncio.Event()
        began = time.perf_counter()
        running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
        await _until(lambda: collector.flow.rows >= self._messages)
        seconds = time.perf_counter() - began
        stop.set()
        await running
        return self._messages / seconds

    async def live(self) -> float:
        """Return the collector's messages/s while the publisher sends."""
        collector, stop = Collector(self._config(), self._home), asyncio.Event()
        running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
        await _until(lambda: collector.states["plant"].connected)
        publisher = await asyncio.to_thread(_Publisher, self._broker, self._prefix, self._messages)
        began = time.perf_counter()
        publisher.begin()
        await _until(lambda: collector.flow.rows >= self._messages)
        seconds = time.perf_counter() - began
        stop.set()
        await running
        await asyncio.to_thread(publisher.rate)
        return self._messages / seconds

    def _config(self) -> Integrations:
        address = {"host": self._broker.host, "port": self._broker.port}
        source = {
            "kind": "mqtt",
            "client_id": f"gl-{self._prefix}",
            "broker": {**address, "tls": False, "insecure_plain_tcp": True},
            "topic_filters": [f"{self._prefix}/#"],
            "receive_maximum": self._in_flight,
            "tags": [{"sensor_id": f"s{n}", "unit": "Cel", "topic": f"{self._prefix}/{n}"} for n in range(SENSORS)],
        }
        start = datetime.now(UTC) - timedelta(days=1)
        return Integrations.model_validate(
            {"site": "bench", "start": start, "window": "1h", "sources": {"plant": source}}
        )


def _close(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not condition():  # a figure is waited for
            await asyncio.sleep(_LOOK_S)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(3, lambda step: print(step, file=sys.stderr))) + "\n")  # noqa: T201
