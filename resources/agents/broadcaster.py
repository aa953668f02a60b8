"""One command to many agents: accepted, sent at once to all, and what came of it.

The process that broadcasts orchestrates for that time, or leaves it to the one that already does; either way the
outcome is read from the tables, so it is the same for both.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import psycopg

from resources.agents import outbox
from resources.agents.config import AgentsConfig
from resources.agents.message import Formatter
from resources.agents.orchestrator import Orchestrator
from resources.agents.requests import Command, Outcome, Result
from resources.core.clock import Clock, SystemClock
from resources.core.errors import DataError
from resources.databases.timescale.connection import connect

_TAKE_OVER_S = 1.0
"""How often a process that waits for another's orchestrator looks whether it has to take over."""

_RESULTS = """
SELECT d.agent_id, d.state, d.attempts, d.reason, r.payload, r.latency_ms, d.answered_at
FROM agents.deliveries d
LEFT JOIN agents.responses r ON r.correlation_id = d.message_id AND r.agent_id = d.agent_id
WHERE d.message_id = %s ORDER BY d.agent_id
"""


class Broadcaster:
    """Sends commands as the orchestrator; a context manager."""

    def __init__(self, config: AgentsConfig, *, site: str, database_url: str, clock: Clock | None = None) -> None:
        """Prepare; nothing is opened yet."""
        self._config = config
        self._site = site
        self._url = database_url
        self._clock = clock or SystemClock()
        self._formatter = Formatter(config.orchestrator_id, self._clock)
        self._connection: psycopg.Connection | None = None
        self._orchestrator: Orchestrator | None = None

    def __enter__(self) -> Self:
        """Connect to the database, and orchestrate if nobody else does."""
        self._connection = connect(self._url, autocommit=True)
        self._connection.execute(f"LISTEN {outbox.DONE_CHANNEL}")
        self._take_over()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything; what is still open stays in the outbox."""
        if self._orchestrator is not None:
            self._orchestrator.stop()
            self._orchestrator = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def orchestrating(self) -> bool:
        """Whether this process is the one that talks to the broker."""
        return self._orchestrator is not None and self._orchestrator.leading

    def accept(self, command: Command) -> outbox.Accepted:
        """Put a command into the outbox and have it sent; it survives a crash from here on.

        Raises:
            DataError: The command can't be stored, or its id was used for another one.
        """
        assert self._connection is not None
        message = self._formatter.command(
            command.name,
            command.args,
            targets=command.targets,
            timeout_s=command.timeout_s,
            priority=command.priority,
            message_id=command.message_id,
        )
        orchestrator = self._orchestrator if self.orchestrating else None
        if orchestrator is not None:
            orchestrator.expect(message)
        accepted = outbox.accept(self._connection, message)
        if orchestrator is not None and not accepted.repeated:
            orchestrator.send(accepted.message)
        return accepted

    def broadcast(self, command: Command) -> Outcome:
        """Send a command to all its targets at once; return when every one has answered or the deadline has passed.

        Raises:
            DataError: As `accept`.
        """
        accepted = self.accept(command)
        self._wait_done(accepted.message.message_id)
        return Outcome(accepted.message, accepted.repeated, self.results(accepted.message.message_id))

    def results(self, message_id: str) -> tuple[Result, ...]:
        """Return what became of a command so far, by agent id."""
        assert self._connection is not None
        return tuple(
            Result(agent, state, attempts, reason, (payload or {}).get("result"), latency, at)
            for agent, state, attempts, reason, payload, latency, at in self._connection.execute(
                _RESULTS, (message_id,)
            )
        )

    def _wait_done(self, message_id: str) -> None:
        while True:
            if self.orchestrating:
                assert self._orchestrator is not None
                if self._orchestrator.wait_done(message_id, _TAKE_OVER_S):
                    return
            else:
                self._take_over()
                self._wait_notified(message_id)
            if self._is_done(message_id):
                return

    def _wait_notified(self, message_id: str) -> None:
        assert self._connection is not None
        if self.orchestrating or self._is_done(message_id):
            return
        for notification in self._connection.notifies(timeout=_TAKE_OVER_S):
            if notification.payload == message_id:
                return

    def _is_done(self, message_id: str) -> bool:
        assert self._connection is not None
        row = self._connection.execute(
            "SELECT status FROM agents.messages WHERE message_id = %s", (message_id,)
        ).fetchone()
        if row is None:
            raise DataError(f"command {message_id}: its row was deleted while its answers were awaited")
        return bool(row[0] == "done")

    def _take_over(self) -> None:
        """Orchestrate if nobody does."""
        if self._orchestrator is not None:
            self._orchestrator.stop()
            self._orchestrator = None
        orchestrator = Orchestrator(self._config, site=self._site, database_url=self._url, clock=self._clock)
        if orchestrator.try_start():
            self._orchestrator = orchestrator
        else:
            orchestrator.discard()
