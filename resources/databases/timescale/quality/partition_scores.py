"""`quality.partition_scores`: how good each partition is, as a whole and by source, 0 to 100 in four dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

WHOLE = ""
"""The source that stands for the whole partition."""


@dataclass(frozen=True, slots=True)
class PartitionScore:
    """One partition's score, of one source or of all; every figure is 0 to 100."""

    asset: str
    """Asset key as a path, `scada/sensor_readings`."""
    partition: str
    revision: int
    rows: int
    validity: float
    completeness: float
    consistency: float
    uniqueness: float
    score: float
    """The four, weighted."""
    source: str = WHOLE


_COLUMNS = "asset, partition, revision, rows, validity, completeness, consistency, uniqueness, score, source"


def record_scores(connection: psycopg.Connection, scores: Iterable[PartitionScore], *, site: str, run_id: str) -> None:
    """Put the scores of partitions in place of those that stand; the caller commits."""
    found = list(scores)
    if not found:
        return
    partitions = sorted({(s.asset, s.partition) for s in found})
    with connection.cursor() as cursor:
        # a source that is gone must not leave its last score behind
        cursor.executemany(
            "DELETE FROM quality.partition_scores WHERE site = %s AND asset = %s AND partition = %s",
            [(site, *partition) for partition in partitions],
        )
        cursor.executemany(
            f"INSERT INTO quality.partition_scores (site, run_id, {_COLUMNS})"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(site, run_id, *_values(score)) for score in found],
        )


def scores_of(
    connection: psycopg.Connection,
    asset: str,
    *,
    site: str,
    source: str | None = WHOLE,
    since: str | None = None,
    limit: int = 10_000,
) -> list[PartitionScore]:
    """Return the newest scores of an asset's partitions, in the order of partition and source.

    Args:
        connection: To the platform's database.
        asset: Asset key as a path.
        site: The site.
        source: Of this source; the whole partition's if left out; None: of every source, and of the whole.
        since: Of partitions from this key on.
        limit: At most so many, the newest.
    """
    query = (
        f"SELECT * FROM (SELECT {_COLUMNS} FROM quality.partition_scores WHERE site = %(site)s AND asset = %(asset)s"
        " AND (%(source)s::text IS NULL OR source = %(source)s) AND (%(since)s::text IS NULL OR partition >= %(since)s)"
        " ORDER BY partition DESC, source DESC LIMIT %(limit)s) newest ORDER BY partition, source"
    )
    terms = {"site": site, "asset": asset, "source": source, "since": since, "limit": limit}
    with connection.cursor(row_factory=class_row(PartitionScore)) as cursor:
        return cursor.execute(query, terms).fetchall()


def last_scores(
    connection: psycopg.Connection, asset: str, until: str, *, site: str, partitions: int
) -> list[PartitionScore]:
    """Return the scores of the last partitions up to the key `until`, whole and by source, in their order."""
    query = (
        f"SELECT {_COLUMNS} FROM quality.partition_scores WHERE site = %(site)s AND asset = %(asset)s"
        " AND partition <= %(until)s AND partition >= (SELECT min(partition) FROM ("
        "SELECT partition FROM quality.partition_scores WHERE site = %(site)s AND asset = %(asset)s AND source = ''"
        " AND partition <= %(until)s ORDER BY partition DESC LIMIT %(partitions)s) last) ORDER BY partition, source"
    )
    terms = {"site": site, "asset": asset, "until": until, "partitions": partitions}
    with connection.cursor(row_factory=class_row(PartitionScore)) as cursor:
        return cursor.execute(query, terms).fetchall()


def score_of(connection: psycopg.Connection, asset: str, partition: str, *, site: str) -> PartitionScore | None:
    """Return the score of one partition as a whole, None if it has none."""
    query = f"SELECT {_COLUMNS} FROM quality.partition_scores WHERE (site, asset, partition, source) = (%s, %s, %s, %s)"
    with connection.cursor(row_factory=class_row(PartitionScore)) as cursor:
        return cursor.execute(query, (site, asset, partition, WHOLE)).fetchone()


def _values(score: PartitionScore) -> tuple[Any, ...]:
    return tuple(getattr(score, name) for name in _COLUMNS.split(", "))
