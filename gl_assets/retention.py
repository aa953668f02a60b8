"""Retention: once a day, what is older than the configured limits goes. Off unless `retention` is configured.

The same job does it in every edition of the database: whole chunks where there are hypertables, rows elsewhere. One
behaviour everywhere, and one that tests can show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
import psycopg

from gl_assets.partition_range import told_in_words
from resources.core.errors import UnreachableError
from resources.databases.timescale.connection import connect, describe
from resources.databases.timescale.maintenance import KEPT_TABLES, Dropped, drop_before
from resources.integrations import Integrations
from resources.wiring import TimescaleResource


def limits(config: Integrations, now: datetime) -> dict[str, datetime]:
    """Return kind of row -> instant before which it goes; only kinds that have a limit."""
    ages = {kind: getattr(config.retention, kind) for kind in KEPT_TABLES}
    return {kind: now - age for kind, age in ages.items() if age is not None}


def build_retention_job(config: Integrations) -> dg.JobDefinition:
    """Return the job for this configuration's limits."""

    @dg.op(description="Drop what is older than the configured limits, and say what went.")
    def drop_old_rows(context: dg.OpExecutionContext, timescale: TimescaleResource) -> None:
        """Drop each kind by its limit, each in a transaction of its own."""
        found = limits(config, datetime.now(UTC))
        if not found:
            context.log.info("No limit is configured (`retention`): nothing is dropped.")
        metadata: dict[str, str] = {}
        with told_in_words(), _connection(timescale.resolved_url()) as connection:
            for kind, instant in found.items():
                metadata[kind] = sentence(drop_before(connection, instant, kind), instant)
                context.log.info(f"{kind}: {metadata[kind]}")
        context.add_output_metadata(metadata)

    @dg.job(
        name="retention_job",
        executor_def=dg.in_process_executor,
        description="Drop readings, hours and rejected rows that are older than `retention` of the configuration.",
        tags={"gl/upkeep": "retention"},
    )
    def retention_job() -> None:
        drop_old_rows()

    return retention_job


def sentence(dropped: Dropped, instant: datetime) -> str:
    """Return what the run says of one kind."""
    what = f"{dropped.number:,} {dropped.unit}" if dropped.number else f"no {dropped.unit}"
    chunks = f" ({', '.join(dropped.chunks)})" if dropped.chunks else ""
    return f"dropped {what} before {instant:%Y-%m-%d %H:%M} UTC{chunks}"


@contextmanager
def _connection(url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection in autocommit; one that breaks is told as what it is.

    Raises:
        UnreachableError, AuthError: As `connect`, or lost in the middle: what is dropped is dropped.
    """
    with connect(url, autocommit=True) as connection:
        try:
            yield connection
        except psycopg.OperationalError as error:
            raise UnreachableError(
                f"database {describe(url)}: lost while dropping old rows ({str(error).strip().splitlines()[0]}); "
                "what is dropped is dropped, the rest goes tomorrow",
                source="database",
            ) from error
