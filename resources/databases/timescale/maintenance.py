"""Keeping scada.readings quick to read: block ranges summarised, statistics of the whole, old chunks dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
import structlog

from resources.databases.timescale.edition import detect

log = structlog.get_logger(__name__)

SUMMARISE_ROWS = 10_000
"""Windows smaller than this leave it to autovacuum: a scan passes over their few blocks quickly."""

KEPT_TABLES = {
    "readings": ("scada.readings", "time", True),
    "texts": ("scada.text_readings", "time", True),
    "hours": ("scada.hourly_readings", "hour", True),
    "rejected": ("scada.rejected_readings", "window_start", False),
}
"""Kind of row -> its table, the column of its time, and whether it is a hypertable where there are any."""

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


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went."""

    number: int
    unit: str
    """`chunks`, or `rows` where the table has none."""
    chunks: tuple[str, ...] = ()
    """Names of the chunks, oldest first."""


def drop_before(connection: psycopg.Connection, instant: datetime, kind: str = "readings") -> Dropped:
    """Remove the rows of a kind (a key of KEPT_TABLES) before `instant`, of all sites, and return what went.

    Of a chunk that holds later rows too, nothing is removed. The ledger keeps its entries: past counts stay.
    """
    table, column, chunked = KEPT_TABLES[kind]
    if chunked and detect(connection).has_hypertables:
        rows = connection.execute("SELECT drop_chunks(%s::regclass, %s::timestamptz)", (table, instant)).fetchall()
        names = tuple(str(row[0]).rpartition(".")[2] for row in rows)
        dropped = Dropped(len(names), "chunks", names)
    else:
        removed = connection.execute(f"DELETE FROM {table} WHERE {column} < %s", (instant,)).rowcount
        dropped = Dropped(removed, "rows")
    log.info("old_rows_dropped", table=table, before=instant.isoformat(), number=dropped.number, unit=dropped.unit)
    return dropped
