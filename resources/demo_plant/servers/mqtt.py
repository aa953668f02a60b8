"""An MQTT publisher with a memory: messages wait in order while the broker is away, and each is counted once.

paho keeps what is in flight over a reconnect and sends it again; an outbox of our own before it bounds how much that
is, since paho numbers messages with 16 bits.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

log = structlog.get_logger(__name__)

_IN_FLIGHT = 20
_HANDED_OVER = 200
_NO_MATCHING_SUBSCRIBERS = 0x10
_SESSION_EXPIRY_S = 86_400
_FAREWELL_S = 2.0


@dataclass(frozen=True)
class MqttEndpoint:
    """The broker, and who publishes there."""

    host: str
    port: int
    client_id: str
    authority: Path | None = None
    """CA of the broker's certificate; None talks without TLS."""
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class Message:
    """One payload for one topic; `time_us` is the reading's source time, for the counts."""

    topic: str
    payload: bytes
    time_us: int


class MqttPublisher:
    """Publishes with QoS 1. `on_sent(message, heard)` runs once for each acknowledged message, in the network's thread.

    `heard` is False when the broker said that nobody subscribes the topic (MQTT 5); a broker of 3.1.1 never says so.
    """

    def __init__(self, endpoint: MqttEndpoint, on_sent: Callable[[Message, bool], None], *, mqtt5: bool = True) -> None:
        """Take where to publish; `start` connects."""
        self.endpoint = endpoint
        self.refused = 0
        self.connections = 0
        self._on_sent = on_sent
        self._mqtt5 = mqtt5
        self._outbox: deque[Message] = deque()
        self._handed: dict[int, Message] = {}
        self._early: dict[int, Any] = {}
        # held for a look at the dictionaries only: paho holds locks of its own while it calls back, and in publish()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._complained = False
        self._stopping = False
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        endpoint = self.endpoint
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            protocol=paho.MQTTv5 if self._mqtt5 else paho.MQTTv311,
            clean_session=None if self._mqtt5 else False,
        )
        if endpoint.authority is not None:
            client.tls_set_context(ssl.create_default_context(cafile=str(endpoint.authority)))
        if endpoint.username is not None:
            client.username_pw_set(endpoint.username, endpoint.password)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        client.on_connect = self._connected
        client.on_publish = self._acknowledged
        client.on_socket_open = _without_delay
        return client

    def start(self) -> None:
        """Connect in the background, again and again until it works. Called from the event loop."""
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        properties = None
        if self._mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        options: dict[str, Any] = {"clean_start": False, "properties": properties} if self._mqtt5 else {}
        self._client.connect_async(self.endpoint.host, self.endpoint.port, keepalive=30, **options)
        self._client.loop_start()

    def publish(self, message: Message) -> None:
        """Put a message into the outbox; it leaves in order, as soon as the broker takes it. Event loop only."""
        self._outbox.append(message)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._outbox and len(self._handed) < _HANDED_OVER and not self._stopping:
            message = self._outbox.popleft()
            mid = self._client.publish(message.topic, message.payload, qos=1).mid
            with self._lock:
                if mid in self._early:
                    reason = self._early.pop(mid)
                else:
                    self._handed[mid] = message
                    continue
            self._settle(message, reason)

    def pending(self) -> int:
        """Return how many messages the broker has not acknowledged."""
        return len(self._outbox) + len(self._handed)

    def _connected(self, _client: paho.Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            if not self._complained:
                self._complained = True
                log.error(
                    "mqtt_refused",
                    broker=f"{self.endpoint.host}:{self.endpoint.port}",
                    user=self.endpoint.username,
                    reason=str(reason),
                    remedy="the broker must know the user and password of secrets.env: start with gl up --demo",
                )
            return
        self._complained = False
        self.connections += 1
        log.info("mqtt_connected", broker=f"{self.endpoint.host}:{self.endpoint.port}", waiting=self.pending())

    def _acknowledged(self, _client: paho.Client, _data: object, mid: int, reason: Any, _properties: object) -> None:
        with self._lock:
            message = self._handed.pop(mid, None)
            if message is None:
                # the answer overtook the return of publish()
                self._early[mid] = reason
                return
        self._settle(message, reason)
        if self._outbox and self._loop is not None:
            self._loop.call_soon_threadsafe(self._hand_over)

    def _settle(self, message: Message, reason: Any) -> None:
        if getattr(reason, "is_failure", False):
            self.refused += 1
            log.warning("mqtt_publish_refused", topic=message.topic, reason=str(reason))
        else:
            self._on_sent(message, getattr(reason, "value", 0) != _NO_MATCHING_SUBSCRIBERS)

    def drop_connection(self) -> int:
        """Cut the connection, as a broken cable does; paho connects again. Return 1 if there was one."""
        connection = self._client.socket()
        if not isinstance(connection, socket.socket):
            return 0
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return 0
        return 1

    async def stop(self) -> None:
        """Disconnect once the broker has acknowledged what is under way; the rest waits for the next `start`."""
        self._stopping = True
        deadline = time.monotonic() + _FAREWELL_S
        while self._handed and time.monotonic() < deadline and self._client.is_connected():
            await asyncio.sleep(0.01)
        client, self._client = self._client, self._make_client()
        client.disconnect()
        # joins paho's thread
        await asyncio.to_thread(client.loop_stop)
        # paho's own queue goes with its client: a client cannot be started twice without leaking sockets
        with self._lock:
            self._outbox.extendleft(reversed(self._handed.values()))
            self._handed.clear()


def _without_delay(_client: paho.Client, _data: object, connection: Any) -> None:
    # small packets at once: Nagle's algorithm waits for the acknowledgement of the one before
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
