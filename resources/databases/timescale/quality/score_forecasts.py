"""Scores of days, and what they are forecast to be: `quality.partition_scores` in, `quality.score_forecasts` out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row


@dataclass(frozen=True, slots=True)
class DayScore:
    """How good a source's readings of one day were."""

    source: str
    day: date
    """UTC."""
    score: float
    """Mean of the day's partitions, each the same weight: an empty one counts as much as a full one."""
    partitions: int


@dataclass(frozen=True, slots=True)
class ScoreForecast:
    """What one source's score of one day is forecast to be; as the table has it."""

    source: str
    day: date
    score: float
    lower: float
    upper: float
    model: str
    days: int
    tested: int
    error: float | None
    naive_error: float | None


def day_scores(connection: psycopg.Connection, asset: str, *, site: str, since: date) -> list[DayScore]:
    """Return the scores of the days from `since` on, by source and day; partition keys begin with their day."""
    query = (
        'SELECT source, left(partition, 10)::date AS "day", avg(score)::float8 AS score, count(*) AS partitions '
        "FROM quality.partition_scores "
        "WHERE site = %s AND asset = %s AND partition >= %s AND source <> '' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    with connection.cursor(row_factory=class_row(DayScore)) as cursor:
        return cursor.execute(query, (site, asset, since.isoformat())).fetchall()


def record_forecasts(
    connection: psycopg.Connection, forecasts: Iterable[ScoreForecast], asset: str, *, site: str, run_id: str
) -> None:
    """Put forecasts in place of those of the same source and day; the caller commits."""
    rows = [asdict(forecast) | {"asset": asset, "site": site, "run_id": run_id} for forecast in forecasts]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quality.score_forecasts (site, asset, source, day, score, lower, upper, model, days, tested,"
            " error, naive_error, run_id) VALUES (%(site)s, %(asset)s, %(source)s, %(day)s, %(score)s, %(lower)s,"
            " %(upper)s, %(model)s, %(days)s, %(tested)s, %(error)s, %(naive_error)s, %(run_id)s)"
            " ON CONFLICT (site, asset, source, day) DO UPDATE SET score = excluded.score, lower = excluded.lower,"
            " upper = excluded.upper, model = excluded.model, days = excluded.days, tested = excluded.tested,"
            " error = excluded.error, naive_error = excluded.naive_error, made_at = now(), run_id = excluded.run_id",
            rows,
        )


def forecasts_of(connection: psycopg.Connection, asset: str, *, site: str) -> list[ScoreForecast]:
    """Return every forecast that was made, by source and day."""
    with connection.cursor(row_factory=class_row(ScoreForecast)) as cursor:
        return cursor.execute(
            "SELECT source, day, score, lower, upper, model, days, tested, error, naive_error "
            "FROM quality.score_forecasts WHERE site = %s AND asset = %s ORDER BY source, day",
            (site, asset),
        ).fetchall()


def newest_forecasts(connection: psycopg.Connection, asset: str, *, site: str) -> list[dict[str, Any]]:
    """Return the newest forecast of each source, as rows with the columns of `ScoreForecast`."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT DISTINCT ON (source) source, day, score, lower, upper, model, days, tested, error, naive_error "
            "FROM quality.score_forecasts WHERE site = %s AND asset = %s ORDER BY source, day DESC",
            (site, asset),
        ).fetchall()


def scored_sources(connection: psycopg.Connection, asset: str, *, site: str) -> set[str]:
    """Return the sources that have a score of any partition."""
    rows = connection.execute(
        "SELECT DISTINCT source FROM quality.partition_scores WHERE site = %s AND asset = %s AND source <> ''",
        (site, asset),
    )
    return {source for (source,) in rows}
