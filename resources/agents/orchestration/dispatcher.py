"""The orchestrator's sending hand: what the schedule says is due is signed and handed to the bus."""

from __future__ import annotations

from functools import partial
from threading import Lock

import structlog

from resources.agents.mqtt.bus import Bus
from resources.agents.mqtt.outgoing import Publication
from resources.agents.orchestration.desk import Desk
from resources.agents.orchestration.schedule import Sending
from resources.agents.record import outbox
from resources.agents.record.entries import Miss, Sent
from resources.agents.security.sealing import Sealer
from resources.agents.security.tokens import LIFETIME_S
from resources.agents.wire.message import Message
from resources.agents.wire.topics import agent_topic, event_topic
from resources.core.errors import DataError

log = structlog.get_logger(__name__)

_OLD_AFTER_S = LIFETIME_S / 2
"""A token that has waited so long for its turn is not sent any more, but signed anew."""


class Dispatcher:
    """Sends what is due; safe from any thread."""

    def __init__(self, desk: Desk, bus: Bus, sealer: Sealer) -> None:
        """Send over `bus`, signed by `sealer`."""
        self._desk = desk
        self._bus = bus
        self._sealer = sealer
        self._sending = Lock()

    def send_due(self) -> None:
        """Hand over what is due, the most urgent first; without a connection nothing is taken as sent."""
        if not self._bus.connected:
            return
        with self._sending:
            for sending in self._desk.schedule.take_due():
                try:
                    self._send(sending)
                except DataError as error:
                    self._give_up(sending.message, str(error))

    def _send(self, sending: Sending) -> None:
        message, site = sending.message, self._desk.site
        if message.message_type == "event":
            topic = event_topic(site, message.topic or "")
            self._put(message, outbox.BROKER, topic, self._sealer.token(message))
            return
        for agents, token in self._sealer.tokens(message, sending.agents):
            for agent_id in agents:
                self._put(message, agent_id, agent_topic(site, agent_id, "command"), token)

    def _put(self, message: Message, target: str, topic: str, token: bytes) -> None:
        old_at = self._desk.clock.monotonic() + _OLD_AFTER_S
        self._bus.put(
            Publication(
                topic,
                token,
                message.priority,
                on_sent=partial(self._note_sent, message.message_id, target),
                # a broker's quota passes, a wrong access list is put right: again later, until the deadline
                on_refused=partial(self._desk.schedule.send_again, message.message_id, target),
                wanted=partial(self._is_wanted, message.message_id, target, old_at),
            )
        )

    def _is_wanted(self, message_id: str, target: str, old_at: float) -> bool:
        """Return whether a token whose turn has come is still to be sent; one that is too old is signed anew."""
        if not self._desk.schedule.is_open(message_id, target):
            return False
        if self._desk.clock.monotonic() < old_at:
            return True
        self._desk.schedule.send_now(message_id, target)
        return False

    def _note_sent(self, message_id: str, target: str) -> None:
        desk = self._desk
        if target != outbox.BROKER:
            desk.schedule.note_sent(message_id, target)
            desk.recorder.sent(Sent(message_id, target, desk.clock.now()))
        elif desk.schedule.close(message_id, target).done:
            desk.recorder.published(message_id, after=[desk.ended.teller(message_id)])

    def _give_up(self, message: Message, why: str) -> None:
        """End a message that can't be signed: it would fail each time, and hold up what is behind it."""
        desk, message_id = self._desk, message.message_id
        log.error("message_unsendable", message_id=message_id, error=why)
        desk.schedule.withdraw(message_id)
        after = [desk.ended.teller(message_id)]
        if message.message_type == "event":
            desk.recorder.published(message_id, lapsed=True, after=after)
            return
        misses = [Miss(message_id, agent, f"it could not be sent: {why}") for agent in message.target_agents]
        desk.recorder.missed(misses, done=[message_id], after=after)
