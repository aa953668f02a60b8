"""The Dagster resource of the platform's own database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

import dagster as dg
import psycopg
import sqlalchemy as sa

from resources.databases.timescale.connection import connect, database_url, engine
from resources.databases.timescale.settings import ensure_window
from resources.databases.timescale.store import ReadingsStore


class SiteAndWindow(Protocol):
    """What of the configuration the store has to agree with."""

    @property
    def site(self) -> str:
        """The site."""
        ...

    @property
    def window(self) -> timedelta:
        """The window length."""
        ...


class TimescaleResource(dg.ConfigurableResource):  # type: ignore[type-arg] # its own type is bound by Dagster
    """TimescaleDB or PostgreSQL with the platform's schema; nothing is opened before a run asks."""

    url: str = ""
    """`postgresql://user:password@host:port/database`, best as dg.EnvVar; empty: what GL_DATABASE_URL says at the run."""

    def resolved_url(self) -> str:
        """Return the URL.

        Raises:
            ConfigError: None is configured, and GL_DATABASE_URL is unset.
        """
        return self.url or database_url()

    @contextmanager
    def store(self, config: SiteAndWindow) -> Iterator[ReadingsStore]:
        """Yield the store of readings, closed at the end.

        Raises:
            ConfigError: The database is cut into windows of another length than `config` says.
        """
        with ReadingsStore(self.resolved_url()) as store:
            with store.transaction() as connection:
                ensure_window(connection, site=config.site, window=config.window)
            yield store

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Yield a psycopg connection; what was done is committed at the end, rolled back by an error."""
        with connect(self.resolved_url()) as connection:
            yield connection

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """Yield a SQLAlchemy engine, disposed of at the end."""
        database = engine(self.resolved_url())
        try:
            yield database
        finally:
            database.dispose()
