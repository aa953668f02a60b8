"""The process that lands a day, killed in the middle: what was stored stays, nothing of the new pull is seen."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from resources.erp.declared import DatasetConfig
from resources.erp.landed.landing import Landing, land_day
from resources.erp.records import RecordPage

DAY = date(2026, 11, 18)
DECLARED = DatasetConfig(resource="R", key=("id",), business_date="day")
LANDING = Landing("s", "d", DAY, DECLARED, "run")
PULL = """
import sys, psycopg
from datetime import UTC, datetime
from resources.erp.landed.landing import land_day
from resources.erp.records import RecordPage
from tests.faults.test_landing_killed import LANDING, record

def pages():
    # more than a batch, so that some of it is in the table already, then a page that never comes
    yield RecordPage([record(n, "new") for n in range(4000)])
    yield RecordPage([record(n, "new") for n in range(4000, 8000)])
    print("waiting", flush=True)
    sys.stdin.read()

with psycopg.connect(sys.argv[1]) as connection, connection.transaction():
    land_day(connection, LANDING, pages(), now=datetime.now(UTC))
"""


def record(number: int, version: str) -> bytes:
    return f'{{"id":"{number}","v":"{version}","t":"{"x" * 300}"}}'.encode()


def stored(url: str) -> list[tuple[str, int]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT raw->>'v', count(*) FROM erp.landed_records WHERE deleted_at IS NULL GROUP BY 1"
        ).fetchall()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("before", [0, 3], ids=["a new day", "a day that is stored"])
def test_a_landing_when_killed_leaves_what_was_stored_and_the_next_one_is_whole(database_url: str, before: int) -> None:
    held = [RecordPage([record(n, "old") for n in range(before)])]
    with psycopg.connect(database_url) as connection:
        if before:
            land_day(connection, LANDING, held, now=datetime.now(UTC))
    process = subprocess.Popen(
        [sys.executable, "-c", PULL, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent.parent,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        until(lambda: in_transaction(database_url))
        assert stored(database_url) == ([("old", before)] if before else [])
    finally:
        process.kill()
        process.communicate()
    assert stored(database_url) == ([("old", before)] if before else [])
    # its lock went with it: the next pull waits for nobody
    with psycopg.connect(database_url) as connection:
        connection.execute("SET LOCAL lock_timeout = '60s'")
        pages = [RecordPage([record(n, "next") for n in range(5)])]
        assert land_day(connection, LANDING, pages, now=datetime.now(UTC)).rows == 5
    assert stored(database_url) == [("next", 5)]


def in_transaction(url: str) -> bool:
    """Return whether another session has written and not committed."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_xid IS NOT NULL"
        ).fetchone()
        return bool(row and row[0])
