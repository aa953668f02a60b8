"""The events an agent publishes: kept until a broker has taken them over, signed anew where their token grew old."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import structlog

from resources.agents.sdk.voice import Voice
from resources.agents.security.tokens import LIFETIME_S
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Message

log = structlog.get_logger(__name__)


class Outgoing:
    """The events of one agent on their way out; safe from any thread."""

    def __init__(self, voice: Voice, store: SeenStore) -> None:
        """Keep them in `store` and send them with `voice`."""
        self._voice = voice
        self._agent_id = voice.agent_id
        self._store = store
        self._lock = threading.Lock()
        self._handed: dict[str, float] = {}
        """Events that the connection of this process has, and since when (monotonic)."""

    def put(self, event: Message) -> None:
        """Record an event, which from here on survives a crash, and send it if connected.

        Raises:
            DataError: It is too large, or cannot be written as JSON.
        """
        self._voice.sign(event)
        self._store.keep_outgoing(self._agent_id, event)
        if self._voice.connected:
            self.send_waiting()

    def send_waiting(self) -> None:
        """Send what is kept and not on its way with a token that will last; connected."""
        now, wall = self._voice.clock.monotonic(), self._voice.clock.now()
        due = []
        with self._lock:
            for event in self._store.outgoing(self._agent_id):
                if event.deadline <= wall:
                    log.warning("event_expired_unsent", agent=self._agent_id, topic=event.topic, id=event.message_id)
                    self._forget(event.message_id)
                elif now - self._handed.get(event.message_id, -LIFETIME_S) > LIFETIME_S / 2:
                    # receivers act once on an id: the copy that the connection may still repeat does no harm
                    self._handed[event.message_id] = now
                    due.append(event)
        for event in due:
            self._voice.tell(event, self._teller(event.message_id), partial(self._goes_again, event.message_id))

    def _teller(self, message_id: str) -> Callable[[], None]:
        def sent() -> None:
            with self._lock:
                self._forget(message_id)

        return sent

    def _goes_again(self, message_id: str) -> bool:
        """Return whether an event that the broker refused is still to be sent, and note that it is on its way anew."""
        with self._lock:
            if message_id not in self._handed:
                return False
            self._handed[message_id] = self._voice.clock.monotonic()
            return True

    def _forget(self, message_id: str) -> None:
        self._handed.pop(message_id, None)
        self._store.drop_outgoing(self._agent_id, message_id)
