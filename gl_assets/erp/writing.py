"""What the standard ERP assets do: landed records of all that feeds a table become its rows, part by part."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import pandas as pd
import psycopg
import pyarrow as pa

from gl_assets.erp.bodies import SNAPSHOT, Metadata, one_transaction
from gl_assets.erp.feeds import Feed
from gl_assets.erp.plots import amounts_chart
from gl_assets.erp.tables import FactTable, MasterTable
from gl_assets.transforms.erp.facts import MeterFacts, Standardised, SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.validation import judge
from resources.erp.config import MeterConfig
from resources.erp.incoming import REJECTED, LandedPart, StandardTable, lock_part
from resources.erp.master import merge_master
from resources.erp.standard import landed_columns, replace_day


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the landed records of a part."""

    rows: int
    rejected: int
    withdrawn: int
    left: int
    """Keys that left the table."""

    def __add__(self, other: "Written") -> "Written":
        """Return both together."""
        return Written(
            self.rows + other.rows,
            self.rejected + other.rejected,
            self.withdrawn + other.withdrawn,
            self.left + other.left,
        )


@dataclass
class StandardWriter:
    """Brings landed parts of all its feeds into a standard table, and keeps what the UI shows of them."""

    connection: psycopg.Connection
    table: MasterTable
    feeds: Sequence[Feed]
    run_id: str
    found: dict[str, Metadata] = field(default_factory=dict)
    totals: list[pd.Series] = field(default_factory=list)

    def write(self, day: date | None) -> None:
        """Bring one business day in, or the snapshot of master data: all feeds in one transaction."""
        started = time.perf_counter()
        totals: list[pd.Series] = []
        written = Written(0, 0, 0, 0)
        with one_transaction(self.connection):
            for feed in self.feeds:
                written += self._write(feed, day, totals)
        self.totals += totals
        self.found[day.isoformat() if day else SNAPSHOT] = {
            "dagster/row_count": written.rows,
            "rows": written.rows,
            "rejected": written.rejected,
            "withdrawn": written.withdrawn,
            "left": written.left,
            "duration_s": round(time.perf_counter() - started, 3),
        }

    def records(self, day: str) -> int:
        """Return how many rows a written part has; 0 where it failed."""
        return int(str(self.found.get(day, {}).get("rows", 0)))

    def add_chart(self) -> None:
        """Put the chart of all parts of the run to the last of them: one image, not one a day."""
        if not self.found or not self.totals:
            return
        chart = self.table.chart
        amounts = chart.largest(pd.concat(self.totals).groupby(level=[0, 1]).sum())
        first, last = min(self.found), max(self.found)
        self.found[last][chart.name] = amounts_chart(amounts, first if first == last else f"{first} to {last}")

    def _write(self, feed: Feed, day: date | None, totals: list[pd.Series]) -> Written:
        part = LandedPart(feed.system, feed.dataset, day, self.run_id)
        lock_part(self.connection, part)
        paths = paths_read(feed.declared, feed.settings.kind)
        landed = landed_columns(self.connection, feed.system, feed.dataset, day, paths)
        rows, rejected, withdrawn = self._made_of(landed, feed, day, totals) if landed.num_rows else self._nothing()
        bring_in = merge_master if day is None else replace_day
        left = bring_in(self.connection, self._target(), part, rows, rejected, withdrawn)
        return Written(rows.num_rows, rejected.num_rows, len(withdrawn), left)

    def _made_of(
        self, landed: pa.Table, feed: Feed, day: date | None, totals: list[pd.Series]
    ) -> tuple[pa.Table, pa.Table, list[str]]:
        """Return what landed records become: rows, rejected ones, and the keys of those that no longer count."""
        standard = standardise(landed, feed.declared, self.table.schema, self._facts(feed, day))
        counting = standard.rows[~standard.withdrawn]
        judged = judge(counting, self.table.schema, standard.problems[standard.problems.index.isin(counting.index)])
        if len(judged.good):
            totals.append(self.table.chart.totals(judged.good))
        withdrawn = [str(key) for key in standard.rows.loc[standard.withdrawn, "source_key"]]
        return pa.Table.from_pandas(judged.good, preserve_index=False), _rejected(standard, judged.reasons), withdrawn

    def _nothing(self) -> tuple[pa.Table, pa.Table, list[str]]:
        # a quiet day of a system is common, and nothing has to be read to know what becomes of it
        nothing = pa.table({name: pa.array([], pa.string()) for name in self.table.columns})
        return nothing, REJECTED.empty_table(), []

    def _target(self) -> StandardTable:
        business_date = self.table.business_date if isinstance(self.table, FactTable) else None
        return StandardTable(self.table.name, self.table.columns, business_date)

    def _facts(self, feed: Feed, day: date | None) -> SystemFacts:
        settings = feed.settings
        return SystemFacts(
            system=feed.system,
            company=settings.company,
            time_zone=settings.time_zone,
            meters={point: _meter(meter) for point, meter in settings.meters.items()},
            kind=settings.kind,
            unit_codes=settings.unit_codes,
            settings={name: str(held) for name, held in settings if isinstance(held, str | int) and held is not None},
            day=day,
            business_date=self._target().business_date,
        )


def _meter(meter: MeterConfig) -> MeterFacts:
    return MeterFacts(
        energy_type=meter.energy_type,
        plant_code=meter.plant_code,
        location_code=meter.location_code,
        cost_center=meter.cost_center,
        interval=meter.interval,
        reading=meter.reading,
    )


def _rejected(standard: Standardised, reasons: pd.Series) -> pa.Table:
    keys = standard.rows.loc[list(reasons.index), "source_key"] if len(reasons) else []
    columns = {"source_key": [str(key) for key in keys], "reasons": [list(found) for found in reasons]}
    return pa.Table.from_pydict(columns, schema=REJECTED)
