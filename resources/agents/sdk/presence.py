"""How an agent says that it is there: sessions, heartbeats, the last will, the farewell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from resources.agents.mqtt.bus import Will
from resources.agents.mqtt.network import Network
from resources.agents.sdk.voice import Voice
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Message

log = structlog.get_logger(__name__)

HEARTBEAT_S = 30.0
"""A heartbeat is sent at every connect and then this often."""

ONLINE, DEGRADED, OFFLINE = "online", "degraded", "offline"


@dataclass(frozen=True, slots=True)
class Card:
    """What an agent says of itself in every heartbeat."""

    agent_name: str
    agent_type: str
    capabilities: tuple[str, ...]
    commands: Callable[[], list[dict[str, Any]]]
    """Returns the field `commands`."""
    orchestrator_id: str


class Presence:
    """The presence of one agent; safe from any thread."""

    def __init__(self, card: Card, voice: Voice, store: SeenStore) -> None:
        """Say what `card` says; the last session is kept in `store`."""
        self._card = card
        self._voice = voice
        self._store = store
        self._lock = threading.Lock()
        self._leaving = False
        self.session = ""
        self.status = ONLINE

    def make_will(self) -> Will:
        """Begin a new session and return the last will of the connection that is about to be opened.

        Raises:
            DataError: What the agent says of itself is too large for a token.
        """
        self.session = self._store.next_session(self._voice.agent_id)
        token = self._voice.sign(self._heartbeat(OFFLINE), will=True)
        return Will(self._voice.topic("heartbeat"), token)

    def leave(self) -> Will:
        """Say nothing more but the heartbeat of a clean leave, which is returned."""
        with self._lock:
            self._leaving = True
            return Will(self._voice.topic("heartbeat"), self._voice.sign(self._heartbeat(OFFLINE)))

    def keep_beating(self, network: Network) -> None:
        """Send a heartbeat now and every 30 s for as long as the session is the same and connected."""
        session = self.session

        def beat() -> None:
            if session == self.session and self._beat():
                network.call_after(HEARTBEAT_S, beat)

        beat()

    def set_status(self, status: str) -> None:
        """Say `status` from now on: at once, and in every heartbeat."""
        changed, self.status = self.status != status, status
        if changed:
            self._beat()

    def _beat(self) -> bool:
        # within a session a heartbeat of an earlier second than the last is refused: made and sent in one order
        with self._lock:
            if self._leaving or not self._voice.connected:
                return False
            self._voice.beat(self._heartbeat(self.status))
            return True

    def _heartbeat(self, status: str) -> Message:
        card = self._card
        payload = {
            "status": status,
            "agent_name": card.agent_name,
            "agent_type": card.agent_type,
            "capabilities": list(card.capabilities),
            "commands": card.commands(),
        }
        return self._voice.formatter.heartbeat(payload, session_id=self.session, orchestrator_id=card.orchestrator_id)
