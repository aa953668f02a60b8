"""How the platform's own database is reached: its URL, psycopg connections for data, a SQLAlchemy engine for schema."""

from __future__ import annotations

import os
import re

import psycopg
import sqlalchemy as sa

from resources.core.errors import AuthError, ConfigError, UnreachableError

URL_VARIABLE = "GL_DATABASE_URL"
"""Environment variable that holds `postgresql://user:password@host:port/database`."""

APPLICATION_NAME = "gl"
"""What `pg_stat_activity` shows for the platform's connections."""

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_REFUSED = ("28P01", "28000", "3D000", "42501")
_REFUSED_TEXT = ("password authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")


def database_url() -> str:
    """Return the URL in GL_DATABASE_URL as `postgresql://...`, whatever driver it names.

    Raises:
        ConfigError: The variable is unset, or is not the URL of a PostgreSQL.
    """
    value = os.environ.get(URL_VARIABLE, "")
    if not value:
        raise ConfigError(
            f"{URL_VARIABLE} is not set: start the platform with `gl up`, which brings its own database, or export "
            f"{URL_VARIABLE}=postgresql://user:password@host:port/database"
        )
    return plain_url(value)


def plain_url(url: str) -> str:
    """Return `url` with the scheme `postgresql://`, as psycopg wants it.

    Raises:
        ConfigError: It is not the URL of a PostgreSQL; the message does not repeat it, since it may hold a password.
    """
    if not _SCHEME.match(url):
        raise ConfigError(f"{URL_VARIABLE} must look like postgresql://user:password@host:port/database")
    return _SCHEME.sub("postgresql://", url, count=1)


def engine(url: str) -> sa.Engine:
    """Return a SQLAlchemy engine on psycopg 3 that checks a pooled connection before it hands it out."""
    return sa.create_engine(
        _SCHEME.sub("postgresql+psycopg://", plain_url(url), count=1),
        pool_pre_ping=True,
        connect_args={"application_name": APPLICATION_NAME},
    )


def connect(url: str, *, autocommit: bool = False, timeout_s: int = 10) -> psycopg.Connection:
    """Return an open psycopg connection whose sessions speak UTC.

    Raises:
        AuthError: The server refused user, password or database.
        UnreachableError: No server answers there.
    """
    try:
        return psycopg.connect(
            plain_url(url),
            autocommit=autocommit,
            connect_timeout=timeout_s,
            application_name=APPLICATION_NAME,
            options="-c timezone=UTC",
        )
    except psycopg.OperationalError as error:
        where, text = describe(url), str(error)
        if error.sqlstate in _REFUSED or any(part in text for part in _REFUSED_TEXT):
            raise AuthError(
                f"database {where}: the server refused the connection ({_first_line(text)}); check user, password and "
                f"database name in {URL_VARIABLE}",
                source="database",
            ) from error
        raise UnreachableError(
            f"database {where}: no connection ({_first_line(text)}); check that the server runs, or start it "
            "with `gl up`",
            source="database",
        ) from error


def describe(url: str) -> str:
    """Return `host:port/database` of a URL: what a message may show of it."""
    found = sa.make_url(plain_url(url))
    host = found.host or found.query.get("host") or "localhost"
    return f"{host}:{found.port or 5432}/{found.database or ''}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].removeprefix("connection failed: ") if text.strip() else "no reason given"
