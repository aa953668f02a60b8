"""What revisions share: running a file of SQL, and telling the edition."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import op

from resources.databases.timescale.edition import Edition, detect

SQL = Path(__file__).parent / "sql"


def connection() -> psycopg.Connection:
    """Return the psycopg connection that the running revision works on."""
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def run_sql(name: str) -> None:
    """Run the statements of `migrations/sql/<name>`."""
    connection().execute((SQL / name).read_bytes())


def edition() -> Edition:
    """Return the edition of the database being migrated."""
    return detect(connection())


def make_hypertable(table: str, column: str, chunk: str) -> None:
    """Turn an empty table into a hypertable with chunks of `chunk`; on PLAIN it stays an ordinary table."""
    if edition().has_hypertables:
        connection().execute(
            "SELECT create_hypertable(%s::regclass, by_range(%s, %s::interval), create_default_indexes => false)",
            (table, column, chunk),
        )
