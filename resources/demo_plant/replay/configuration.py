"""The configuration that reads a replay: the content of an `integrations.yaml`.

What it yields in the database equals the recording row by row: the recording's times, every repeated value, and the
values as they are (as float32 where Modbus carries them so).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from resources.core.clock import from_micros
from resources.demo_plant.replay.players import QUEUE_SIZE, replay_registers, replay_topics
from resources.demo_plant.replay.recording import Recording
from resources.demo_plant.servers.modbus import ModbusEndpoint
from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.opc_ua import NAMESPACE_URI, OpcUaEndpoint


def integrations(recording: Recording, sources: dict[str, dict[str, Any]], *, window: str = "15m") -> dict[str, Any]:
    """Return a whole configuration with `sources` (name -> one of the below); it accepts the recording's times."""
    start = from_micros(int(recording.times_us[0])).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return {"site": "replay", "start": start.isoformat(), "window": window, "sources": sources}


def _tags(recording: Recording, prefix: str, where: list[dict[str, Any]]) -> list[dict[str, Any]]:
    named = zip(recording.sensor_ids(prefix), recording.units(), recording.columns, where, strict=True)
    return [{"sensor_id": s, "unit": unit, "description": column, **place} for s, unit, column, place in named]


def opc_ua_source(recording: Recording, endpoint: OpcUaEndpoint, prefix: str) -> dict[str, Any]:
    """Return the source that reads an `OpcUaPlayer`, unencrypted as its endpoint without certificate."""
    where = [{"node_id": f"nsu={NAMESPACE_URI};s={sensor_id}"} for sensor_id in recording.sensor_ids(prefix)]
    return {
        "kind": "opc_ua",
        "endpoint_url": endpoint.url,
        "insecure_no_security": True,
        "publishing_interval": "100ms",
        "queue_size": QUEUE_SIZE,
        "tags": _tags(recording, prefix, where),
    }


def modbus_source(recording: Recording, endpoint: ModbusEndpoint, prefix: str, *, poll: str = "10ms") -> dict[str, Any]:
    """Return the source that reads a `ModbusPlayer`, a row a poll."""
    values = replay_registers(recording)[1:]
    where: list[dict[str, Any]] = [
        {"address": register.address, "data_type": register.data_type, "time_register": 0} for register in values
    ]
    return {
        "kind": "modbus",
        "host": endpoint.host,
        "port": endpoint.port,
        "poll_interval": poll,
        "tags": _tags(recording, prefix, where),
    }


def mqtt_source(recording: Recording, endpoint: MqttEndpoint, prefix: str) -> dict[str, Any]:
    """Return the source that reads an `MqttPlayer`, from the broker that it publishes to."""
    broker: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
    if endpoint.authority is None:
        broker |= {"tls": False, "insecure_plain_tcp": True}
    else:
        broker |= {"ca_certificate": str(endpoint.authority)}
    return {
        "kind": "mqtt",
        "broker": broker,
        "client_id": "gl-replay-collector",
        "topic_filters": ["replay/#"],
        "tags": _tags(recording, prefix, [{"topic": topic} for topic in replay_topics(recording, prefix)]),
    }
