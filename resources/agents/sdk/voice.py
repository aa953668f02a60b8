"""What an agent says: signs its messages and hands them to the connection."""

from __future__ import annotations

from collections.abc import Callable

from resources.agents.mqtt.bus import Bus
from resources.agents.mqtt.outgoing import Publication, nothing
from resources.agents.security.sealing import Sealer
from resources.agents.wire.message import Formatter, Message
from resources.agents.wire.topics import agent_topic, event_topic
from resources.core.clock import Clock


class Voice:
    """The sending side of one agent; safe from any thread."""

    def __init__(self, sealer: Sealer, agent_id: str, site: str, clock: Clock) -> None:
        """Speak as `agent_id`, whose key `sealer` signs with; nothing can be sent before `attach`."""
        self.agent_id = agent_id
        self.site = site
        self.clock = clock
        self.formatter = Formatter(agent_id, clock)
        self._sealer = sealer
        self._bus: Bus | None = None

    def attach(self, bus: Bus) -> None:
        """Send over this connection from now on."""
        self._bus = bus

    @property
    def bus(self) -> Bus:
        """The connection."""
        assert self._bus is not None, "the agent was not started"
        return self._bus

    @property
    def attached(self) -> bool:
        """Whether there is a connection, open or not."""
        return self._bus is not None

    @property
    def connected(self) -> bool:
        """Whether the broker has this agent connected."""
        return self._bus is not None and self._bus.connected

    def topic(self, channel: str) -> str:
        """Return the topic of the agent's own channel `command`, `response` or `heartbeat`."""
        return agent_topic(self.site, self.agent_id, channel)  # type: ignore[arg-type]  # the callers name no other

    def sign(self, message: Message, *, will: bool = False) -> bytes:
        """Return the message as a token issued now, encrypted if it is an answer and both sides have keys for that.

        Raises:
            DataError: It is too large, or cannot be written as JSON.
        """
        return self._sealer.token(message, will=will)

    def respond(self, response: Message) -> None:
        """Send an answer, signed now."""
        self.respond_signed(self.sign(response), response)

    def respond_signed(self, token: bytes, response: Message) -> None:
        """Send an answer that was signed."""
        self._put(self.topic("response"), token, response, nothing, lambda: True)

    def beat(self, heartbeat: Message) -> None:
        """Send a heartbeat, signed now; the next one makes up for one that is lost."""
        self.bus.publish(self.topic("heartbeat"), self.sign(heartbeat), qos=0)

    def tell(self, event: Message, on_sent: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Send an event, signed now; `on_sent` is called once a broker has it.

        One that the broker refuses is sent again as long as it is `wanted`, until its deadline.
        """
        assert event.topic is not None
        self._put(event_topic(self.site, event.topic), self.sign(event), event, on_sent, wanted)

    def _put(
        self, topic: str, token: bytes, message: Message, on_sent: Callable[[], None], wanted: Callable[[], bool]
    ) -> None:
        def renew() -> bytes | None:
            return self.sign(message) if self.clock.now() < message.deadline and wanted() else None

        self.bus.put(Publication(topic, token, message.priority, on_sent, renew=renew))
