"""Once, on the platform's side: the message ids it has seen, in memory and, through the recorder, in the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

import psycopg

from resources.agents.record.entries import SeenId
from resources.agents.record.memory import forget_seen, load_seen
from resources.agents.security.judge import SKEW, Judge, Verdict
from resources.agents.security.tokens import Received
from resources.core.clock import Clock

_FORGET_EVERY = timedelta(seconds=60)


class SeenIds:
    """Ids of received messages until their deadline plus skew, for the threads of network and orchestrator."""

    def __init__(self, judge: Judge, clock: Clock) -> None:
        """Begin empty."""
        self._judge = judge
        self._clock = clock
        self._kept: dict[str, tuple[bytes, datetime]] = {}
        self._lock = Lock()
        self._forgot_at = clock.now()

    def restore(self, connection: psycopg.Connection) -> None:
        """Take over what was stored, beside what is kept here: the recorder may still have to write that."""
        stored = load_seen(connection, self._clock.now())
        with self._lock:
            self._kept = stored | self._kept

    def verdict(self, received: Received) -> Verdict:
        """Return whether a message is new, repeated or expired.

        Raises:
            RefusedError: Its id was used for other content, or its times break the rules.
        """
        kept = self._kept.get(received.message.message_id)
        return self._judge.verdict(received, kept and kept[0])

    def keep(self, received: Received) -> SeenId:
        """Keep the id of a message; return what is to be stored with what it caused."""
        message = received.message
        seen = SeenId(message.message_id, received.content_hash, message.deadline + SKEW)
        with self._lock:
            self._kept[message.message_id] = (seen.content_hash, seen.keep_until)
        return seen

    def forget(self, connection: psycopg.Connection) -> bool:
        """Once a minute, forget the ids that no longer count, here and in the database, and return True."""
        now = self._clock.now()
        if now - self._forgot_at < _FORGET_EVERY:
            return False
        self._forgot_at = now
        with self._lock:
            self._kept = {message_id: kept for message_id, kept in self._kept.items() if kept[1] >= now}
        forget_seen(connection, now)
        return True
