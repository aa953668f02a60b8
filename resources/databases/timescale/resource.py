"""The Dagster resource of the platform's own database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

import dagster as dg
import psycopg
import sqlalchemy as sa
from pydantic import Field

from resources.databases.timescale.connection import URL_VARIABLE, connect, engine
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

    # a default through the environment variable: looked up when a run starts, not when definitions load
    url: str = Field(default_factory=lambda: dg.EnvVar(URL_VARIABLE))
    """`postgresql://user:password@host:port/database`; GL_DATABASE_URL if absent."""

    @contextmanager
    def store(self, config: SiteAndWindow) -> Iterator[ReadingsStore]:
        """Yield the store of readings, closed at the end.

        Raises:
            ConfigError: The database is cut into windows of another length than `config` says.
        """
        with ReadingsStore(self.url) as store:
            with store.transaction() as connection:
                ensure_window(connection, site=config.site, window=config.window)
            yield store

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Yield a psycopg connection; what was done is committed at the end, rolled back by an error."""
        with connect(self.url) as connection:
            yield connection

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """Yield a SQLAlchemy engine, disposed of at the end."""
        database = engine(self.url)
        try:
            yield database
        finally:
            database.dispose()
