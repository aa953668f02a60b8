"""What a GL agent embeds: it connects, says it is alive, runs each command once, answers, and listens to events.

::

    agent = Agent(AgentSettings(...), SeenStore(folder / "agent.sqlite"))

    @agent.command("optimize", schema={"type": "object", "required": ["load"]})
    def optimize(args, call):
        return {"excess_air": 0.12}

    @agent.event("emergency")
    def emergency(payload, event):
        close_fuel_valve()

    agent.run()
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from resources.agents.identity import KeyFiles, identity_of
from resources.agents.mqtt.bus import Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.sdk.executor import Jobs, PriorityExecutor
from resources.agents.sdk.inbox import Inbox
from resources.agents.sdk.offers import DEFAULT_ROLES, Call, CommandError, Handler, Offers
from resources.agents.sdk.outgoing import Outgoing
from resources.agents.sdk.presence import DEGRADED, ONLINE, Card, Presence
from resources.agents.sdk.subscriptions import Event, EventHandler, Subscriptions
from resources.agents.sdk.voice import Voice
from resources.agents.security.keys import PublicKeys
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Priority
from resources.agents.wire.permissions import Permissions
from resources.agents.wire.topics import agent_topic, event_topic
from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError, DataError
from resources.core.process.memory import collect_rarely, release_unused
from resources.transport.broker import BrokerConfig

__all__ = ["Agent", "AgentRuntime", "AgentSettings", "Call", "CommandError", "Event", "EventHandler", "Handler"]

log = structlog.get_logger(__name__)

_EVENT_TIMEOUT_S = 300.0
_LEAVE_S = 10.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Who an agent is and where its broker and keys are."""

    site: str
    broker: BrokerConfig
    private_key: Path
    """`<agent_id>.jwk`; the file name is the agent's id."""
    public_keys: Path | PublicKeys
    """The JWKS file, or keys that several agents of a process share."""
    agent_name: str
    agent_type: str
    capabilities: Sequence[str] = ()
    orchestrator_id: str = "GL-001"
    permissions: Permissions | None = None
    """Who may send which command and event, beyond what the commands declare; others are refused."""
    encryption_keys: Path | None = None
    """`<agent_id>.enc.jwks`: encrypted commands are understood then, and answers are encrypted where the receiver
    has a key for it; None: the file of that name beside the private key, where there is one."""


@dataclass(frozen=True, slots=True)
class AgentRuntime:
    """What several agents of one process share; each agent makes its own where it is absent."""

    network: Network
    executor: PriorityExecutor


class Agent:
    """One agent on the wire of `docs/reference/agents-wire.md`."""

    def __init__(
        self,
        settings: AgentSettings,
        store: SeenStore,
        *,
        clock: Clock | None = None,
        runtime: AgentRuntime | None = None,
    ) -> None:
        """Read the keys; nothing is opened yet.

        Raises:
            ConfigError: A key file is missing or wrong.
        """
        self._settings = settings
        clock = clock or SystemClock()
        files = KeyFiles(settings.private_key, settings.public_keys, settings.encryption_keys)
        me = identity_of(files, settings.site, clock, permissions=settings.permissions)
        self.agent_id, self._role, self._judge = me.agent_id, me.role, me.judge
        self._voice = Voice(me.sealer, self.agent_id, settings.site, clock)
        self._runtime = runtime or AgentRuntime(Network(), PriorityExecutor())
        self._owns_runtime = runtime is None
        self._stopped = False
        self._offers = Offers(self.agent_id)
        self._subscriptions = Subscriptions(self.agent_id)
        jobs = Jobs(self._runtime.executor)
        self._inbox = Inbox(self._voice, store, self._judge, jobs, (self._offers, self._subscriptions))
        self._outgoing = Outgoing(self._voice, store)
        card = Card(
            settings.agent_name,
            settings.agent_type,
            tuple(settings.capabilities),
            self._offers.to_wire,
            settings.orchestrator_id,
        )
        self._presence = Presence(card, self._voice, store)

    def command(
        self, name: str, *, schema: dict[str, Any] | None = None, roles: Sequence[str] = DEFAULT_ROLES
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as the handler of a command, or query; before `start`.

        Args:
            name: The command's name.
            schema: JSON Schema (2020-12) of the arguments; other arguments are answered with an error.
            roles: Roles of the keys that may send it.

        Raises:
            ConfigError: The schema is not a JSON Schema, a role is unknown, or the name is taken.
        """
        return self._offers.declare(name, schema, roles)

    def event(self, topic: str, *, schema: dict[str, Any] | None = None) -> Callable[[EventHandler], EventHandler]:
        """Have the decorated function called with every event on `topic`, each once; before `start`.

        A topic may have several handlers. What an agent publishes it hears too where it listens to the topic.

        Args:
            topic: `emergency`, `system_status` or another topic of the site.
            schema: JSON Schema (2020-12) of the payload; an event that fits no handler's is refused.

        Raises:
            ConfigError: The schema is not a JSON Schema, or the topic cannot be one.
        """
        return self._subscriptions.declare(topic, schema)

    def publish(
        self, topic: str, payload: Any, *, priority: Priority = "normal", timeout_s: float = _EVENT_TIMEOUT_S
    ) -> str:
        """Publish an event and return its message_id; it is durable on return, and sent once a broker is there.

        Raises:
            DataError: The payload is not JSON, or too large; topic, priority or timeout are outside the wire's; or the
                permissions do not allow it.
        """
        try:
            event = self._voice.formatter.event(topic, payload, timeout_s=timeout_s, priority=priority)
        except ValueError as error:
            raise DataError(
                f"agent {self.agent_id}: event {topic}: not a topic, priority or timeout of the wire: {error}"
            ) from error
        if self._settings.permissions is not None:
            self._settings.permissions.refuse_sending(event, self._role)
        self._outgoing.put(event)
        return event.message_id

    @property
    def status(self) -> str:
        """What the next heartbeat says: `online` or `degraded`."""
        return self._presence.status

    def degrade(self, reason: str) -> None:
        """Say `degraded` from now on, at once and in every heartbeat; from handlers too. The reason is logged."""
        log.warning("agent_degraded", agent=self.agent_id, reason=reason)
        self._presence.set_status(DEGRADED)

    def recover(self) -> None:
        """Say `online` again."""
        self._presence.set_status(ONLINE)

    def start(self) -> None:
        """Connect, and stay connected until `stop`; what a crash left unanswered is answered `in_doubt`, not run.

        Raises:
            ConfigError: What the agent declares does not fit into a heartbeat, or the broker's certificates are wrong.
        """
        try:
            self._presence.make_will()
        except DataError as error:
            raise ConfigError(f"agent {self.agent_id}: its commands do not fit into a heartbeat: {error}") from error
        self._inbox.settle_unfinished()
        site = self._settings.site
        topics = [event_topic(site, topic) for topic in self._subscriptions.topics]
        bus = Bus(
            self._settings.broker,
            f"gl-{site}-{self.agent_id}",
            [agent_topic(site, self.agent_id, "command"), *topics],
            BusCallbacks(self._inbox.take, self._on_connected, self._presence.make_will),
            self._runtime.network,
        )
        self._voice.attach(bus)
        bus.start()

    def wait_connected(self, timeout_s: float = 30.0) -> None:
        """Return when connected; UnreachableError if that takes longer."""
        self._voice.bus.wait_connected(timeout_s)

    def stop(self, timeout_s: float = _LEAVE_S) -> None:
        """Leave cleanly: take nothing more, let handlers end and their answers go out, say offline, disconnect.

        Commands of the orchestrator whose turn has not come are given back: they are sent again when the agent returns.
        An agent that left does not start again; make another on the same store.
        """
        if self._stopped:
            return
        self._stopped = True
        ended = self._inbox.leave(timeout_s)
        if not ended:
            log.warning("agent_left_with_handlers_running", agent=self.agent_id, waited_s=timeout_s)
        if self._voice.attached:
            self._voice.bus.stop(self._presence.leave())
        if self._owns_runtime:
            self._runtime.executor.shutdown(wait=ended)
            self._runtime.network.close()

    def run(self) -> None:
        """Start, stay until SIGTERM or SIGINT, and leave; for the main thread of a program that is an agent."""
        ending = threading.Event()
        signals = (signal.SIGTERM, signal.SIGINT)
        former = [signal.signal(number, lambda *_: ending.set()) for number in signals]
        try:
            self.start()
            release_unused()
            collect_rarely()
            ending.wait()
        finally:
            self.stop()
            for number, handler in zip(signals, former, strict=True):
                signal.signal(number, handler)

    def drop_connection(self) -> None:
        """Cut the connection as a fault of the network does; it comes back by itself, as a new session."""
        self._voice.bus.drop()

    @property
    def connected(self) -> bool:
        """Whether the broker has this agent connected."""
        return self._voice.connected

    def refused(self) -> dict[str, int]:
        """Return reason -> how many received messages were refused."""
        return self._inbox.refusals.counts()

    def verdicts(self) -> dict[str, int]:
        """Return verdict -> how many received messages got it: new, repeated, expired."""
        return self._judge.verdicts()

    def _on_connected(self) -> None:
        self._presence.keep_beating(self._runtime.network)
        self._inbox.answer_unasked()
        self._outgoing.send_waiting()
