"""The truth about what is stored: scada.window_ledger and its numbers by source. psycopg only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg

from resources.databases.timescale.window_store.window import SourceNumbers, WindowToStore


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What is stored of one window of one collector."""

    site: str
    collector: str
    window_start: datetime
    stored_revision: int
    rows: int
    rejected: int
    deduplicated: int
    complete: bool
    partial: bool
    stored_at: datetime
    run_id: str


_COLUMNS = (
    "site, collector, window_start, stored_revision, rows, rejected, deduplicated, complete, partial, stored_at, run_id"
)


def stored_revisions(
    connection: psycopg.Connection, *, site: str, collector: str, since: datetime | None = None
) -> dict[datetime, int]:
    """Return window_start -> stored revision of a collector, from window `since` on (None: all)."""
    return dict(
        connection.execute(
            "SELECT window_start, stored_revision FROM scada.window_ledger WHERE site = %s AND collector = %s"
            " AND window_start >= coalesce(%s::timestamptz, '-infinity')",
            (site, collector, since),
        ).fetchall()
    )


def entries(connection: psycopg.Connection, window_starts: list[datetime]) -> list[LedgerEntry]:
    """Return what is stored of these windows, of every collector, by window."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM scada.window_ledger WHERE window_start = ANY(%s)"
        " ORDER BY window_start, site, collector",
        (window_starts,),
    )
    return [LedgerEntry(*row) for row in found]


def lock_window(connection: psycopg.Connection, window_start: datetime) -> None:
    """Wait until no other transaction writes this window, then hold it until this transaction ends.

    The window alone is locked, not (collector, window): collectors meet in the same rows where a sensor is read twice.
    """
    # two int4 keys: the letters GLWN, and the minutes since 1970
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (0x474C574E, int(window_start.timestamp()) // 60))


def write_entry(
    connection: psycopg.Connection,
    window: WindowToStore,
    sources: Mapping[str, SourceNumbers],
    deduplicated_before: Mapping[str, int],
) -> None:
    """Write the ledger's row and its numbers by source, in the transaction of the window's rows."""
    connection.execute(
        f"INSERT INTO scada.window_ledger AS w ({_COLUMNS}, calibrations)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s, ARRAY[%s])"
        " ON CONFLICT (site, collector, window_start) DO UPDATE SET stored_revision = excluded.stored_revision,"
        " rows = excluded.rows, rejected = excluded.rejected, deduplicated = excluded.deduplicated,"
        " complete = excluded.complete, partial = excluded.partial, stored_at = excluded.stored_at,"
        " run_id = excluded.run_id, calibrations = CASE WHEN excluded.complete THEN excluded.calibrations"
        # rows that stay were made with what held then
        " ELSE (SELECT array_agg(DISTINCT name) FROM unnest(w.calibrations || excluded.calibrations) name) END",
        (
            window.site,
            window.collector,
            window.window_start,
            window.revision,
            sum(n.rows for n in sources.values()),
            sum(n.rejected for n in sources.values()),
            sum(n.deduplicated for n in sources.values()),
            window.complete,
            window.partial,
            window.run_id,
            window.calibrations.name,
        ),
    )
    key = (window.site, window.collector, window.window_start)
    connection.execute("DELETE FROM scada.window_sources WHERE site = %s AND collector = %s AND window_start = %s", key)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO scada.window_sources (site, collector, window_start, source, rows, rejected, deduplicated,"
            " deduplicated_before) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (*key, source, n.rows, n.rejected, n.deduplicated, deduplicated_before.get(source, 0))
                for source, n in sorted(sources.items())
            ],
        )


def deduplicated_before(connection: psycopg.Connection, window: WindowToStore) -> dict[str, int]:
    """Return source -> readings deduplicated while the buffer held the whole window: a merge counts from there."""
    found = connection.execute(
        "SELECT source, CASE WHEN l.complete THEN s.deduplicated ELSE s.deduplicated_before END"
        " FROM scada.window_sources s JOIN scada.window_ledger l USING (site, collector, window_start)"
        " WHERE site = %s AND collector = %s AND window_start = %s",
        (window.site, window.collector, window.window_start),
    )
    return dict(found.fetchall())
