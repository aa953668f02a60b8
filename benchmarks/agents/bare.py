"""The bare limit of a broadcast: plain paho clients in a process of their own that send back what they get.

No signature, no store, no row: a publish to each client's topic and the wait for as many answers, QoS 1, the same
broker, TCP_NODELAY on every connection. `python -m benchmarks.agents.bare PORT COUNT` is the answering process.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.agents.plant import READY_S, child
from resources.core.errors import PlatformError

_PAYLOAD = b"x" * 700
"""As long as a signed command to one agent."""


class BareRounds:
    """One client that asks, and counts the answers."""

    def __init__(self, port: int, count: int) -> None:
        """Connect to the broker."""
        self._topics = [f"bare/{number}/command" for number in range(count)]
        self._answers = 0
        self._complete = threading.Event()
        self._client = _client(port, "bare/+/response", self._hear)

    def ask(self) -> float:
        """Return the milliseconds from the first publish to the last answer.

        Raises:
            PlatformError: Not all answered.
        """
        self._answers = 0
        self._complete.clear()
        begun = time.perf_counter()
        for topic in self._topics:
            self._client.publish(topic, _PAYLOAD, qos=1)
        if not self._complete.wait(READY_S):
            raise PlatformError(f"only {self._answers} of {len(self._topics)} bare clients answered")
        return (time.perf_counter() - begun) * 1000

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, *_: Any) -> None:
        self._answers += 1
        if self._answers == len(self._topics):
            self._complete.set()


@contextmanager
def bare_rounds(port: int, count: int) -> Iterator[BareRounds]:
    """Yield the asking side, with `count` answering clients behind the broker."""
    with child([sys.executable, "-m", "benchmarks.agents.bare", str(port), str(count)]) as answering:
        assert answering.stdout is not None
        answering.stdout.readline()
        rounds = BareRounds(port, count)
        try:
            yield rounds
        finally:
            rounds.close()


def _client(port: int, topic: str, hear: Callable[..., None]) -> paho.Client:
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_socket_open = _without_delay
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = hear
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    if not subscribed.wait(READY_S):
        raise PlatformError(f"broker 127.0.0.1:{port}: a bare client could not subscribe to {topic}")
    return client


def _without_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _answer_all(port: int, count: int) -> None:
    """Answer every command with as many bytes until terminated."""

    def answer(client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.publish(message.topic.replace("command", "response"), message.payload, qos=1)

    clients = [_client(port, f"bare/{number}/command", answer) for number in range(count)]
    sys.stdout.write(f"{len(clients)} ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    _answer_all(int(sys.argv[1]), int(sys.argv[2]))
