"""Keeping scada.readings quick to read: block ranges summarised, statistics of the whole, old chunks dropped."""

from __future__ import annotations

from datetime import datetime

import psycopg
import structlog

from resources.databases.timescale.edition import detect

log = structlog.get_logger(__name__)

SUMMARISE_ROWS = 10_000
"""Windows smaller than this leave it to autovacuum: a scan passes over their few blocks quickly."""

_LOCK_TIMEOUT = "100ms"
"""Waiting longer would make PostgreSQL cancel the autovacuum that holds the lock."""


def summarise(connection: psycopg.Connection, instant: datetime) -> None:
    """Tell the block-range index about new blocks of the chunk that holds `instant`.

    Until then a search by time reads every new block; autovacuum would do it a minute later. Leaves it to autovacuum
    where the lock is not free at once. `connection` is in autocommit.
    """
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            connection.execute(
                "SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                " JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'brin' AND i.indrelid = %s::regclass",
                (_chunk_of(connection, instant),),
            )
    except psycopg.errors.LockNotAvailable:
        log.debug("block_ranges_left_to_autovacuum")


def _chunk_of(connection: psycopg.Connection, instant: datetime) -> str:
    """Return the name of the table that holds the readings of `instant`."""
    if not detect(connection).has_hypertables:
        return "scada.readings"
    row = connection.execute(
        "SELECT format('%%I.%%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks"
        " WHERE hypertable_schema = 'scada' AND hypertable_name = 'readings' AND range_start <= %s AND range_end > %s",
        (instant, instant),
    ).fetchone()
    return "scada.readings" if row is None else str(row[0])


def analyze(connection: psycopg.Connection) -> None:
    """Refresh the planner's statistics of all readings together: autovacuum only looks at single chunks."""
    connection.execute("ANALYZE scada.readings, scada.sensors, scada.origins")


def drop_before(connection: psycopg.Connection, instant: datetime) -> int:
    """Remove readings before `instant` and return how many chunks (plain PostgreSQL: rows) went.

    Of a chunk that holds later readings too, nothing is removed. The ledger keeps its rows: past counts stay.
    """
    if detect(connection).has_hypertables:
        return len(connection.execute("SELECT drop_chunks('scada.readings', %s::timestamptz)", (instant,)).fetchall())
    return connection.execute("DELETE FROM scada.readings WHERE time < %s", (instant,)).rowcount
