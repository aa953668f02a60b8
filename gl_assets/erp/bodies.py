"""What the ERP assets do with one day, and how they report it to Dagster."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

import dagster as dg
import pandas as pd
import psycopg
import pyarrow as pa

from gl_assets.erp.datasets import FactDataset
from gl_assets.erp.plots import amounts_chart
from gl_assets.erp.standardised import Standardised
from gl_assets.partition_range import RangeOutcome
from gl_assets.transforms.erp_validation import judge
from resources.core.errors import UnreachableError
from resources.erp.config import SystemConfig
from resources.erp.connector import Day, Part
from resources.erp.landing import Landing, land_day
from resources.erp.records import RecordPage, read_ahead
from resources.erp.standard import DayOfSystem, LandedRecord, landed_records, lock_day, replace_day
from resources.transport.json_text import dump_json

REJECTED = pa.schema(
    [
        pa.field("source_key", pa.string()),
        pa.field("raw", pa.string()),
        pa.field("reasons", pa.list_(pa.string())),
    ]
)
"""What `erp.rejected_records` is given of a record."""

Metadata = dict[str, str | int | float | dg.MetadataValue[Any]]


class ErpResource(Protocol):
    """What every ERP system's resource can do."""

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a dataset."""
        ...


def land_one_day(
    context: dg.AssetExecutionContext,
    connection: psycopg.Connection,
    resource: ErpResource,
    landing: Landing,
    found: dict[str, Metadata],
) -> None:
    """Land one day of a system in a transaction of its own, and keep what the UI shows of it in `found`.

    Raises:
        SourceError: The day could not be read; the stored day is as it was.
    """
    assert landing.day is not None, "a landing of facts has its day"
    pages = read_ahead(resource.fetch(landing.dataset, Day(landing.day)))
    with closing(pages), _one_transaction(connection):
        landed = land_day(connection, landing, pages, now=datetime.now(UTC))
    context.log.info("%s: %d records, %d written, %d vanished", landing, landed.rows, landed.written, landed.vanished)
    found[landing.day.isoformat()] = {
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
def _one_transaction(connection: psycopg.Connection) -> Iterator[None]:
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


@dataclass
class StandardWriter:
    """Brings landed days of all systems into a standard table, and keeps what the UI shows of them."""

    connection: psycopg.Connection
    dataset: FactDataset
    systems: Mapping[str, SystemConfig]
    run_id: str
    found: dict[str, Metadata] = field(default_factory=dict)
    totals: list[pd.Series] = field(default_factory=list)

    def write(self, day: date) -> None:
        """Bring one day in, all systems in one transaction."""
        started = time.perf_counter()
        rows = rejected = left = 0
        with _one_transaction(self.connection):
            for system, config in self.systems.items():
                counts = self._write(DayOfSystem(system, day, self.run_id), config)
                rows, rejected, left = rows + counts[0], rejected + counts[1], left + counts[2]
        self.found[day.isoformat()] = {
            "dagster/row_count": rows,
            "rows": rows,
            "rejected": rejected,
            "left": left,
            "duration_s": round(time.perf_counter() - started, 3),
        }

    def add_chart(self) -> None:
        """Put the chart of all days of the run to the last of them: one image, not one a day."""
        if self.found and self.totals:
            amounts = pd.concat(self.totals).groupby(level=[0, 1]).sum()
            first, last = min(self.found), max(self.found)
            self.found[last]["consumption"] = amounts_chart(amounts, first if first == last else f"{first} to {last}")

    def _write(self, day: DayOfSystem, config: SystemConfig) -> tuple[int, int, int]:
        lock_day(self.connection, self.dataset.name, day)
        landed = landed_records(self.connection, self.dataset.name, day.day, day.system)
        standard = self.dataset.standardise[config.kind](landed, day.system, config)
        counting = standard.rows[~standard.withdrawn]
        judged = judge(counting, self.dataset.schema, standard.problems[~standard.withdrawn])
        rows = pa.Table.from_pandas(judged.good, preserve_index=False)
        rejected = _rejected(landed, judged.reasons)
        left = replace_day(self.connection, self.dataset.table, day, rows, rejected, _withdrawn(standard))
        if len(judged.good):
            self.totals.append(self.dataset.totals(judged.good))
        return rows.num_rows, rejected.num_rows, left


def _withdrawn(standard: Standardised) -> list[str]:
    return [str(key) for key in standard.rows.loc[standard.withdrawn, "source_key"]]


def _rejected(landed: list[LandedRecord], reasons: pd.Series) -> pa.Table:
    places = [int(place) for place in reasons.index.to_numpy()]
    columns = {
        "source_key": [landed[place].source_key for place in places],
        "raw": [dump_json(landed[place].raw).decode() for place in places],
        "reasons": [list(found) for found in reasons],
    }
    return pa.Table.from_pydict(columns, schema=REJECTED)


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
