"""What has changed in `agents.registry` since the last look: one statement, whatever the number of agents."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg

from resources.agents.members.directory_index import AgentRow, DirectoryIndex
from resources.core.errors import ConfigError
from resources.databases.timescale.connection import connect

# Every transaction that had not ended when the last snapshot was taken has an id of at least that snapshot's xmin, so
# no row is passed over, however transactions overlap; a few are read twice. The head comes even if no row does.
_CHANGED = """
SELECT head.now, head.xmin, head.agents, r.changed_in::text,
       r.agent_id, r.agent_name, r.agent_type, r.capabilities, r.status, r.status_reason, r.performance_score,
       r.last_heartbeat, s.commands::text
FROM (SELECT clock_timestamp() AS now, pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
             (SELECT count(*) FROM agents.registry) AS agents) head
LEFT JOIN agents.registry r ON r.changed_in >= %s::text::xid8
LEFT JOIN agents.sessions s ON s.agent_id = r.agent_id
"""


class DirectoryReader:
    """One connection that remembers what it has read; not safe to use from two threads at once."""

    def __init__(self, database_url: str) -> None:
        """Prepare; nothing is opened yet."""
        self._url = database_url
        self._connection: psycopg.Connection | None = None
        self._since = "0"
        self._known: dict[str, str] = {}
        self._commands: dict[str | None, tuple[dict[str, Any], ...]] = {None: ()}
        self._capabilities: dict[tuple[str, ...], tuple[str, ...]] = {}

    def close(self) -> None:
        """Disconnect; the next read connects again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        # the next connection may lead to another server, whose transactions are numbered otherwise
        self._forget()

    def read_into(self, index: DirectoryIndex) -> DirectoryIndex:
        """Put what has changed into `index`, or everything into a new one where rows were deleted; return it.

        Raises:
            UnreachableError, AuthError: No connection.
            psycopg.OperationalError: The connection broke, and the next one too.
            ConfigError: The database has no tables of the agents.
        """
        try:
            try:
                found = self._fetch()
            except psycopg.OperationalError:
                # the server may have been restarted since the last look: one new connection tells
                self.close()
                found = self._fetch()
            if self._known and self._misses_deletions(found):
                self._forget()
                found = self._fetch()
        except psycopg.errors.UndefinedTable as error:
            self.close()
            raise ConfigError("the database has no tables of the agents: run `gl up` or migrate it first") from error
        except psycopg.Error:
            self.close()
            raise
        if not self._known:
            # everything is read: what is searched meanwhile stays as it is, whole, until the new index is
            index = DirectoryIndex()
        self._put(index, found)
        return index

    def _fetch(self) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(self._url, autocommit=True)
        return self._connection.execute(_CHANGED, (self._since,)).fetchall()

    def _misses_deletions(self, found: list[tuple[Any, ...]]) -> bool:
        added = sum(row[4] is not None and row[4] not in self._known for row in found)
        return bool(len(self._known) + added != found[0][2])

    def _put(self, index: DirectoryIndex, found: list[tuple[Any, ...]]) -> None:
        rows = []
        for _, _, _, changed_in, agent_id, *values in found:
            if agent_id is not None and self._known.get(agent_id) != changed_in:
                self._known[agent_id] = changed_in
                rows.append(self._row(agent_id, values))
        index.put(rows, found[0][0])
        self._since = found[0][1]

    def _forget(self) -> None:
        self._since = "0"
        self._known.clear()
        self._commands = {None: ()}
        self._capabilities.clear()

    def _row(self, agent_id: str, values: list[Any]) -> AgentRow:
        name, kind, capabilities, status, reason, score, heard, commands = values
        offered = self._commands.get(commands)
        if offered is None:
            # agents of one kind say the same: read once, shared by all
            offered = self._commands[commands] = tuple(orjson.loads(commands))
        can = tuple(capabilities)
        can = self._capabilities.setdefault(can, can)
        return AgentRow(agent_id, name, kind, can, status, reason, score, heard, offered)
