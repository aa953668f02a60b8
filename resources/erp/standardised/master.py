"""The standard tables of master data: what is valid now, and every version that was.

The caller gives the connection and commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from resources.erp.standardised.incoming import LandedPart, StandardTable, finish, stage, upsert


def merge_master(
    connection: psycopg.Connection[Any],
    table: StandardTable,
    part: LandedPart,
    rows: pa.Table,
    rejected: pa.Table,
    withdrawn: Sequence[str] = (),
) -> int:
    """Make the table hold what is valid now, and keep what it superseded; return how many keys left the table.

    A version begins with the row's changed_at, and ends when another one takes its place or the key leaves. A row that
    is read differently though its record did not change, by another rule, replaces its version: the system had but one.
    A stamp that lies before the last version's is not believed; the version begins now.

    Args:
        connection: In a transaction, which the caller commits, after `lock_part`.
        table: Where.
        part: Whose; its day is None.
        rows: The columns of `table`; keys are unique.
        rejected: As `resources.erp.standardised.incoming.REJECTED`; the rows they stood for leave the table.
        withdrawn: Keys that no longer count.
    """
    stage(connection, table, rows)
    name = sql.Identifier("erp", table.name)
    values = {**part.values, "table": table.name}
    left = connection.execute(sql.SQL(_LEAVE).format(name), values).rowcount
    upsert(connection, table)
    connection.execute(_BEGUN, values)
    connection.execute(sql.SQL(_END).format(name), values)
    connection.execute(_BEGIN, values)
    connection.execute("DROP TABLE begun")
    finish(connection, part, rows.num_rows, rejected, len(withdrawn))
    return left


_LEAVE = """
    DELETE FROM {0} held WHERE system = %(system)s
       AND NOT EXISTS (SELECT FROM incoming WHERE incoming.source_key = held.source_key)
       AND EXISTS (SELECT FROM erp.landed_records landed WHERE landed.source_key = held.source_key
        AND landed.system = %(system)s AND landed.dataset = %(dataset)s AND landed.partition_date IS NULL)
"""
# the rows that are another version than the one held valid, and when each begins
_BEGUN = """
    CREATE TEMP TABLE begun ON COMMIT DROP AS
    SELECT row.source_key, row.version,
           CASE WHEN latest.changed_at IS NULL OR row.changed_at > latest.changed_at THEN row.changed_at
                WHEN row.changed_at = latest.changed_at AND latest.superseded_at IS NULL THEN row.changed_at
                ELSE greatest(now(), latest.superseded_at, latest.changed_at + interval '1 microsecond')
           END AS changed_at
      FROM (SELECT source_key, coalesce(changed_at, now()) AS changed_at,
                   to_jsonb(incoming) - ARRAY['changed_at', 'ingested_at', 'quality_score'] AS version
              FROM incoming) row
      LEFT JOIN LATERAL (
           SELECT changed_at, superseded_at, version FROM erp.master_history
            WHERE dataset = %(table)s AND system = %(system)s AND source_key = row.source_key
            ORDER BY changed_at DESC LIMIT 1) latest ON true
     WHERE latest.changed_at IS NULL OR latest.superseded_at IS NOT NULL OR latest.version <> row.version
"""
_END = """
    UPDATE erp.master_history held
       SET superseded_at = coalesce(
           (SELECT changed_at FROM begun WHERE begun.source_key = held.source_key), greatest(held.changed_at, now()))
     WHERE dataset = %(table)s AND system = %(system)s AND superseded_at IS NULL
       AND (EXISTS (SELECT FROM begun WHERE begun.source_key = held.source_key AND begun.changed_at > held.changed_at)
        OR NOT EXISTS (SELECT FROM {0} kept WHERE kept.system = held.system AND kept.source_key = held.source_key))
"""
_BEGIN = """
    INSERT INTO erp.master_history (dataset, system, source_key, changed_at, version, run_id)
    SELECT %(table)s, %(system)s, source_key, changed_at, version, %(run_id)s FROM begun
    ON CONFLICT (dataset, system, source_key, changed_at) DO UPDATE
       SET version = excluded.version, run_id = excluded.run_id
"""
