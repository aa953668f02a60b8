"""The collector on the agents' wire: it signs with its own key, role `alarm`, and hears what its commands came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from resources.agents.bus import Arrived, Bus, BusCallbacks
from resources.agents.judge import Judge, Verdict
from resources.agents.keys import PublicKeys, load_private_key
from resources.agents.message import Message, ResponsePayload
from resources.agents.network import Network
from resources.agents.refusals import Refusals, RefusedError
from resources.agents.tokens import sign
from resources.agents.topics import agent_topic
from resources.core.clock import Clock
from resources.core.errors import ConfigError
from resources.transport.broker import BrokerConfig

ROLE = "alarm"
"""Role of the collector's key."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Where the collector publishes, and as whom."""

    site: str
    broker: BrokerConfig
    private_key: Path
    public_keys: Path
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
    """What the owner wants to hear; called from the network's threads."""

    on_sent: Callable[[str], None]
    """message_id of a message that the broker has taken, for each of its targets."""
    on_connected: Callable[[], None]
    on_answer: Callable[[CommandAnswer, Callable[[], None]], None]
    """With what acknowledges it."""


class AlarmSender:
    """One connection with a persistent session."""

    def __init__(self, wire: Wire, callbacks: SenderCallbacks, clock: Clock) -> None:
        """Read the keys; nothing is opened yet.

        Raises:
            ConfigError: A key file is missing or wrong, or the key's role is not alarm.
        """
        self._wire, self._callbacks, self._clock = wire, callbacks, clock
        self._key = load_private_key(wire.private_key)
        self.agent_id = self._key.agent_id
        if self._key.role != ROLE:
            raise ConfigError(
                f"private key {wire.private_key}: its role is {self._key.role}, and alarms need one of role alarm: "
                "make it with `gl agents keys FOLDER --agent NEW_ID --role alarm`"
            )
        self._judge = Judge(PublicKeys(wire.public_keys, clock), wire.site, clock)
        self._refusals = Refusals(self.agent_id)
        self._network = Network()
        self._bus = Bus(
            wire.broker,
            f"gl-{wire.site}-{self.agent_id}",
            [agent_topic(wire.site, agent, "response") for agent in wire.answerers],
            BusCallbacks(self._on_message, callbacks.on_connected, lambda: None),
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

    def send(self, message: Message) -> None:
        """Sign and publish a message to every topic it belongs to; `on_sent` follows.

        Raises:
            DataError: The token would be too large, or the payload has no canonical form.
        """
        token = sign(message, self._key, self._wire.site, now=self._clock.now()).encode()
        waiting = set(self._topics(message))
        for topic in sorted(waiting):
            self._bus.publish(topic, token, on_sent=partial(self._taken, message.message_id, topic, waiting))

    def _topics(self, message: Message) -> list[str]:
        if message.message_type == "event":
            return [f"gl/{self._wire.site}/events/{message.topic}"]
        return [agent_topic(self._wire.site, agent, "command") for agent in message.target_agents]

    def _taken(self, message_id: str, topic: str, waiting: set[str]) -> None:
        waiting.discard(topic)
        if not waiting:
            self._callbacks.on_sent(message_id)

    def _on_message(self, arrived: Arrived) -> None:
        try:
            answer = self._answer(arrived)
        except RefusedError as refused:
            self._refusals.add(refused, arrived.topic)
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
        try:
            payload = ResponsePayload.model_validate(message.payload)
        except ValidationError as error:
            raise RefusedError(
                "malformed", "the response's payload is not of the fixed form", claimed=message.source_agent
            ) from error
        # a repeated answer finds its command answered already: ids need not be kept for that
        if self._judge.verdict(received, None) is Verdict.EXPIRED or payload.status == "expired":
            return None
        error_text = None if payload.error is None else str(payload.error)[:1000]
        return CommandAnswer(message.correlation_id, message.source_agent, payload.status, error_text)
