"""What the landed ERP assets do with a day or a snapshot, and how days are reported to Dagster."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

import dagster as dg
import psycopg

from gl_assets.erp.feeds import Feed
from gl_assets.erp.judging.model import REVISION
from gl_assets.erp.judging.pull_checks import BULK, vanish_in_bulk
from gl_assets.partition_range import RangeOutcome
from resources.core.errors import UnreachableError
from resources.databases.timescale.quality.gate_results import GateResult, record_results
from resources.erp.connector import Changed, Day, Part, Whole
from resources.erp.landed.changes import LandedChanges, land_changes
from resources.erp.landed.landing import LandedDay, Landing, land_day, land_snapshot
from resources.erp.pulling.named_pages import named
from resources.erp.records import RecordPage

Metadata = dict[str, str | int | float | dg.MetadataValue[Any]]
"""What the UI shows of a partition."""

SNAPSHOT = "snapshot"
"""What a part without a day is called where days have their date."""


class ErpSystem(Protocol):
    """What every ERP system's resource can do."""

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a dataset."""
        ...


@dataclass
class Lander:
    """Lands parts of one dataset, each in a transaction of its own, and keeps what the UI shows of them."""

    connection: psycopg.Connection
    system: ErpSystem
    feed: Feed
    run_id: str
    holds_bulk: bool = True
    """Whether a day that loses most of its records at once is held back by a red gate."""
    found: dict[str, Metadata] = field(default_factory=dict)

    def land_day(self, day: date) -> None:
        """Replace a business day by what the system says of it now.

        Raises:
            SourceError: The day could not be read; the stored day is as it was.
        """
        with closing(self._pages(Day(day))) as pages, one_transaction(self.connection):
            landed = land_day(self.connection, self.landing(day), pages, now=datetime.now(UTC))
            if self.holds_bulk and vanish_in_bulk(landed.vanished, landed.rows):
                self._hold(day, landed)
        self.found[day.isoformat()] = shown(landed)

    def _hold(self, day: date, landed: LandedDay) -> None:
        """Record the gate as red with the day itself: no check follows where the run ends before it.

        A run fails as a whole for one bad day, and is killed; what it has landed is standardised all the same.
        """
        figures = {"vanished": landed.vanished, "rows": landed.rows, "measured": float(landed.vanished), "limit": 0}
        asset = self.feed.key.to_user_string()
        red = GateResult(asset, day.isoformat(), REVISION, BULK, False, True, figures, self.run_id)
        record_results(self.connection, [red])

    def land_snapshot(self) -> None:
        """Replace master data by what the system says now.

        Raises:
            SourceError: It could not be read; what is stored is as it was.
        """
        with closing(self._pages(Whole())) as pages, one_transaction(self.connection):
            landed = land_snapshot(self.connection, self.landing(None), pages, now=datetime.now(UTC))
        self.found[SNAPSHOT] = shown(landed)

    def land_changes(self, read: Changed, first_day: date) -> LandedChanges:
        """Land what changed in a time, of whatever days, and move the cursor of changes.

        Raises:
            SourceError: It could not be read; what is stored and the cursor are as they were.
        """
        now = datetime.now(UTC)
        with closing(self._pages(read)) as pages, one_transaction(self.connection):
            changes = land_changes(self.connection, self.landing(None), pages, read=read, now=now, first_day=first_day)
        for day in changes.touched:
            self.found[day.isoformat() if day else SNAPSHOT] = {
                "changes_read": changes.records,
                "written": changes.written,
                "moved": changes.moved,
                "undated": changes.undated,
                "days_touched": len(changes.touched),
                "changed_until": read.until.isoformat(),
            }
        return changes

    def records(self, day: str) -> int:
        """Return how many records a landed day has; 0 where it failed."""
        return int(str(self.found.get(day, {}).get("rows", 0)))

    def _pages(self, part: Part) -> Generator[RecordPage]:
        """Return the pages of a part; their errors say where they happened."""
        feed = self.feed
        return named(self.system.fetch(feed.dataset, part), feed.system, feed.dataset, part)

    def landing(self, day: date | None) -> Landing:
        """Return what is landed; without a day, changes of many days or master data."""
        feed = self.feed
        return Landing(feed.system, feed.dataset, day, feed.declared, self.run_id, feed.settings.day_of(feed.dataset))


def shown(landed: LandedDay) -> Metadata:
    """Return what the UI shows of a landed part."""
    return {
        "dagster/row_count": landed.rows,
        "rows": landed.rows,
        "server_count": landed.server_count if landed.server_count is not None else "not given",
        "written": landed.written,
        "vanished": landed.vanished,
        "duplicates": landed.duplicates,
        "pages": landed.pages,
        "duration_s": round(landed.duration_s, 3),
    }


@contextmanager
def one_transaction(connection: psycopg.Connection) -> Iterator[None]:
    """Commit at the end, roll back by an error; a lost database is told as such, since it meets all days.

    Raises:
        UnreachableError: The connection to the database was lost.
    """
    try:
        with connection.transaction():
            yield
    except psycopg.OperationalError as error:
        raise UnreachableError(
            f"database: the connection was lost in the middle of a day ({type(error).__name__}); the stored day is "
            "left as it was; check the server, then run the days again",
            source="database",
        ) from error


def report_days(
    context: dg.AssetExecutionContext, key: dg.AssetKey, found: Mapping[str, Metadata], outcome: RangeOutcome
) -> None:
    """Report the days that are done, then fail the step if others are not.

    A step that fails counts for no partition, so its finished days are reported as events of their own.

    Raises:
        dagster.Failure: A day failed; the message names it.
    """
    for day in outcome.done:
        if outcome.failed:
            context.log_event(dg.AssetMaterialization(key, partition=day, metadata=found[day]))
        else:
            context.add_asset_metadata(found[day], asset_key=key, partition_key=day)
    outcome.raise_if_failed()
