"""What an agent must not forget: the ids it has seen, the answers it gave, and its last session.

One SQLite file (WAL, synchronous FULL) may serve several agents of one process. Changes are visible at once to
`find` and become durable by group commit: while one commit runs, the next changes gather.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog
import uuid_utils

from resources.agents.judge import SKEW
from resources.agents.message import Message, new_id
from resources.core.clock import Clock, SystemClock, from_micros, to_micros
from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS agent (
    agent_id TEXT PRIMARY KEY, created_us INTEGER NOT NULL, session_id TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    agent_id TEXT NOT NULL, message_id TEXT NOT NULL, content_hash BLOB NOT NULL, keep_until_us INTEGER NOT NULL,
    command TEXT NOT NULL, response TEXT, PRIMARY KEY (agent_id, message_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_keep_until ON seen (keep_until_us);
"""
_COMMIT_RETRY_S = 1.0
_PRUNE_EVERY = timedelta(seconds=60)

OnDurable = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One id that was seen: its content, the command it was, and the answer (None: started and not answered yet)."""

    content_hash: bytes
    keep_until: datetime
    command: Message
    response: Message | None


@dataclass(frozen=True, slots=True)
class _Change:
    statement: str
    parameters: tuple[Any, ...]
    on_durable: OnDurable | None


class SeenStore:
    """The durable memory of the agents of one process; safe from any thread."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open or make the file.

        Raises:
            ConfigError: The file cannot be opened, or is not such a store.
        """
        self._path = path
        self._clock = clock or SystemClock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
            self._agents: dict[str, tuple[datetime, str | None]] = self._load_agents()
            self._seen: dict[tuple[str, str], Seen] = self._load_seen()
        except sqlite3.Error as error:
            raise ConfigError(
                f"agent store {path}: cannot be opened ({error}); check the disk, or remove the file: the agents then "
                "refuse every command issued before now"
            ) from error
        self._changes: SimpleQueue[_Change | None] = SimpleQueue()
        self._pruned_at = self._clock.now()
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, name="seen-store", daemon=True)
        self._writer.start()

    def created_at(self, agent_id: str) -> datetime:
        """Return when this store first heard of the agent: tokens issued before may have been acted on already."""
        if agent_id not in self._agents:
            now = self._clock.now()
            self._agents[agent_id] = (now, None)
            durable = threading.Event()
            self._put("INSERT INTO agent VALUES (?, ?, NULL)", (agent_id, to_micros(now)), durable.set)
            durable.wait()
        return self._agents[agent_id][0]

    def next_session(self, agent_id: str) -> str:
        """Return a session_id greater than every earlier one of the agent, also after a clock was set back; durable."""
        created, last = self.created_at(agent_id), self._agents[agent_id][1]
        session = new_id()
        if last is not None and session <= last:
            session = _after(last)
        self._agents[agent_id] = (created, session)
        durable = threading.Event()
        self._put("UPDATE agent SET session_id = ? WHERE agent_id = ?", (session, agent_id), durable.set)
        durable.wait()
        return session

    def find(self, agent_id: str, message_id: str) -> Seen | None:
        """Return what is kept under an id, also what is on its way to the disk."""
        return self._seen.get((agent_id, message_id))

    def begin(self, agent_id: str, command: Message, content_hash: bytes, on_durable: OnDurable) -> None:
        """Record that a command is started; `on_durable` is called from the writer's thread."""
        keep_until = command.deadline + SKEW
        self._seen[agent_id, command.message_id] = Seen(content_hash, keep_until, command, None)
        parameters = (agent_id, command.message_id, content_hash, to_micros(keep_until), json.dumps(command.to_wire()))
        self._put("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, NULL)", parameters, on_durable)

    def finish(self, agent_id: str, response: Message, on_durable: OnDurable) -> None:
        """Record the answer to a command that was begun."""
        assert response.correlation_id is not None
        key = (agent_id, response.correlation_id)
        seen = self._seen.get(key)
        if seen is not None:
            self._seen[key] = replace(seen, response=response)
        parameters = (json.dumps(response.to_wire()), *key)
        self._put("UPDATE seen SET response = ? WHERE agent_id = ? AND message_id = ?", parameters, on_durable)

    def barrier(self, on_durable: OnDurable) -> None:
        """Call `on_durable` once everything recorded so far is durable."""
        self._put("SELECT 1", (), on_durable)

    def unanswered(self, agent_id: str) -> list[Seen]:
        """Return what the agent has begun and not answered."""
        return [seen for (owner, _), seen in list(self._seen.items()) if owner == agent_id and seen.response is None]

    def close(self) -> None:
        """Make everything durable and close the file."""
        self._closing.set()
        self._changes.put(None)
        self._writer.join()
        self._database.close()

    def _put(self, statement: str, parameters: tuple[Any, ...], on_durable: OnDurable | None) -> None:
        self._changes.put(_Change(statement, parameters, on_durable))

    def _write(self) -> None:
        ended = False
        while not ended:
            changes = [self._changes.get()]
            while not self._changes.empty():
                changes.append(self._changes.get())
            ended = None in changes
            batch = [change for change in changes if change is not None]
            if batch and self._commit_until_done(batch):
                _call_all(batch)
            self._prune()

    def _commit_until_done(self, batch: list[_Change]) -> bool:
        while True:
            try:
                self._commit(batch)
            except sqlite3.Error as error:
                # nothing was acknowledged: the broker keeps the messages until the disk takes writes again
                log.error("agent_store_write_failed", path=str(self._path), error=str(error), changes=len(batch))
                if self._closing.wait(_COMMIT_RETRY_S):
                    return False
            else:
                return True

    def _commit(self, batch: list[_Change]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for change in batch:
                self._database.execute(change.statement, change.parameters)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _prune(self) -> None:
        now = self._clock.now()
        if now - self._pruned_at < _PRUNE_EVERY:
            return
        self._pruned_at = now
        for key, seen in list(self._seen.items()):
            if seen.keep_until < now and seen.response is not None:
                del self._seen[key]
        try:
            self._database.execute(
                "DELETE FROM seen WHERE keep_until_us < ? AND response IS NOT NULL", (to_micros(now),)
            )
        except sqlite3.Error as error:
            log.error("agent_store_prune_failed", path=str(self._path), error=str(error))

    def _load_agents(self) -> dict[str, tuple[datetime, str | None]]:
        rows = self._database.execute("SELECT agent_id, created_us, session_id FROM agent")
        return {agent_id: (from_micros(created), session) for agent_id, created, session in rows}

    def _load_seen(self) -> dict[tuple[str, str], Seen]:
        rows = self._database.execute(
            "SELECT agent_id, message_id, content_hash, keep_until_us, command, response FROM seen "
            "WHERE keep_until_us >= ? OR response IS NULL",
            (to_micros(self._clock.now()),),
        )
        return {
            (agent_id, message_id): Seen(
                content_hash, from_micros(keep), _message(command), response and _message(response)
            )
            for agent_id, message_id, content_hash, keep, command, response in rows
        }


def _call_all(batch: list[_Change]) -> None:
    for change in batch:
        if change.on_durable is None:
            continue
        try:
            change.on_durable()
        except Exception:
            # the writer serves every agent of the process: what one of them does with its turn must not end it
            log.exception("agent_store_callback_failed")


def _message(text: str) -> Message:
    return Message.model_validate(json.loads(text))


def _after(session_id: str) -> str:
    # version and variant bits sit above the 62 bits of the tail, so one millisecond more is the simplest greater UUIDv7
    number = uuid_utils.UUID(session_id).int
    return str(uuid_utils.UUID(int=number + (1 << 80)))
