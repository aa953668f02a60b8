"""The steps of `gl window migrate`, in the order in which an interruption loses nothing.

First what is stored is noted in the buffer, then the database changes in one transaction, then the buffer, then
Dagster's record. Each step finds out by itself whether it is still to be done, so the command can simply be repeated.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from gl_assets.cli.state import Progress
from resources.core.errors import ConfigError, DataError
from resources.core.windows import partition_key
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rework.regrid import (
    LedgerChange,
    StoredWindow,
    collectors_of,
    is_unreported,
    note_reported,
    regrid,
    stored_windows,
)
from resources.databases.timescale.settings import window_in_force
from resources.databases.timescale.window_store.ledger import stored_revisions
from resources.integrations import Integrations
from resources.window_buffer.disk.index import INDEX_NAME
from resources.window_buffer.regrid import BufferRegrid

_MOST_SHOWN = 5


@dataclass(slots=True)
class MigrationResult:
    """What was done, or without `confirmed` what would be."""

    confirmed: bool
    old: timedelta | None
    new: timedelta
    ledger: LedgerChange | None = None
    """None: the database is of the new length already, or has none yet."""
    buffer_windows: int | None = None
    """Windows of the buffer that are set aside; None: the buffer is of the new length already, or there is none."""
    aside: str | None = None
    """Where they are."""
    reported: int | None = None
    """Windows reported to Dagster; None: it need not be told."""
    dagster_failed: str | None = None
    """Why Dagster could not be told."""

    @property
    def is_nothing(self) -> bool:
        """True if there is nothing to do."""
        return self.ledger is None and self.buffer_windows is None and self.reported is None

    def sentences(self) -> list[str]:
        """Return what to tell a person."""
        if self.is_nothing:
            return [f"Windows of {minutes(self.new)} are in force: there is nothing to do."]
        would = "" if self.confirmed else "would be "
        lines = []
        if self.ledger is not None and self.old is not None:
            change = self.ledger
            lines.append(
                f"Database: {change.windows_before:,} windows of {minutes(self.old)} {would or 'are '}cut into "
                f"{change.windows_after:,} of {minutes(self.new)}, holding {change.rows:,} rows and "
                f"{change.rejected:,} rejected rows, of which {change.rejected_moved:,} belong to a window of another "
                "name. No reading is changed."
            )
        if self.buffer_windows is not None:
            lines.append(
                f"Buffer: {self.buffer_windows:,} windows, all stored, {would or 'are '}set aside in {self.aside}; "
                "remove it when you no longer want it."
            )
        if self.dagster_failed is not None:
            lines.append(
                f"Dagster: not told ({self.dagster_failed}). Before the platform starts again, mend that and run "
                "`gl window migrate --confirm` once more: the UI hangs on windows of two lengths."
            )
        elif self.reported is not None:
            lines.append(
                f"Dagster: its record of the windows {would or 'is '}wiped, and {self.reported:,} windows "
                f"{would or 'are '}reported anew."
            )
        return lines


class Migration:
    """One change of the window length in force to the configured one."""

    def __init__(self, config: Integrations, home: Path, url: str, progress: Progress) -> None:
        """Prepare it; the caller holds the home's lock."""
        self._config, self._home, self._url, self._progress = config, home, url, progress

    def run(self, *, confirm: bool, others_stopped: bool) -> MigrationResult:
        """Do it, or without `confirm` find out what would be done.

        Raises:
            ConfigError: A collector runs here, or other collectors of the site may run elsewhere.
            DataError: The buffer holds windows that are not stored; the message names them.
        """
        config, folder = self._config, self._home / "buffer"
        result = MigrationResult(confirm, None, config.window)
        with ExitStack() as stack:
            buffer = stack.enter_context(BufferRegrid(folder)) if (folder / INDEX_NAME).exists() else None
            connection = stack.enter_context(connect(self._url))
            in_force = window_in_force(connection, site=config.site)
            if in_force is not None and in_force != config.window:
                result.old = in_force
                self._refuse_other_collectors(connection, buffer, others_stopped)
            self._prepare_buffer(connection, buffer, result)
            windows = self._change_database(connection, result)
            self._change_buffer(connection, buffer, result)
        if result.reported is not None and confirm:
            self._tell_dagster(windows, result)
        return result

    def _refuse_other_collectors(
        self, connection: psycopg.Connection, buffer: BufferRegrid | None, others_stopped: bool
    ) -> None:
        own = self._config.collector.name if buffer is None else buffer.collector
        others = [name for name in collectors_of(connection, site=self._config.site) if name != own]
        if others and not others_stopped:
            raise ConfigError(
                f"site {self._config.site} has readings of other collectors, too: {', '.join(others)}. Stop them, see "
                "by `gl buffer stats` on their machines that all they hold is stored, and say "
                "--other-collectors-stopped; then run `gl window migrate --confirm` on each of their machines"
            )

    def _prepare_buffer(
        self, connection: psycopg.Connection, buffer: BufferRegrid | None, result: MigrationResult
    ) -> None:
        """Refuse a buffer that holds what is not stored; note in it what is."""
        if buffer is None or buffer.length in (None, self._config.window):
            return
        ledger = None
        if result.old == buffer.length:
            ledger = stored_revisions(connection, site=self._config.site, collector=buffer.collector)
        unfinished = buffer.unfinished(ledger)
        if unfinished:
            named = [f"{partition_key(one.window_start)}: {one.why}" if one.window_start else one.why
                     for one in unfinished]  # fmt: skip
            more = f" and {len(named) - _MOST_SHOWN} more" if len(named) > _MOST_SHOWN else ""
            old = minutes(buffer.length or self._config.window)
            raise DataError(
                f"the buffer holds {len(unfinished)} windows that are not stored at their last revision: "
                f"{'; '.join(named[:_MOST_SHOWN])}{more}. Set window back to {old}, run `gl ingest --for 1` (or "
                f"`gl up` until `gl buffer stats` shows all stored), then to {minutes(self._config.window)} again"
            )
        result.buffer_windows = buffer.held
        result.aside = str(self._home / f"buffer-{minutes(buffer.length)}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        if result.confirmed and ledger is not None:
            buffer.note_stored(ledger)

    def _change_database(self, connection: psycopg.Connection, result: MigrationResult) -> list[StoredWindow]:
        """Cut the ledger and commit, or roll back where nobody confirmed: so the figures are the true ones."""
        site = self._config.site
        if result.old is not None:
            self._progress(f"counting what is stored by windows of {minutes(self._config.window)}")
            result.ledger = regrid(connection, site=site, old=result.old, new=self._config.window)
        windows = reportable(self._config, stored_windows(connection, site=site), datetime.now(UTC))
        if is_unreported(connection, site=site):
            result.reported = len(windows)
        if result.confirmed:
            connection.commit()
        else:
            connection.rollback()
        return windows

    def _change_buffer(
        self, connection: psycopg.Connection, buffer: BufferRegrid | None, result: MigrationResult
    ) -> None:
        if buffer is None or result.aside is None or not result.confirmed:
            return
        ledger = stored_revisions(connection, site=self._config.site, collector=buffer.collector)
        buffer.apply(self._config.window, ledger, Path(result.aside))

    def _tell_dagster(self, windows: list[StoredWindow], result: MigrationResult) -> None:
        # seconds to import, and not before the rest is done
        import sqlalchemy.exc
        from dagster_postgres.utils import DagsterPostgresException

        from gl_assets.scada.rereport import rereport
        from gl_assets.scada.run import open_instance

        self._progress(f"reporting {len(windows):,} windows to Dagster")
        try:
            with open_instance(self._home) as instance:
                result.reported = rereport(instance, windows, self._config.window)
        except (sqlalchemy.exc.SQLAlchemyError, DagsterPostgresException) as error:
            result.dagster_failed = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            return
        with connect(self._url) as connection:
            note_reported(connection, site=self._config.site)


def reportable(config: Integrations, windows: list[StoredWindow], now: datetime) -> list[StoredWindow]:
    """Return the windows that are partitions: from the configured `start` on, and over. One that lasts comes later."""
    first = config.grid.start_of(config.start)
    return [one for one in windows if first <= one.window_start and one.window_start + config.window <= now]


def minutes(length: timedelta) -> str:
    """Return a window length as the configuration writes it."""
    return f"{length // timedelta(minutes=1)}m"
