"""The search by capability: which agents can do what is asked, best first.

::

    with Directory(database_url) as directory:
        for entry in directory.find(CapabilityQuery(all=("optimize",), none=("fouling",))):
            print(entry.agent_id, entry.score)

All of `agents.registry` is kept in memory, one column of booleans per capability, and refreshed in the background by
one statement that reads what has changed; a search is a few operations on whole columns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
import structlog

from resources.agents.members.directory_index import AgentEntry, DirectoryIndex
from resources.agents.members.directory_rows import DirectoryReader
from resources.core.errors import DataError, PlatformError, UnreachableError
from resources.databases.timescale.connection import describe

__all__ = ["AgentEntry", "CapabilityQuery", "Directory"]

log = structlog.get_logger(__name__)

LONGEST_STALE_S = 1.0
"""What a search returns was true at most this long ago."""


@dataclass(frozen=True, slots=True)
class CapabilityQuery:
    """What an agent must be able to do; the empty query matches every agent."""

    all: Collection[str] = ()
    """It has each of these."""
    any: Collection[str] = ()
    """It has at least one of these; an empty collection asks for nothing."""
    none: Collection[str] = ()
    """It has not one of these."""

    def __post_init__(self) -> None:
        """Refuse a text in place of a collection of texts: its letters would be taken for capabilities.

        Raises:
            DataError: A field is a text.
        """
        for name in ("all", "any", "none"):
            if isinstance(getattr(self, name), str):
                raise DataError(
                    f"capability query: {name} is the text {getattr(self, name)!r}: give a list of capabilities"
                )

    def matches(self, capabilities: Collection[str]) -> bool:
        """Return whether an agent with these capabilities is asked for."""
        has = set(capabilities)
        return has.issuperset(self.all) and (not self.any or not has.isdisjoint(self.any)) and has.isdisjoint(self.none)


class Directory:
    """All agents in memory, at most one second stale; a context manager, safe from any thread."""

    def __init__(self, database_url: str, *, longest_stale_s: float = LONGEST_STALE_S) -> None:
        """Prepare; nothing is opened yet.

        Args:
            database_url: Where `agents.registry` is.
            longest_stale_s: What `find` returns was true at most this long ago.
        """
        self._url = database_url
        self._longest_stale_s = longest_stale_s
        self._reader = DirectoryReader(database_url)
        self._refreshing = threading.Lock()
        self._index = DirectoryIndex()
        self._read_at = float("-inf")
        self._closing = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="agents-directory", daemon=True)

    def __enter__(self) -> Self:
        """Read all agents, and go on reading what changes.

        Raises:
            UnreachableError, AuthError: The database cannot be reached.
            ConfigError: The database has no tables of the agents.
        """
        try:
            self.refresh()
        except BaseException:
            self._reader.close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading and disconnect."""
        self._closing.set()
        self._thread.join()
        self._reader.close()

    def find(self, query: CapabilityQuery, *, only_online: bool = True) -> tuple[AgentEntry, ...]:
        """Return the agents that match, the best score first, equal ones by id.

        Args:
            query: What they must be able to do.
            only_online: Leave out who is offline or was never heard of. A degraded agent is there and is returned;
                `AgentEntry.status` tells it apart.

        Raises:
            UnreachableError: What is known is too old, and the database does not answer.
        """
        self._be_fresh()
        return self._index.find(query.all, query.any, query.none, only_online=only_online)

    def get(self, agent_id: str) -> AgentEntry | None:
        """Return one agent, None if it was neither declared nor ever heard of.

        Raises:
            UnreachableError: As `find`.
        """
        self._be_fresh()
        return self._index.get(agent_id)

    def refresh(self) -> None:
        """Read what has changed now, without waiting for the next turn: what is committed by now is then found.

        Raises:
            UnreachableError, AuthError: The database cannot be reached.
            ConfigError: The database has no tables of the agents.
        """
        with self._refreshing:
            self._read()

    def _be_fresh(self) -> None:
        if self._is_fresh():
            return
        with self._refreshing:
            # whoever held the lock may have read meanwhile
            if not self._is_fresh():
                self._read()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._read_at <= self._longest_stale_s

    def _read(self) -> None:
        begun = time.monotonic()
        try:
            self._index = self._reader.read_into(self._index)
        except psycopg.OperationalError as error:
            raise UnreachableError(
                f"agent directory: the database {describe(self._url)} did not answer ({str(error).strip()}); check "
                "that it runs",
                source="database",
            ) from error
        self._read_at = begun

    def _run(self) -> None:
        # three tries within what may be stale: one that is slow does not make a search wait
        while not self._closing.wait(self._longest_stale_s / 3):
            try:
                self.refresh()
            except (psycopg.Error, PlatformError) as error:
                say = log.debug if self._failed else log.warning
                say("agent_directory_stale", error=str(error).strip())
                self._failed = True
            else:
                if self._failed:
                    log.info("agent_directory_fresh_again")
                self._failed = False
