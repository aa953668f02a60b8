"""What the tests of the agents share: a site with keys, agents on a real broker, and a way to wait."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from resources.agents.agent import Agent, AgentRuntime, AgentSettings
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import AgentsConfig
from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.requests import Command
from resources.agents.sdk.executor import PriorityExecutor
from resources.agents.security.keys import PublicKeys, generate_keys, load_private_key
from resources.agents.security.tokens import open_token, sign
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Formatter, Message
from resources.core.clock import Clock, SystemClock
from resources.embedded.broker import EmbeddedBroker
from resources.transport.broker import BrokerConfig

SITE = "test"


def until(condition: Callable[[], Any], what: str = "condition", timeout_s: float = 60.0) -> Any:
    """Return the condition's first true value; fail after a generous deadline."""
    ends = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < ends, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def plain_broker(port: int) -> BrokerConfig:
    return BrokerConfig(host="127.0.0.1", port=port, tls=False, insecure_plain_tcp=True)


def set_access(broker: EmbeddedBroker, acl: str) -> None:
    """Have a running Mosquitto read another access list; its connections stay."""
    assert broker._process is not None
    (broker._state / "acl").write_text(acl)
    os.kill(broker._process.pid, signal.SIGHUP)


@dataclass
class Plant:
    """One site: keys of everyone, a configuration, and the agents a test starts."""

    folder: Path
    broker: BrokerConfig
    database_url: str
    targets: Sequence[str] = ("GL-002", "GL-003")
    executions: list[tuple[str, str]] = field(default_factory=list)
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = self.folder / "keys"
        self.jwks = generate_keys(self.keys, ["GL-001", *self.targets])

    @property
    def config(self) -> AgentsConfig:
        return AgentsConfig(
            broker=self.broker,
            private_key=self.keys / "GL-001.jwk",
            public_keys=self.jwks,
            targets=tuple(self.targets),
        )

    def agent(
        self,
        agent_id: str,
        *,
        clock: Clock | None = None,
        store_clock: Clock | None = None,
        declare: Callable[[Agent], object] = lambda _agent: None,
        threads: int = 2,
    ) -> Agent:
        """A connected agent whose `count` counts.

        `store_clock` says when its store was made; `declare` gives it more to do before it starts; `threads` run it.
        """
        seen = SeenStore(self.folder / f"{agent_id}.sqlite", store_clock or clock)
        runtime = AgentRuntime(Network(), PriorityExecutor(threads))
        settings = AgentSettings(
            SITE, self.broker, self.keys / f"{agent_id}.jwk", self.jwks, agent_id, "boiler", ["heat"]
        )
        agent = Agent(settings, seen, clock=clock, runtime=runtime)

        @agent.command("count", schema={"type": "object", "properties": {"n": {"type": "integer"}}})
        def count(args: dict[str, Any], call: Any) -> Any:
            self.executions.append((agent_id, call.message_id))
            return {"n": args.get("n", 0)}

        @agent.command("emergency", roles=("orchestrator", "alarm"))
        def emergency(_args: dict[str, Any], call: Any) -> Any:
            self.executions.append((agent_id, call.message_id))

        declare(agent)

        def close() -> None:
            agent.stop()
            runtime.executor.shutdown()
            runtime.network.close()
            seen.close()

        self._closers.append(close)
        agent.start()
        agent.wait_connected()
        return agent

    def leave(self) -> None:
        """Stop the agents started so far; the stores stay."""
        closers, self._closers = self._closers, []
        for close in reversed(closers):
            close()

    def broadcaster(self, clock: Clock | None = None) -> Broadcaster:
        return Broadcaster(self.config, site=SITE, database_url=self.database_url, clock=clock)

    def command(self, name: str = "count", *, timeout_s: float = 60.0, **more: Any) -> Command:
        args = more.pop("args", {})
        return Command(name, args, more.pop("targets", self.targets), timeout_s, **more)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def wire(self, subscribe: str = "+", client_id: str = "tester") -> Wire:
        wire = Wire(self, subscribe, client_id)
        self._closers.append(wire.close)
        return wire


class Wire:
    """A bare client at the broker: publishes any bytes, and keeps what it hears."""

    def __init__(self, plant: Plant, subscribe: str, client_id: str) -> None:
        self._plant = plant
        self._network = Network()
        self.heard: list[Arrived] = []
        topics = [f"gl/{SITE}/agents/{subscribe}/{channel}" for channel in ("response", "heartbeat")]
        topics.append(f"gl/{SITE}/events/+")
        callbacks = BusCallbacks(self._hear, lambda: None, lambda: None)
        self._bus = Bus(plant.broker, client_id, topics, callbacks, self._network)
        self._bus.start()
        self._bus.wait_connected(30)

    def publish(self, topic: str, payload: bytes) -> None:
        taken = threading.Event()
        self._bus.publish(topic, payload, on_sent=taken.set)
        assert taken.wait(30)

    def send(self, message: Message, *, to: str, clock: Clock | None = None, sender: str = "GL-001") -> bytes:
        """Sign a message as `sender` and publish it as a command to one agent."""
        return self._say(message, f"gl/{SITE}/agents/{to}/command", sender, clock)

    def tell(self, event: Message, *, clock: Clock | None = None, sender: str = "GL-001") -> bytes:
        """Sign an event as `sender` and publish it on its topic."""
        return self._say(event, f"gl/{SITE}/events/{event.topic}", sender, clock)

    def _say(self, message: Message, topic: str, sender: str, clock: Clock | None) -> bytes:
        key = load_private_key(self._plant.keys / f"{sender}.jwk")
        token = sign(message, key, SITE, now=(clock or SystemClock()).now()).encode()
        self.publish(topic, token)
        return token

    def messages(self, kind: str) -> list[Message]:
        keys = PublicKeys(self._plant.jwks)
        found = [open_token(arrived.payload, keys, SITE).message for arrived in list(self.heard)]
        return [message for message in found if message.message_type == kind]

    def responses(self, to: str | None = None) -> list[Message]:
        return [message for message in self.messages("response") if to in (None, message.correlation_id)]

    def close(self) -> None:
        self._bus.stop()
        self._network.close()

    def _hear(self, arrived: Arrived) -> None:
        self.heard.append(arrived)
        arrived.ack()


def orchestrator_says(clock: Clock | None = None, **given: Any) -> Message:
    """A command of GL-001 as a message."""
    given.setdefault("targets", ["GL-002"])
    given.setdefault("timeout_s", 60.0)
    name, args = given.pop("name", "count"), given.pop("args", {})
    return Formatter("GL-001", clock or SystemClock()).command(name, args, **given)
