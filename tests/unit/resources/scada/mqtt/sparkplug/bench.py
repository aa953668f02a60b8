"""A decoder without a broker: a clock that is moved, an edge node that is typed in, and what comes of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import STATUS_NAMES
from resources.core.tags import Sensor, SensorCatalog
from resources.demo_plant.servers.sparkplug_bytes import (
    BOOLEAN,
    DOUBLE,
    INT16,
    UINT64,
    SparkplugMetric,
    commanded,
    encode_metric,
    encode_payload,
)
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.payloads import Decoded, Outgoing
from resources.scada.mqtt.sparkplug.decoder import SparkplugDecoder

START = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
T0 = to_micros(START) // 1000
FLOW, LEVEL = "b.flow", "b.level"


@dataclass(frozen=True)
class Row:
    sensor_id: str
    value: float | str | None
    time_ms: int
    status: str
    first: bool = False


def metric(name: str, value: Any, alias: int | None, datatype: int = DOUBLE, **more: Any) -> SparkplugMetric:
    return SparkplugMetric(name, datatype, value, alias, **more)


@dataclass
class Bench:
    state: Path | None = None
    tags: Iterable[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    sent: list[Outgoing] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    reports: list[tuple[str, str]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    seq: int = 0

    def __post_init__(self) -> None:
        tags = list(self.tags) or [
            {"sensor_id": FLOW, "unit": "kg/h", "sparkplug": "G/E//Flow"},
            {"sensor_id": LEVEL, "unit": "mm", "sparkplug": "G/E/D/Level"},
        ]
        config = MqttConfig.model_validate(
            {
                "kind": "mqtt",
                "broker": {"host": "127.0.0.1"},
                "client_id": "c",
                "payload": "sparkplug_b",
                "sparkplug": {"host_id": "gl", **self.options},
                "tags": tags,
            }
        )
        self.catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, "s", tag.is_text) for tag in config.tags)
        self.decoder = SparkplugDecoder("s", config, self.catalog, self.clock)
        if self.state is not None:
            self.decoder.keep_state_in(self.state)
        self.connect()

    # what the decoder talks to

    def publish(self, message: Outgoing) -> None:
        self.sent.append(message)

    def item_failed(self, sensor_id: str, reason: str) -> None:
        self.failed[sensor_id] = reason
        self.reports.append((sensor_id, reason))

    def item_recovered(self, sensor_id: str) -> None:
        del self.failed[sensor_id]
        self.reports.append((sensor_id, "recovered"))

    def connected(self, facts: Mapping[str, str], *, unbroken: bool = False) -> None: ...

    def missed(self, since: datetime, until: datetime, reason: str) -> None: ...

    def counted(self, **increments: int) -> None: ...

    # what a test does

    def connect(self) -> None:
        self.opening = self.decoder.opening()
        self.decoder.connected(self, self)

    def rebirths(self) -> int:
        return sum(
            name == "Node Control/Rebirth" and value is True
            for message in self.sent
            if "/NCMD/" in message.topic
            for name, _, value in commanded(message.payload)
        )

    def wait(self, seconds: float) -> list[Row]:
        self.clock.advance(seconds)
        return self.rows(self.decoder.decode((), to_micros(self.clock.now())))

    def take(self, kind: str, payload: bytes, device: str = "", *, qos: int = 0, retain: bool = False) -> list[Row]:
        topic = f"spBv1.0/G/{kind}/E" + (f"/{device}" if device else "")
        message = Message(topic.encode(), payload, 7 if qos else 0, qos, retain)
        return self.rows(self.decoder.decode((message,), to_micros(self.clock.now())))

    def say(
        self,
        kind: str,
        *metrics: SparkplugMetric,
        device: str = "",
        time_ms: int = T0,
        seq: int | None = None,
        **more: Any,
    ) -> list[Row]:
        """A message in order (or with `seq`), metrics whole in a birth and by alias in data."""
        number = self.seq if seq is None else seq
        self.seq = (number + 1) % 256
        return self.take(kind, payload(kind, metrics, time_ms, number), device, **more)

    def births(self, flow_alias: int = 1, level_alias: int = 2, bd_seq: int = 0, time_ms: int = T0) -> list[Row]:
        self.seq = 0
        rows = self.say("NBIRTH", *node_birth(bd_seq), metric("Flow", 1.0, flow_alias), time_ms=time_ms)
        return rows + self.say("DBIRTH", metric("Level", -3, level_alias, INT16), device="D", time_ms=time_ms)

    def flow(self, value: float, time_ms: int = T0, alias: int = 1, **more: Any) -> list[Row]:
        return self.say("NDATA", metric("Flow", value, alias), time_ms=time_ms, **more)

    def level(self, value: int, time_ms: int = T0, alias: int = 2, **more: Any) -> list[Row]:
        return self.say("DDATA", metric("Level", value, alias, INT16), device="D", time_ms=time_ms, **more)

    def rows(self, parts: Iterable[Decoded]) -> list[Row]:
        found = []
        for part in parts:
            if part.rejects is not None:
                self.rejects += part.rejects.to_pylist()
            for batch in (part.readings, part.texts):
                for row in batch.to_pylist() if batch is not None else ():
                    name = self.catalog.sensors[row["sensor_key"]].sensor_id
                    status = STATUS_NAMES[row["status"]]
                    time_ms = to_micros(row["time"]) // 1000
                    found.append(Row(name, row["value"], time_ms, status, part.only_if_newer))
        return found


def node_birth(bd_seq: int) -> tuple[SparkplugMetric, SparkplugMetric]:
    return SparkplugMetric("bdSeq", UINT64, bd_seq), SparkplugMetric("Node Control/Rebirth", BOOLEAN, value=False)


def payload(kind: str, metrics: Iterable[SparkplugMetric], time_ms: int, seq: int | None) -> bytes:
    whole = kind.endswith("BIRTH")
    return encode_payload([encode_metric(m, time_ms=time_ms, whole=whole) for m in metrics], timestamp=time_ms, seq=seq)


def death(bd_seq: int) -> bytes:
    return encode_payload([encode_metric(SparkplugMetric("bdSeq", UINT64, bd_seq))], timestamp=T0)
