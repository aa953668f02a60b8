"""How fast the collector takes QoS 1 messages with the usual 20 in flight, each durable before its PUBACK.

A queue of messages waits at the broker in a persistent session; what is timed is draining it: by the collector (decode,
buffer, fsync, acknowledge), and by a bare paho subscriber that acknowledges and counts.
`python -m benchmarks.collector.bench`
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
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

MESSAGES = 20_000
SENSORS = 200
ROUNDS = 3
IN_FLIGHT = 20
_LIMIT_S = 300


def run(progress: Callable[[str], None]) -> dict[str, float]:
    """Return `collector_vs_paho`, the ratio of both rates with 20 in flight, and the rates, messages/s (medians).

    `collector_default_messages_per_s` is the collector's with the `receive_maximum` it asks for by default.
    """
    with scratch_broker(progress) as (broker, folder):
        bare = [_bare(broker) for _ in range(ROUNDS)]
        ours = [asyncio.run(_collected(broker, folder / f"gl{n}", IN_FLIGHT)) for n in range(ROUNDS)]
        wide = [asyncio.run(_collected(broker, folder / f"wide{n}", 65_535)) for n in range(ROUNDS)]
    collector, peer = statistics.median(ours), statistics.median(bare)
    return {
        "collector_vs_paho": round(collector / peer, 2),
        "collector_messages_per_s": round(collector),
        "paho_messages_per_s": round(peer),
        "collector_default_messages_per_s": round(statistics.median(wide)),
    }


def _say(step: str) -> None:
    sys.stderr.write(f"{step}\n")


def _client(broker: EmbeddedBroker, client_id: str) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(1_000)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    client.connect(broker.host, broker.port, clean_start=False, properties=properties)
    client.loop_start()
    return client


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the broker did not deliver in time")
        time.sleep(0.001)


def _publish(broker: EmbeddedBroker) -> None:
    """Let MESSAGES readings wait at the broker for everyone who has a session."""
    client = _client(broker, "device")
    now = datetime.now(UTC)
    last = None
    for number in range(MESSAGES):
        instant = (now + timedelta(milliseconds=number // SENSORS)).isoformat()
        payload = json.dumps({"value": float(number), "time": instant})
        last = client.publish(f"plant/{number % SENSORS}", payload, qos=1)
    assert last is not None
    last.wait_for_publish(_LIMIT_S)
    client.disconnect()
    client.loop_stop()


def _bare(broker: EmbeddedBroker) -> float:
    """Return messages/s of a paho subscriber that acknowledges and counts."""
    subscribed, seen = threading.Event(), [0]

    def open_() -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare", protocol=paho.MQTTv5)
        client.on_connect = lambda c, *_: c.subscribe("plant/#", qos=1)
        client.on_subscribe = lambda *_: subscribed.set()

        def count(*_: Any) -> None:
            seen[0] += 1

        client.on_message = count
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = IN_FLIGHT
        properties.SessionExpiryInterval = 3600
        client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        client.loop_start()
        return client

    def close(client: paho.Client) -> None:
        client.disconnect()
        client.loop_stop()

    first = open_()
    subscribed.wait(_LIMIT_S)
    close(first)
    _publish(broker)
    seen[0] = 0
    began = time.perf_counter()
    second = open_()
    _wait(lambda: seen[0] >= MESSAGES)
    seconds = time.perf_counter() - began
    second.unsubscribe("plant/#")
    close(second)
    return MESSAGES / seconds


async def _collected(broker: EmbeddedBroker, home: Path, in_flight: int) -> float:
    """Return messages/s of the collector, until the last one is durable and acknowledged."""
    config = _config(broker, home.name, in_flight)
    first, stop = Collector(config, home), asyncio.Event()
    running = asyncio.create_task(first.run(stop, Doors(serve=False)))
    await _until(lambda: first.states["plant"].connected)
    stop.set()
    await running
    await asyncio.to_thread(_publish, broker)
    second, stop = Collector(config, home), asyncio.Event()
    began = time.perf_counter()
    running = asyncio.create_task(second.run(stop, Doors(serve=False)))
    await _until(lambda: second.flow.rows >= MESSAGES)
    seconds = time.perf_counter() - began
    stop.set()
    await running
    return MESSAGES / seconds


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not condition():  # a figure is waited for
            await asyncio.sleep(0.001)


def _config(broker: EmbeddedBroker, client_id: str, in_flight: int) -> Integrations:
    source = {
        "kind": "mqtt",
        "client_id": client_id,
        "broker": {"host": broker.host, "port": broker.port, "tls": False, "insecure_plain_tcp": True},
        "topic_filters": ["plant/#"],
        "receive_maximum": in_flight,
        "tags": [{"sensor_id": f"s{n}", "unit": "1", "topic": f"plant/{n}"} for n in range(SENSORS)],
    }
    start = datetime.now(UTC) - timedelta(days=1)
    return Integrations.model_validate({"site": "bench", "start": start, "window": "1h", "sources": {"plant": source}})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(_say)) + "\n")
