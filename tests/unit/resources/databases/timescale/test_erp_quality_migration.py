"""Scores of ERP rows when an older database is migrated: from a share to points."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from gl_assets.erp.tables import TABLES
from resources.databases.timescale.migrations.run import SQL

STATEMENTS = (SQL / "r0007_erp_quality.sql").read_text()


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A database as it was before the revision."""
    with psycopg.connect(database_url) as opened:
        for table in TABLES:
            opened.execute(f"ALTER TABLE erp.{table} DROP COLUMN quality_level")  # type: ignore[arg-type]
        yield opened
        opened.rollback()


def test_scores_when_migrated_are_points_with_a_level(connection: psycopg.Connection) -> None:
    found = {"whole": 1.0, "half": 0.5, "nothing": 0.0, "never": None}
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO erp.materials (system, source_key, ingested_at, quality_score) VALUES ('s', %s, now(), %s)",
            list(found.items()),
        )
    connection.execute(STATEMENTS)  # type: ignore[arg-type]
    rows = connection.execute("SELECT source_key, quality_score, quality_level FROM erp.materials").fetchall()
    assert {key: held for key, *held in rows} == {
        "whole": [100.0, "EXCELLENT"],
        "half": [85.0, "GOOD"],
        "nothing": [70.0, "FAIR"],
        "never": [None, None],
    }


def test_every_standard_table_when_migrated_has_a_level(connection: psycopg.Connection) -> None:
    connection.execute(STATEMENTS)  # type: ignore[arg-type]
    found = connection.execute(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'erp' AND column_name = 'quality_level'"
    )
    assert {name for (name,) in found} == TABLES.keys()
