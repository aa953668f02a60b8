"""The collector on the agents' wire: it signs with its own key, role `alarm`, and hears what its commands came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from resources.agents.alarm_messages import ROLE
from resources.agents.config import AgentsConfig
from resources.agents.identity import KeyFiles, identity_of
from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.mqtt.outgoing import Publication
from resources.agents.security.judge import Verdict, response_of
from resources.agents.security.keys import PublicKeys
from resources.agents.wire.message import Message
from resources.agents.wire.refusals import Refusals, RefusedError
from resources.agents.wire.topics import agent_topic, event_topic
from resources.core.clock import Clock
from resources.core.errors import ConfigError
from resources.transport.broker import BrokerConfig

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wire:
    """Where the collector publishes, and as whom."""

    site: str
    agents: AgentsConfig
    """The site's public keys, permissions, and whether payloads are encrypted."""
    broker: BrokerConfig
    private_key: Path
    answerers: Sequence[str] = ()
    """Agents that the rules send commands to."""


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What an agent answered to a command of this collector."""

    command_id: str
    agent_id: str
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class SenderCallbacks:
    """What the owner wants to hear; called from the network's threads. The target of an event is ''."""

    on_sent: Callable[[str, str, bool], None]
    """message_id and target of what the broker has taken, and whether it has it for each of the targets now."""
    on_refused: Callable[[str, str], None]
    """message_id and target of what the broker does not take; it is sent again as long as it is wanted."""
    on_answer: Callable[[CommandAnswer, Callable[[], None]], None]
    """With what acknowledges it."""


class AlarmSender:
    """One connection with a persistent session."""

    def __init__(self, wire: Wire, callbacks: SenderCallbacks, clock: Clock) -> None:
        """Read the keys; nothing is opened yet.

        Raises:
            ConfigError: A key file is missing or wrong, or the key's role is not alarm.
        """
        self._wire, self._callbacks = wire, callbacks
        agents = wire.agents
        files = KeyFiles(wire.private_key, PublicKeys(agents.public_keys, clock))
        me = identity_of(files, wire.site, clock, permissions=agents.permissions, encrypt=agents.encrypt_payloads)
        if me.role != ROLE:
            raise ConfigError(
                f"private key {wire.private_key}: its role is {me.role}, and alarms need one of role {ROLE}: "
                "make it with `gl agents keys FOLDER --agent NEW_ID --role alarm`"
            )
        self.agent_id, self._sealer, self._judge = me.agent_id, me.sealer, me.judge
        self._refusals = Refusals(self.agent_id, clock)
        self._network = Network()
        self._bus = Bus(
            wire.broker,
            f"gl-{wire.site}-{self.agent_id}",
            [agent_topic(wire.site, agent, "response") for agent in wire.answerers],
            BusCallbacks(self._on_message, lambda: None, lambda: None),
            self._network,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker has this collector connected."""
        return self._bus.connected

    def refused(self) -> dict[str, int]:
        """Return reason -> how many received messages were refused."""
        return self._refusals.counts()

    def start(self) -> None:
        """Begin to connect, and stay connected until `stop`."""
        self._bus.start()

    def stop(self) -> None:
        """Disconnect."""
        self._bus.stop()
        self._network.close()

    def send(self, message: Message, wanted: Callable[[], bool]) -> None:
        """Sign a message and have it published on every topic it belongs to, once the broker is there.

        A token lives until the deadline of an alarm's message, so that it need not be signed anew after an outage.
        `wanted` is asked just before it goes. `on_sent` follows.

        Raises:
            DataError: The token would be too large, or the payload has no canonical form.
        """
        packets = self._packets(message)
        waiting = {target for target, _, _ in packets}
        for target, topic, token in packets:
            self._bus.put(
                Publication(
                    topic,
                    token,
                    message.priority,
                    on_sent=partial(self._taken, message.message_id, target, waiting),
                    on_refused=partial(self._callbacks.on_refused, message.message_id, target),
                    wanted=wanted,
                    renew=lambda token=token: token if wanted() else None,  # type: ignore[misc]
                )
            )

    def _packets(self, message: Message) -> list[tuple[str, str, bytes]]:
        """Return (target, topic, token) of all that is to be published."""
        site = self._wire.site
        if message.topic is not None:
            return [("", event_topic(site, message.topic), self._sealer.token(message))]
        return [
            (agent, agent_topic(site, agent, "command"), token)
            for agents, token in self._sealer.tokens(message, message.target_agents)
            for agent in agents
        ]

    def _taken(self, message_id: str, target: str, waiting: set[str]) -> None:
        waiting.discard(target)
        self._callbacks.on_sent(message_id, target, not waiting)

    def _on_message(self, arrived: Arrived) -> None:
        try:
            answer = self._answer(arrived)
        except RefusedError as refused:
            if refused.sealed_for in {"", self.agent_id}:
                self._refusals.add(refused, arrived.topic)
            # else it is encrypted for the orchestrator, which is asked on the same topics
            answer = None
        if answer is None:
            arrived.ack()
        else:
            self._callbacks.on_answer(answer, arrived.ack)

    def _answer(self, arrived: Arrived) -> CommandAnswer | None:
        """Return the answer to a command of this collector; None for what is said to somebody else, or too late."""
        received = self._judge.who(arrived.payload, arrived.topic)
        message = received.message
        if self.agent_id not in message.target_agents or message.correlation_id is None:
            return None
        payload = response_of(message)
        # a repeated answer finds its command answered already: ids need not be kept for that
        if self._judge.verdict(received, None) is Verdict.EXPIRED or payload.status == "expired":
            return None
        error_text = None if payload.error is None else str(payload.error)[:1000]
        return CommandAnswer(message.correlation_id, message.source_agent, payload.status, error_text)
