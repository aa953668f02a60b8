"""Bringing a database to the schema this version needs: `migrate(url)`, safe to call at every start.

The revisions lie in `migrations/versions`; each runs its SQL from `migrations/sql`. All of them run in one transaction.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from resources.core.errors import ConfigError
from resources.databases.timescale.connection import connect, describe, engine
from resources.databases.timescale.edition import Edition, can_install, detect, timescale_version

log = structlog.get_logger(__name__)

OLDEST_SERVER = 150000
"""Oldest server_version_num: 15 has UNIQUE NULLS NOT DISTINCT."""

_LOCK = 0x474C_4D49_4752
"""Advisory lock held while migrating: the letters GLMIGR."""


def migrate(url: str, *, with_timescale: bool = True) -> Edition:
    """Bring the database to the newest schema and return its edition; nothing happens where it is there already.

    Two processes that start at once take turns: the second finds the work done.

    Args:
        url: The database; its user must be allowed to create schemas, and extensions where TimescaleDB is wanted.
        with_timescale: False leaves the extension uninstalled even where the server has it.

    Raises:
        ConfigError: The server is too old, or the user may not do what is needed.
        UnreachableError: No server answers.
    """
    with connect(url, autocommit=True) as guard:
        _refuse_old_server(guard, url)
        # a session lock: CREATE EXTENSION and the revisions are two transactions
        guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            if with_timescale and timescale_version(guard) is None and can_install(guard):
                guard.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            guard.execute("CREATE SCHEMA IF NOT EXISTS platform")
            edition = detect(guard)
            _upgrade(url)
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigError(
                f"database {describe(url)}: the user may not create what the platform needs "
                f"({error.diag.message_primary}); make it the owner of the database, "
                "or run the migration once as a user who is"
            ) from error
    log.info("database_migrated", database=describe(url), edition=str(edition))
    return edition


def is_current(connection: psycopg.Connection) -> bool:
    """Return whether the connected database has the newest schema."""
    row = connection.execute("SELECT to_regclass('platform.alembic_version')").fetchone()
    if row is None or row[0] is None:
        return False
    found = {str(r[0]) for r in connection.execute("SELECT version_num FROM platform.alembic_version")}
    return found == set(ScriptDirectory.from_config(_config()).get_heads())


def _refuse_old_server(connection: psycopg.Connection, url: str) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise ConfigError(
            f"database {describe(url)}: PostgreSQL {connection.info.server_version // 10000} is too old; "
            "the platform needs 15 or newer"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(url: str) -> None:
    config, database = _config(), engine(url)
    try:
        with database.begin() as connection:
            config.attributes["connection"] = connection
            # "heads": domains add their revisions side by side
            command.upgrade(config, "heads")
    finally:
        database.dispose()
