"""One MQTT connection with a persistent session: reconnects by itself, acknowledges only when told to.

MQTT 5 where the broker speaks it, 3.1.1 otherwise. A message is acknowledged by its `ack`, after whatever it caused is
durable; an acknowledgement of a connection that is gone is dropped, since the broker delivers the message again.
What is published waits in a queue of ours (`outgoing.py`) until it is its turn; the network's thread alone sends.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from resources.agents.mqtt.mqtt_client import SessionClient, make_client, open_connection, tls_context
from resources.agents.mqtt.network import Network
from resources.agents.mqtt.outgoing import Publication, nothing
from resources.agents.mqtt.pace import Pace
from resources.agents.mqtt.pump import Pump, guarded
from resources.agents.wire.message import Priority
from resources.core.errors import UnreachableError
from resources.transport.broker import BrokerConfig

log = structlog.get_logger(__name__)

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 15.0
_CONNACK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message from the broker; call `ack` once, when what it caused is durable."""

    topic: str
    payload: bytes
    ack: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection breaks; made anew for each connection."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class BusCallbacks:
    """What the owner of a bus wants to hear; all are called from the network's threads and must not block for long."""

    on_message: Callable[[Arrived], None]
    on_connected: Callable[[], None]
    make_will: Callable[[], Will | None]


class Bus:
    """One client of a broker."""

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        subscriptions: Sequence[str],
        callbacks: BusCallbacks,
        network: Network,
        *,
        pace: Pace | None = None,
    ) -> None:
        """Prepare a client that subscribes to `subscriptions` with QoS 1; nothing is opened yet."""
        self._broker = broker
        self.client_id = client_id
        self._subscriptions = list(subscriptions)
        self._callbacks = callbacks
        self._network = network
        self._tls = tls_context(broker)
        self._protocol = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        self._connected = threading.Event()
        self._ended = threading.Event()
        self._stopping = False
        self._generation = 0
        self._failures = 0
        self._answered = False
        self._refused: str | None = None
        self._pump = Pump(client_id, network, pace or Pace(), self._sending_client)
        self._client = self._make_client()
        self.session_lost = False
        """Whether the broker forgot this client's session while it was away, as one does that was killed."""
        self._watching_writes = False
        self._asked_to_write = False

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and the subscriptions."""
        return self._connected.is_set()

    @property
    def protocol(self) -> str:
        """The MQTT version in use: `5` or `3.1.1`."""
        return "5" if self._protocol is MQTTProtocolVersion.MQTTv5 else "3.1.1"

    def start(self) -> None:
        """Begin to connect, and stay connected until `stop`."""
        self._network.add(self)
        self._network.connect_after(0.0, self._connect)

    def wait_connected(self, timeout_s: float) -> None:
        """Return when connected.

        Raises:
            UnreachableError: Not within `timeout_s`; the message says what the broker answered last.
        """
        if not self._connected.wait(timeout_s):
            raise UnreachableError(
                f"broker {self._where}: {self.client_id} not connected within {timeout_s:g} s "
                f"({self._refused or 'no answer'}); check agents.broker, the broker and its users",
                source="agents",
            )

    @property
    def waiting(self) -> int:
        """How many publications the broker has not taken over yet."""
        return len(self._pump)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        priority: Priority = "normal",
        on_sent: Callable[[], None] | None = None,
    ) -> None:
        """Publish; with QoS 1 as `put`, with QoS 0 now if connected, else never.

        `on_sent` is called when the broker has taken it over, with QoS 1.
        """
        if qos == 0:
            self._network.call_soon(lambda: self._publish_now(topic, payload))
            return
        self.put(Publication(topic, payload, priority, on_sent or nothing))

    def put(self, publication: Publication) -> None:
        """Have this sent when it is its turn, and again over reconnects of this process until the broker has it."""
        self._pump.put(publication)

    def stop(self, farewell: Will | None = None, *, timeout_s: float = 5.0) -> None:
        """Publish a farewell if given and connected, disconnect cleanly, and stay disconnected."""
        self._stopping = True
        if farewell is not None and self.connected:
            said = threading.Event()
            # after everything else: it is the last that is said
            self.publish(farewell.topic, farewell.payload, priority="low", on_sent=said.set)
            said.wait(timeout_s)
        self._connected.clear()
        if self._client.disconnect() is MQTTErrorCode.MQTT_ERR_SUCCESS and not self._ended.wait(timeout_s):
            self.drop()
        self._network.remove(self)

    def drop(self) -> None:
        """Cut the connection without a word, as a crash does: the broker publishes the will. It is opened again."""
        sock = self._client.socket()
        if sock is not None:
            cast("socket.socket", sock).shutdown(socket.SHUT_RDWR)

    def on_readable(self) -> None:
        """Read what is there."""
        self._client.read()

    def on_writable(self) -> None:
        """Write what waits; what the socket does not take is written once it says that it can."""
        client = self._client
        # before the queue is looked at: what is put in after the look asks again
        self._asked_to_write = False
        client.loop_write()
        sock = client.socket()
        if sock is None:
            return
        waits = client.want_write()
        if waits != self._watching_writes:
            self._watching_writes = waits
            self._network.want_write(sock, self, wanted=waits)
        if not waits and client.want_write():
            # put in while it still looked as if the socket was watched
            self._network.write_soon(self)

    def on_second(self) -> None:
        """Send a ping when one is due."""
        self._client.loop_misc()

    @property
    def _where(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"

    def _make_client(self) -> SessionClient:
        client = make_client(self._broker, self.client_id, self._protocol, self._tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._pump.on_publish
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = lambda _client, _data, sock: self._network.unwatch(sock)
        client.on_socket_register_write = self._on_waiting
        # `on_writable` decides what is watched; this only keeps paho from writing in the publisher's thread
        client.on_socket_unregister_write = lambda _client, _data, _sock: None
        return client

    def _connect(self) -> None:
        """Open the connection, in a connecting thread."""
        if self._stopping:
            return
        try:
            self._client.will_clear()
            will = self._callbacks.make_will()
            if will is not None:
                self._client.will_set(will.topic, will.payload, qos=1)
            generation, self._answered = self._generation, False
            open_connection(self._client, self._broker)
            self._network.call_after(_CONNACK_TIMEOUT_S, lambda: self._give_up(generation))
        except (OSError, ValueError) as error:
            self._note_failure(str(error))
            self._retry()

    def _give_up(self, generation: int) -> None:
        """Close a connection whose CONNACK never came."""
        if generation == self._generation and not self._connected.is_set() and not self._stopping:
            self.drop()

    def _on_connect(
        self, client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._answered = True
        if reason.is_failure:
            self._on_refused(reason)
            return
        self._pump.greeted(properties)
        self._generation += 1
        self.session_lost = self._generation > 1 and not flags.session_present
        if self._failures:
            log.info("broker_connected_again", broker=self._where, client_id=self.client_id, failures=self._failures)
        self._failures = 0
        if self._subscriptions:
            client.subscribe([(topic_filter, 1) for topic_filter in self._subscriptions])
        else:
            self._ready()

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any
    ) -> None:
        refused = [f for f, reason in zip(self._subscriptions, reasons, strict=False) if reason.is_failure]
        if refused:
            log.error("subscription_refused", broker=self._where, client_id=self.client_id, topic_filters=refused)
            self._refused = f"the broker refused to subscribe to {', '.join(refused)}"
            return
        self._ready()

    def _ready(self) -> None:
        self._connected.set()
        self._pump.wake()
        guarded(self._callbacks.on_connected, self.client_id)

    def _on_refused(self, reason: ReasonCode) -> None:
        if self._protocol is MQTTProtocolVersion.MQTTv5 and reason.getName() == "Unsupported protocol version":
            log.info("broker_speaks_mqtt_3_1_1", broker=self._where, client_id=self.client_id)
            self._refused = str(reason)
            self._protocol = MQTTProtocolVersion.MQTTv311
            return
        self._note_failure(f"refused: {reason}")

    def _on_disconnect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        if self._stopping:
            self._ended.set()
            return
        if was_connected:
            self._note_failure(f"connection lost: {reason}")
        elif not self._answered:
            self._note_failure("closed without an answer")
            self._try_other_version()
        fell_back = self._protocol is not client.protocol
        if fell_back:
            self._client = self._make_client()
            self._pump.call_back()
        self._retry(at_once=fell_back)

    def _try_other_version(self) -> None:
        """Take turns until one version was answered: some brokers neither refuse nor answer an MQTT 5 greeting."""
        if self._broker.protocol == "5" and self._generation == 0:
            five = self._protocol is MQTTProtocolVersion.MQTTv5
            self._protocol = MQTTProtocolVersion.MQTTv311 if five else MQTTProtocolVersion.MQTTv5

    def _note_failure(self, what: str) -> None:
        self._refused = what
        self._failures += 1
        say = log.warning if self._failures == 1 else log.debug
        say("broker_unreachable", broker=self._where, client_id=self.client_id, error=what)

    def _retry(self, *, at_once: bool = False) -> None:
        longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(self._failures, 10))
        self._network.connect_after(0.0 if at_once else random.uniform(longest / 2, longest), self._connect)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        mid, qos, generation = message.mid, message.qos, self._generation

        def ack() -> None:
            if qos and generation == self._generation:
                client.ack(mid, qos)

        arrived = Arrived(message.topic, bytes(message.payload), ack)
        # where that fails the message is not acknowledged, so it comes again
        guarded(lambda: self._callbacks.on_message(arrived), self.client_id)

    def _sending_client(self) -> paho.Client | None:
        return self._client if self._connected.is_set() else None

    def _publish_now(self, topic: str, payload: bytes) -> None:
        if self._connected.is_set():
            self._client.publish(topic, payload, qos=0)

    def _on_waiting(self, _client: paho.Client, _data: Any, _sock: Any) -> None:
        if not (self._watching_writes or self._asked_to_write):
            self._asked_to_write = True
            self._network.write_soon(self)

    def _on_socket_open(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        # without it Nagle's algorithm holds small messages back for up to 40 ms
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watching_writes = False
        self._network.watch(sock, self)
