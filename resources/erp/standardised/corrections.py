"""Corrected records: what a person has put in place of a landed record, in force while the system still gives that one.

What is landed stays as the system gave it; a correction is laid over it when the record is standardised. The caller
gives the connection and commits. Tables: `quality.corrections`, `quality.corrected_records`, `erp.rejected_records`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from resources.erp.standardised.incoming import LandedPart

IN_FORCE = """
    (SELECT DISTINCT ON (source_key) source_key, landed_hash, corrected FROM quality.corrected_records
      WHERE {part} AND corrected IS NOT NULL AND outcome IN ('pending', 'stored')
      ORDER BY source_key, correction_id DESC)
"""
"""The corrections of a part: of several of one record the last."""


@dataclass(frozen=True, slots=True)
class CorrectedRecord:
    """A record of a batch, and what came of it."""

    number: int
    system: str
    dataset: str
    partition_date: date | None
    source_key: str
    reasons: list[str]
    corrected: dict[str, Any] | None
    outcome: str
    why: list[str]


def landed_originals(connection: psycopg.Connection[Any], rejected_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Return rejected_id -> hash and JSON text of the landed record; those that are landed no longer have none."""
    found = connection.execute(
        "SELECT rejected_id, l.hash, l.raw::text FROM erp.rejected_records r"
        " JOIN erp.landed_records l ON l.system = r.system AND l.dataset = r.dataset AND l.source_key = r.source_key"
        " AND l.partition_date IS NOT DISTINCT FROM r.partition_date"
        " WHERE rejected_id = ANY(%s) AND l.deleted_at IS NULL",
        (list(rejected_ids),),
    )
    return {number: (digest, raw) for number, digest, raw in found}


def add_records(connection: psycopg.Connection[Any], correction_id: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the records of a batch, numbered in their order.

    Args:
        connection: In the transaction that began the batch.
        correction_id: The batch.
        rows: system, dataset, partition_date, source_key, landed_hash, reasons, and as JSON text original, the landed
            record, and corrected, as it is to be; None for as it is.
    """
    names = (
        "system", "dataset", "partition_date", "source_key", "landed_hash", "reasons", "original", "corrected"
    )  # fmt: skip
    statement = f"COPY quality.corrected_records (correction_id, number, {', '.join(names)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number, row in enumerate(rows):
            copy.write_row((correction_id, number, *(row[name] for name in names)))


_REOPEN = """
    UPDATE quality.corrected_records SET outcome = 'pending', why = '{}'
     WHERE correction_id = %(id)s AND outcome = 'rejected'
"""
_MARK = """
    UPDATE erp.rejected_records r SET corrected_by = %(id)s FROM quality.corrected_records c
     WHERE c.correction_id = %(id)s AND c.outcome = 'pending' AND r.system = c.system AND r.dataset = c.dataset
       AND r.source_key = c.source_key AND r.partition_date IS NOT DISTINCT FROM c.partition_date
"""


def open_batch(connection: psycopg.Connection[Any], correction_id: int) -> None:
    """Put a batch in force: its rows that are not stored are pending, and the rejected records say who corrects them.

    A marked rejected record outlives the next standardising of its part.
    """
    connection.execute(_REOPEN, {"id": correction_id})
    connection.execute(_MARK, {"id": correction_id})


_SETTLE = """
    UPDATE quality.corrected_records c
       SET outcome = CASE WHEN NOT held.in_force THEN 'superseded' WHEN held.reasons IS NULL THEN 'stored'
                          ELSE 'rejected' END,
           why = coalesce(held.reasons, '{{}}')
      FROM (SELECT correction_id, number,
                   EXISTS (SELECT FROM erp.landed_records landed
                            WHERE {part} AND landed.source_key = one.source_key AND landed.deleted_at IS NULL
                              AND landed.hash = one.landed_hash) AS in_force,
                   (SELECT reasons FROM erp.rejected_records refused
                     WHERE {part} AND refused.source_key = one.source_key AND corrected_by IS NULL LIMIT 1) AS reasons
              FROM quality.corrected_records one
             WHERE {part} AND outcome IN ('pending', 'stored')) held
     WHERE c.correction_id = held.correction_id AND c.number = held.number
       AND (c.outcome = 'pending' OR NOT held.in_force)
    RETURNING c.correction_id, c.source_key, c.outcome
"""
_FORGET = """
    DELETE FROM erp.rejected_records
     WHERE {part} AND (corrected_by, source_key) IN (SELECT * FROM unnest(%(ids)s::int8[], %(keys)s::text[]))
"""


def settle_corrections(connection: psycopg.Connection[Any], part: LandedPart) -> int:
    """Keep what came of the corrections of a part that has just been standardised; return how many are in force.

    A rejected record that was corrected keeps standing. One whose correction is rejected too stands anew, by what the
    correction breaks; one that the system has changed since is another record.
    """
    if not has_corrections(connection, part):
        return 0
    settled = connection.execute(part.written_in(_SETTLE), part.values).fetchall()
    gone = [(number, key) for number, key, outcome in settled if outcome != "stored"]
    if gone:
        terms = {"ids": [number for number, _ in gone], "keys": [key for _, key in gone]}
        connection.execute(part.written_in(_FORGET), {**part.values, **terms})
    count = sql.SQL("SELECT count(*) FROM {} held").format(part.written_in(IN_FORCE))
    row = connection.execute(count, part.values).fetchone()
    return int(row[0]) if row else 0


def has_corrections(connection: psycopg.Connection[Any], part: LandedPart) -> bool:
    """Return whether any record of a part was ever corrected: of most parts none."""
    row = connection.execute(
        part.written_in("SELECT EXISTS (SELECT FROM quality.corrected_records WHERE {part})"), part.values
    ).fetchone()
    return bool(row and row[0])


def batch_records(connection: psycopg.Connection[Any], correction_id: int) -> list[CorrectedRecord]:
    """Return the records of a batch, by number."""
    with connection.cursor(row_factory=class_row(CorrectedRecord)) as cursor:
        return cursor.execute(
            "SELECT number, system, dataset, partition_date, source_key, reasons, corrected, outcome, why"
            " FROM quality.corrected_records WHERE correction_id = %s ORDER BY number",
            (correction_id,),
        ).fetchall()


def corrections_of_record(connection: psycopg.Connection[Any], rejected_id: int) -> list[dict[str, Any]]:
    """Return what was corrected of a rejected record, oldest first: batch, who, why, to what, what came of it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT c.correction_id, k.made_at, k.made_by, k.because, c.outcome, c.why, c.corrected"
            " FROM erp.rejected_records r JOIN quality.corrected_records c ON c.system = r.system"
            " AND c.dataset = r.dataset AND c.source_key = r.source_key"
            " AND c.partition_date IS NOT DISTINCT FROM r.partition_date"
            " JOIN quality.corrections k USING (correction_id) WHERE rejected_id = %s ORDER BY c.correction_id",
            (rejected_id,),
        ).fetchall()
