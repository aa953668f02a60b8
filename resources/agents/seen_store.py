"""What an agent must not forget: the ids it has seen, its answers, events it has to send, and its last session.

One file may serve several agents of one process. Changes are visible at once to `find` and become durable by group
commit (`sdk/journal.py`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import uuid_utils

from resources.agents.sdk.journal import Journal, OnDurable
from resources.agents.security.judge import SKEW
from resources.agents.wire.message import Message, new_id
from resources.core.clock import Clock, SystemClock, from_micros, to_micros
from resources.core.errors import ConfigError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS agent (
    agent_id TEXT PRIMARY KEY, created_us INTEGER NOT NULL, session_id TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    agent_id TEXT NOT NULL, message_id TEXT NOT NULL, content_hash BLOB NOT NULL, keep_until_us INTEGER NOT NULL,
    command TEXT NOT NULL, response TEXT, PRIMARY KEY (message_id, agent_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_keep_until ON seen (keep_until_us);
CREATE TABLE IF NOT EXISTS outgoing (
    agent_id TEXT NOT NULL, message_id TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (agent_id, message_id)
) WITHOUT ROWID;
"""
_BEGIN = """
INSERT OR REPLACE INTO seen (agent_id, message_id, content_hash, keep_until_us, command) VALUES {rows}
"""
_FINISH = """
UPDATE seen SET response = done.column1 FROM (VALUES {rows}) AS done
WHERE agent_id = done.column2 AND message_id = done.column3
"""
_NO_ANSWER = "null"
"""In place of a response: what asks for none (an event) was done."""

_OLDEST_SQLITE = (3, 33)
"""The first that has UPDATE FROM."""

_PRUNE_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Seen:
    """One id that was seen: its content, the message it was, and what came of it."""

    content_hash: bytes
    keep_until: datetime
    command: Message
    response: Message | None
    """The answer; None: not answered yet, or not asked for one."""
    finished: bool = False
    """False: begun, and not finished yet."""


class SeenStore:
    """The durable memory of the agents of one process; safe from any thread."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open or make the file.

        Raises:
            ConfigError: The file cannot be opened, or is not such a store; or SQLite is too old.
        """
        self._clock = clock or SystemClock()
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ConfigError(
                f"agent store {path}: this Python has SQLite {sqlite3.sqlite_version}, 3.33 or newer is needed: use "
                "another Python"
            )
        try:
            self._journal = Journal(path, _SCHEMA)
            self._agents = self._load_agents()
            self._seen = self._load_seen()
            self._outgoing = self._load_outgoing()
        except sqlite3.Error as error:
            raise ConfigError(
                f"agent store {path}: cannot be opened ({error}); check the disk, or remove the file: the agents then "
                "refuse every command issued before now"
            ) from error
        self._pruned_at = self._clock.now()
        self._journal.start()

    def created_at(self, agent_id: str) -> datetime:
        """Return when this store first heard of the agent: tokens issued before may have been acted on already."""
        if agent_id not in self._agents:
            now = self._clock.now()
            self._agents[agent_id] = (now, None)
            self._journal.put_and_wait("INSERT INTO agent VALUES (?, ?, NULL)", (agent_id, to_micros(now)))
        return self._agents[agent_id][0]

    def next_session(self, agent_id: str) -> str:
        """Return a session_id greater than every earlier one of the agent, also after a clock was set back; durable."""
        created, last = self.created_at(agent_id), self._agents[agent_id][1]
        session = new_id()
        if last is not None and session <= last:
            session = _after(last)
        self._agents[agent_id] = (created, session)
        self._journal.put_and_wait("UPDATE agent SET session_id = ? WHERE agent_id = ?", (session, agent_id))
        return session

    def find(self, agent_id: str, message_id: str) -> Seen | None:
        """Return what is kept under an id, also what is on its way to the disk."""
        return self._seen.get((agent_id, message_id))

    def begin(self, agent_id: str, command: Message, content_hash: bytes, on_durable: OnDurable) -> None:
        """Record that a command or an event is started; `on_durable` is called from the writer's thread."""
        self._prune()
        keep_until = command.deadline + SKEW
        self._seen[agent_id, command.message_id] = Seen(content_hash, keep_until, command, None)
        kept = command
        if len(command.target_agents) > 1:
            # the others are nobody's business here, and without them a page of the file holds many rows
            kept = command.model_copy(update={"target_agents": [agent_id]})
        parameters = (agent_id, command.message_id, content_hash, to_micros(keep_until), _text(kept))
        self._journal.put(_BEGIN, parameters, on_durable)

    def finish(self, agent_id: str, response: Message, on_durable: OnDurable) -> None:
        """Record the answer to a command that was begun."""
        assert response.correlation_id is not None
        self._finish((agent_id, response.correlation_id), response, _text(response), on_durable)

    def finish_unanswered(self, agent_id: str, message_id: str, on_durable: OnDurable | None = None) -> None:
        """Record that what asks for no answer was done."""
        self._finish((agent_id, message_id), None, _NO_ANSWER, on_durable)

    def forget(self, agent_id: str, message_id: str, on_durable: OnDurable | None = None) -> None:
        """Forget an id that was begun and then not acted on: it may come again."""
        self._seen.pop((agent_id, message_id), None)
        self._journal.put("DELETE FROM seen WHERE agent_id = ? AND message_id = ?", (agent_id, message_id), on_durable)

    def barrier(self, on_durable: OnDurable) -> None:
        """Call `on_durable` once everything recorded so far is durable."""
        self._journal.put("SELECT 1", (), on_durable)

    def unfinished(self, agent_id: str) -> list[Seen]:
        """Return what the agent has begun and not finished."""
        return [seen for (owner, _), seen in list(self._seen.items()) if owner == agent_id and not seen.finished]

    def keep_outgoing(self, agent_id: str, event: Message) -> None:
        """Record an event that is to be sent; durable on return."""
        self._outgoing[agent_id, event.message_id] = event
        parameters = (agent_id, event.message_id, _text(event))
        self._journal.put_and_wait("INSERT OR REPLACE INTO outgoing VALUES (?, ?, ?)", parameters)

    def outgoing(self, agent_id: str) -> list[Message]:
        """Return the agent's events that no broker has taken over yet, oldest first."""
        return [event for (owner, _), event in sorted(self._outgoing.items()) if owner == agent_id]

    def drop_outgoing(self, agent_id: str, message_id: str) -> None:
        """Forget an event: a broker has it, or its time is over."""
        if self._outgoing.pop((agent_id, message_id), None) is not None:
            self._journal.put("DELETE FROM outgoing WHERE agent_id = ? AND message_id = ?", (agent_id, message_id))

    def close(self) -> None:
        """Make everything durable and close the file."""
        self._journal.close()

    def _finish(self, key: tuple[str, str], response: Message | None, text: str, on_durable: OnDurable | None) -> None:
        seen = self._seen.get(key)
        if seen is not None:
            self._seen[key] = replace(seen, response=response, finished=True)
        self._journal.put(_FINISH, (text, *key), on_durable)

    def _prune(self) -> None:
        now = self._clock.now()
        if now - self._pruned_at < _PRUNE_EVERY:
            return
        self._pruned_at = now
        for key, seen in list(self._seen.items()):
            if seen.keep_until < now and seen.finished:
                self._seen.pop(key, None)
        self._journal.put("DELETE FROM seen WHERE keep_until_us < ? AND response IS NOT NULL", (to_micros(now),))

    def _load_agents(self) -> dict[str, tuple[datetime, str | None]]:
        rows = self._journal.rows("SELECT agent_id, created_us, session_id FROM agent")
        return {agent_id: (from_micros(created), session) for agent_id, created, session in rows}

    def _load_seen(self) -> dict[tuple[str, str], Seen]:
        rows = self._journal.rows(
            "SELECT agent_id, message_id, content_hash, keep_until_us, command, response FROM seen "
            "WHERE keep_until_us >= ? OR response IS NULL",
            (to_micros(self._clock.now()),),
        )
        return {
            (agent_id, message_id): Seen(
                content_hash,
                from_micros(keep),
                _message(command),
                None if response in (None, _NO_ANSWER) else _message(response),
                response is not None,
            )
            for agent_id, message_id, content_hash, keep, command, response in rows
        }

    def _load_outgoing(self) -> dict[tuple[str, str], Message]:
        rows = self._journal.rows("SELECT agent_id, message_id, event FROM outgoing")
        return {(agent_id, message_id): _message(event) for agent_id, message_id, event in rows}


def _text(message: Message) -> str:
    return orjson.dumps(message.to_wire()).decode()


def _message(text: str) -> Message:
    return Message.model_validate(orjson.loads(text))


def _after(session_id: str) -> str:
    # version and variant bits sit above the 62 bits of the tail, so one millisecond more is the simplest greater UUIDv7
    number = uuid_utils.UUID(session_id).int
    return str(uuid_utils.UUID(int=number + (1 << 80)))
