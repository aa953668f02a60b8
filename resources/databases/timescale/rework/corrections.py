"""`quality.corrections`: who had rejected rows corrected, when, why and how; and the readings of such a batch.

A batch is written whole before anything is replayed, and never changes but for what came of it. psycopg only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

_READING = ("source", "sensor_id", "time", "value", "text_value", "unit", "status")
_ROW = ("collector", "window_start", "sequence", "reasons", *_READING)
_SEPARATOR = "\x1f"
_LOCK = 0x474C434F
"""Advisory lock held while a site's corrections are replayed: the letters GLCO."""


@dataclass(frozen=True, slots=True)
class NewCorrection:
    """What a batch of corrections is, before it has a number."""

    site: str
    kind: str
    """`readings` or `records`."""
    made_by: str
    made_from: str
    because: str
    how: Mapping[str, Any]
    """Which rows were chosen, and the rules or the file they were corrected by."""


@dataclass(frozen=True, slots=True)
class Correction(NewCorrection):
    """A batch as it is kept."""

    correction_id: int
    made_at: datetime
    rows: int
    replays: int
    replayed_at: datetime | None
    run_id: str | None
    outcomes: dict[str, int] = field(default_factory=dict)
    """What came of the rows -> how many."""


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What came of one row of a batch."""

    number: int
    outcome: str
    why: Sequence[str] = ()


_COLUMNS = """correction_id, site, kind, made_at, made_by, made_from, because, how, rows, replays, replayed_at, run_id,
    (SELECT coalesce(jsonb_object_agg(outcome, n), '{}') FROM (
        SELECT outcome, count(*) AS n FROM (
            SELECT outcome FROM quality.corrected_readings r WHERE r.correction_id = c.correction_id
            UNION ALL
            SELECT outcome FROM quality.corrected_records r WHERE r.correction_id = c.correction_id) one
        GROUP BY outcome) counted) AS outcomes
"""


def begin(connection: psycopg.Connection[Any], new: NewCorrection, rows: int) -> int:
    """Record that a batch is made, and return its number; its rows follow in the same transaction."""
    row = connection.execute(
        "INSERT INTO quality.corrections (site, kind, made_by, made_from, because, how, rows)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING correction_id",
        (new.site, new.kind, new.made_by, new.made_from, new.because, Jsonb(dict(new.how)), rows),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_readings(
    connection: psycopg.Connection[Any], correction_id: int, site: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write the readings of a batch, numbered in their order.

    Args:
        connection: In the transaction that began the batch.
        correction_id: The batch.
        site: Its site.
        rows: collector, window_start, sequence, original (JSON text), reasons, and the reading as it was corrected.
    """
    statement = f"COPY quality.corrected_readings (correction_id, number, site, original, {', '.join(_ROW)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number, row in enumerate(rows):
            copy.write_row((correction_id, number, site, row["original"], *(row[name] for name in _ROW)))


def batch_readings(
    connection: psycopg.Connection[Any], correction_id: int, outcomes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the readings of a batch of which so far one of `outcomes` came, by number."""
    query = (
        f"SELECT number, original::text AS original, {', '.join(_ROW)} FROM quality.corrected_readings"
        " WHERE correction_id = %s AND outcome = ANY(%s) ORDER BY number"
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, (correction_id, list(outcomes))).fetchall()


def note_outcomes(connection: psycopg.Connection[Any], correction_id: int, outcomes: Iterable[RowOutcome]) -> None:
    """Keep what came of readings of a batch."""
    found = list(outcomes)
    connection.execute(
        "UPDATE quality.corrected_readings r SET outcome = n.outcome, why = string_to_array(n.why, %(separator)s)"
        " FROM unnest(%(numbers)s::int4[], %(outcomes)s::text[], %(why)s::text[]) AS n(number, outcome, why)"
        " WHERE r.correction_id = %(id)s AND r.number = n.number",
        {
            "id": correction_id,
            "separator": _SEPARATOR,
            "numbers": [one.number for one in found],
            "outcomes": [one.outcome for one in found],
            "why": [_SEPARATOR.join(one.why).replace("\x00", "\ufffd") for one in found],
        },
    )


def note_replay(connection: psycopg.Connection[Any], correction_id: int, run_id: str) -> None:
    """Keep that a batch has been replayed once more, and by which run."""
    connection.execute(
        "UPDATE quality.corrections SET replays = replays + 1, replayed_at = clock_timestamp(), run_id = %s"
        " WHERE correction_id = %s",
        (run_id, correction_id),
    )


def lock_replays(connection: psycopg.Connection[Any], site: str) -> None:
    """Wait for another replay of a site's corrections; held until `unlock_replays`, or until the connection ends."""
    connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (_LOCK, site))


def unlock_replays(connection: psycopg.Connection[Any], site: str) -> None:
    """Let the next replay go on."""
    connection.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", (_LOCK, site))


def read_correction(connection: psycopg.Connection[Any], correction_id: int, *, site: str) -> Correction | None:
    """Return a batch of a site, None if there is none of that number."""
    with connection.cursor(row_factory=class_row(Correction)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM quality.corrections c WHERE correction_id = %s AND site = %s",
            (correction_id, site),
        ).fetchone()


def list_corrections(connection: psycopg.Connection[Any], *, limit: int) -> list[Correction]:
    """Return the batches of all sites, newest first."""
    with connection.cursor(row_factory=class_row(Correction)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM quality.corrections c ORDER BY correction_id DESC LIMIT %s", (limit,)
        ).fetchall()


def corrections_of(
    connection: psycopg.Connection[Any], *, site: str, collector: str, window_start: datetime, sequence: int
) -> list[dict[str, Any]]:
    """Return what was corrected of one rejected reading, oldest first: batch, who, why, to what, what came of it."""
    query = (
        "SELECT correction_id, made_at, made_by, because, outcome, why, sensor_id, time, value, text_value, unit,"
        " status"
        " FROM quality.corrected_readings JOIN quality.corrections USING (correction_id, site)"
        " WHERE site = %s AND collector = %s AND window_start = %s AND sequence = %s ORDER BY correction_id"
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, (site, collector, window_start, sequence)).fetchall()
