"""A Sparkplug B edge node: births, data, deaths and commands over a real broker, and what goes wrong with them.

It publishes through paho and encodes its payloads itself, so that nothing of the host application under test is at both
ends. Misbehaviour is a method each: a number left out, a birth forgotten, a death of an earlier session told late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.sparkplug_bytes import (
    BOOLEAN,
    UINT64,
    SparkplugMetric,
    commanded,
    encode_metric,
    encode_payload,
)

REBIRTH = "Node Control/Rebirth"
Answer = Callable[[str, str, Any], bool]
"""(device id, metric name, value) -> whether the edge node takes a command."""


@dataclass
class _Session:
    bd_seq: int = -1
    seq: int = 0
    aliases: dict[int, tuple[str, str]] = field(default_factory=dict)


class SparkplugEdgeNode:
    """One edge node with its devices; `metrics` maps device id (empty: its own) -> metrics."""

    def __init__(
        self,
        endpoint: MqttEndpoint,
        group_id: str,
        edge_node_id: str,
        metrics: Mapping[str, Iterable[SparkplugMetric]],
        *,
        qos: int = 0,
    ) -> None:
        """Take where to publish and what; `start` connects. The standard wants QoS 0."""
        self.group_id, self.edge_node_id, self.qos = group_id, edge_node_id, qos
        self.metrics: dict[str, dict[str, SparkplugMetric]] = {
            device: {metric.name: metric for metric in listed} for device, listed in metrics.items()
        }
        self.metrics.setdefault("", {})
        self.answers_rebirth = True
        """False: rebirth requests are counted and left unanswered."""
        self.takes_command: Answer = lambda _device, _name, _value: True
        self.rebirths_asked = 0
        self.commands: list[tuple[str, str, Any]] = []
        self.born = threading.Event()
        self._endpoint = endpoint
        self._session = _Session()
        self._lock = threading.RLock()
        self._client: paho.Client | None = None
        self._last: paho.MQTTMessageInfo | None = None

    # -- the connection ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect with the next birth/death number; the births are on their way when this returns."""
        with self._lock:
            self._session = _Session(bd_seq=(self._session.bd_seq + 1) % 256)
            self.born.clear()
            self._client = client = self._make_client()
        client.connect(self._endpoint.host, self._endpoint.port, keepalive=30)
        client.loop_start()
        if not self.born.wait(30):
            raise TimeoutError(f"{self.group_id}/{self.edge_node_id}: no connection to the broker in 30 s")
        self.flush()

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"edge-{self.group_id}-{self.edge_node_id}".replace(" ", "_")
        )
        if self._endpoint.username is not None:
            client.username_pw_set(self._endpoint.username, self._endpoint.password)
        if self._endpoint.authority is not None:
            client.tls_set(str(self._endpoint.authority))
        # the will is of this connection: its number is the one of the birth that follows
        client.will_set(self.topic("NDEATH"), self._death(self._session.bd_seq), qos=1, retain=False)
        client.on_connect = self._connected
        client.on_message = self._heard
        return client

    def _connected(self, client: paho.Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            return
        client.subscribe([(self.topic("NCMD"), 1), (self.topic("DCMD", "+"), 1)])
        self.publish_births()
        self.born.set()

    def stop(self) -> None:
        """Tell our death ourselves and disconnect."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.publish(self.topic("NDEATH"), self._death(self._session.bd_seq), qos=1).wait_for_publish(10)
            client.disconnect()
            client.loop_stop()

    def vanish(self) -> None:
        """Go without a word, as when the power fails: the broker tells our death."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.loop_stop()
            connection: Any = client.socket()
            if connection is not None:
                connection.close()

    # -- births and deaths -------------------------------------------------------------------------------------------

    def publish_births(self) -> None:
        """Publish the NBIRTH and the DBIRTH of each device."""
        with self._lock:
            self._session.seq = 0
            self._session.aliases = {
                metric.alias: (device, name)
                for device, listed in self.metrics.items()
                for name, metric in listed.items()
                if metric.alias is not None
            }
            control = [
                SparkplugMetric("bdSeq", UINT64, self._session.bd_seq),
                SparkplugMetric(REBIRTH, BOOLEAN, value=False),
            ]
            self._publish("NBIRTH", "", [*control, *self.metrics[""].values()], whole=True)
            for device in self.metrics:
                if device:
                    self.publish_device_birth(device)

    def publish_device_birth(self, device: str) -> None:
        """Publish the DBIRTH of one device."""
        self._publish("DBIRTH", device, self.metrics[device].values(), whole=True)

    def publish_device_death(self, device: str) -> None:
        """Publish the DDEATH of one device."""
        self._publish("DDEATH", device, ())

    def publish_stale_death(self, back: int = 1) -> None:
        """Publish the death of an earlier session, as a broker does that has noticed its end late."""
        self._send("NDEATH", "", self._death((self._session.bd_seq - back) % 256), qos=1)

    def _death(self, bd_seq: int) -> bytes:
        return encode_payload([encode_metric(SparkplugMetric("bdSeq", UINT64, bd_seq))], timestamp=_now_ms())

    # -- data --------------------------------------------------------------------------------------------------------

    def publish_data(
        self,
        device: str,
        values: Mapping[str, Any],
        time_ms: int | None = None,
        *,
        is_historical: bool = False,
        by_name: bool = False,
        **changes: Any,
    ) -> bytes:
        """Publish values of metrics by name, with aliases on the wire where there are any; return the payload.

        Args:
            device: Device id, empty for the edge node's own metrics.
            values: Metric name -> value; None is null.
            time_ms: Their time; now if absent.
            is_historical: Marks them as buffered while the connection was away.
            by_name: Sends names although the metrics have aliases.
            changes: Other fields of the metrics (`quality=0`).
        """
        with self._lock:
            sent = []
            for name, value in values.items():
                metric = replace(self.metrics[device][name], value=value, unit=None, **changes)
                self.metrics[device][name] = replace(self.metrics[device][name], value=value)
                sent.append(replace(metric, alias=None) if by_name else metric)
            kind = "DDATA" if device else "NDATA"
            return self._publish(kind, device, sent, time_ms=time_ms, is_historical=is_historical)

    def flush(self) -> None:
        """Return when the broker has taken everything (QoS 1), or it is on its way (QoS 0)."""
        if self._last is not None:
            self._last.wait_for_publish(30)

    def skip_seq(self, count: int = 1) -> None:
        """Leave out sequence numbers, as if messages had been lost."""
        with self._lock:
            self._session.seq = (self._session.seq + count) % 256

    def send_raw(self, kind: str, device: str, payload: bytes) -> None:
        """Publish bytes as they are."""
        self._send(kind, device, payload)

    def _publish(
        self,
        kind: str,
        device: str,
        metrics: Iterable[SparkplugMetric],
        *,
        time_ms: int | None = None,
        is_historical: bool = False,
        whole: bool = False,
    ) -> bytes:
        with self._lock:
            stamp = time_ms or _now_ms()
            parts = [encode_metric(m, time_ms=stamp, whole=whole, is_historical=is_historical) for m in metrics]
            payload = encode_payload(parts, timestamp=stamp, seq=self._session.seq)
            self._session.seq = (self._session.seq + 1) % 256
            self._send(kind, device, payload)
            return payload

    def _send(self, kind: str, device: str, payload: bytes, qos: int | None = None) -> None:
        if self._client is not None:
            self._last = self._client.publish(self.topic(kind, device), payload, qos=self.qos if qos is None else qos)

    # -- commands ----------------------------------------------------------------------------------------------------

    def _heard(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        levels = message.topic.split("/")
        device = levels[4] if len(levels) == 5 else ""
        for name, alias, value in commanded(bytes(message.payload)):
            if name == REBIRTH:
                self._asked()
                continue
            place = (device, name) if name else self._session.aliases.get(alias if alias is not None else -1)
            if place is not None and place[1] in self.metrics.get(place[0], {}):
                self.commands.append((*place, value))
                if self.takes_command(*place, value):
                    self.publish_data(place[0], {place[1]: value})

    def _asked(self) -> None:
        self.rebirths_asked += 1
        if self.answers_rebirth:
            self.publish_births()

    def topic(self, kind: str, device: str = "") -> str:
        """Return the topic of a message type."""
        topic = f"spBv1.0/{self.group_id}/{kind}/{self.edge_node_id}"
        return f"{topic}/{device}" if device else topic


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
