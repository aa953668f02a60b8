"""`scada.writes_audit`: the record of every attempt to write to the plant, and the lock that keeps writers apart.

A row is committed before anything is sent, and completed afterwards. psycopg only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import structlog
from psycopg.rows import class_row

from resources.core.errors import ConfigError, PlatformError, UnreachableError
from resources.databases.timescale.connection import connect, describe

log = structlog.get_logger(__name__)

_COLUMNS = (
    "write_id, site, sensor_id, source, requested_at, requested_by, requested_via, requested_from, run_id, note, "
    "dry_run, new_value, unit, old_value, sent_at, read_back, outcome, reason, completed_at"
)
_BEGIN = """
INSERT INTO scada.writes_audit (site, sensor_id, source, requested_by, requested_via, requested_from, run_id, note,
                                dry_run, new_value, unit)
VALUES (%(site)s, %(sensor_id)s, %(source)s, %(requested_by)s, %(requested_via)s, %(requested_from)s, %(run_id)s,
        %(note)s, %(dry_run)s, %(new_value)s, %(unit)s)
RETURNING write_id
"""


@dataclass(frozen=True, slots=True)
class AuditedWrite:
    """A row of scada.writes_audit."""

    write_id: int
    site: str
    sensor_id: str
    source: str | None
    requested_at: datetime
    requested_by: str
    requested_via: str
    requested_from: str
    run_id: str | None
    note: str | None
    dry_run: bool
    new_value: float
    unit: str | None
    old_value: float | None
    sent_at: datetime | None
    read_back: float | None
    outcome: str
    reason: str | None
    completed_at: datetime | None


class WritesAudit:
    """The record of one site, over a connection of its own; every call is committed when it returns.

    Close it, or use it in a `with` statement.
    """

    def __init__(self, url: str, *, site: str) -> None:
        """Connect.

        Raises:
            UnreachableError, AuthError: As `connect`.
        """
        self._url, self._site = url, site
        self._connection = connect(url, autocommit=True)

    def __enter__(self) -> WritesAudit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a lock that is still held goes with it."""
        self._connection.close()

    def begin(self, attempt: Mapping[str, Any]) -> int:
        """Record that a write is about to be tried; return the number of the row.

        Args:
            attempt: sensor_id, source, requested_by, requested_via, requested_from, run_id, note, dry_run, new_value
                and unit, as the columns of the table.
        """
        row = self._run(_BEGIN, {**attempt, "site": self._site}).fetchone()
        assert row is not None
        return int(row[0])

    def sending(self, write_id: int, old_value: float) -> None:
        """Record the value found before, and that the new one is sent now."""
        self._run(
            "UPDATE scada.writes_audit SET outcome = 'sending', old_value = %s, sent_at = clock_timestamp() "
            "WHERE write_id = %s",
            (old_value, write_id),
        )

    def complete(
        self, write_id: int, outcome: str, reason: str, *, old_value: float | None, read_back: float | None
    ) -> None:
        """Record how an attempt ended; tries a new connection where the first has broken meanwhile."""
        statement = (
            "UPDATE scada.writes_audit SET outcome = %s, reason = %s, old_value = coalesce(%s, old_value), "
            "read_back = %s, completed_at = clock_timestamp() WHERE write_id = %s"
        )
        values = (outcome, reason, old_value, read_back, write_id)
        try:
            self._run(statement, values)
        except UnreachableError:
            log.warning("audit_connection_lost", write_id=write_id)
            self._connection.close()
            self._connection = connect(self._url, autocommit=True)
            self._run(statement, values)

    @contextmanager
    def lock(self, sensor_id: str) -> Iterator[bool]:
        """Hold the sensor's lock during the block; yield False at once if somebody else holds it.

        The lock is the database session's: it ends with the process, however that ends.
        """
        name = f"write:{self._site}:{sensor_id}"
        row = self._run("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()
        held = bool(row and row[0])
        try:
            yield held
        finally:
            if held:
                # a connection that is gone has taken the lock with it
                with suppress(UnreachableError):
                    self._run("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))

    def last_sent(self, sensor_id: str) -> float | None:
        """Return how many seconds ago, by the database's clock, a value was last sent to a sensor; None if never."""
        row = self._run(
            "SELECT extract(epoch FROM clock_timestamp() - max(sent_at))::float8 FROM scada.writes_audit "
            "WHERE site = %s AND sensor_id = %s",
            (self._site, sensor_id),
        ).fetchone()
        return None if row is None else row[0]

    def who_is_writing(self, sensor_id: str, *, but: int) -> str:
        """Return who, for people, has begun a write to a sensor and not completed it, beside the row `but`."""
        row = self._run(
            "SELECT requested_by || ' on ' || requested_from || to_char(requested_at, '\" since \"HH24:MI:SS\" UTC\"') "
            "FROM scada.writes_audit WHERE site = %s AND sensor_id = %s AND completed_at IS NULL AND write_id <> %s "
            "ORDER BY write_id DESC LIMIT 1",
            (self._site, sensor_id, but),
        ).fetchone()
        return "somebody else" if row is None else str(row[0])

    def _run(self, statement: str, values: Any) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(statement, values)
        except psycopg.OperationalError as error:
            raise UnreachableError(
                f"database {describe(self._url)}: scada.writes_audit cannot be written ({error}): check that the "
                "database runs",
                source="database",
            ) from error
        except psycopg.Error as error:
            raise _explained(error, self._url) from error


def read_audit(
    connection: psycopg.Connection, *, site: str, sensor_id: str | None = None, limit: int = 50
) -> list[AuditedWrite]:
    """Return a site's attempts, newest first.

    Raises:
        ConfigError: The database has no such table yet.
    """
    query = (
        f"SELECT {_COLUMNS} FROM scada.writes_audit WHERE site = %(site)s "
        "AND (%(sensor)s::text IS NULL OR sensor_id = %(sensor)s) ORDER BY write_id DESC LIMIT %(limit)s"
    )
    try:
        with connection.cursor(row_factory=class_row(AuditedWrite)) as cursor:
            return cursor.execute(query, {"site": site, "sensor": sensor_id, "limit": limit}).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise _explained(error, "") from error


def _explained(error: psycopg.Error, url: str) -> PlatformError:
    where = f"database {describe(url)}: " if url else ""
    if isinstance(error, psycopg.errors.UndefinedTable):
        return ConfigError(
            f"{where}there is no scada.writes_audit: `gl up` or `gl ingest` brings the schema up to date"
        )
    if isinstance(error, psycopg.errors.UniqueViolation):
        return ConfigError(f"{where}this run has sent a value before, and a run sends one, once: launch a new run")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ConfigError(
            f"{where}the user may not use scada.writes_audit: grant it SELECT, INSERT and UPDATE on the table"
        )
    return ConfigError(f"{where}scada.writes_audit refused the record ({error.diag.message_primary or error})")
