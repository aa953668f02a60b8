"""What the standard ERP assets do with one day: landed records of all systems become rows of one table."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import pandas as pd
import psycopg
import pyarrow as pa

from gl_assets.erp.bodies import Metadata, one_transaction
from gl_assets.erp.datasets import FactDataset
from gl_assets.erp.plots import amounts_chart
from gl_assets.erp.standardised import Standardised
from gl_assets.transforms.erp_validation import judge
from resources.erp.config import SystemConfig
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
        with one_transaction(self.connection):
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

    def records(self, day: str) -> int:
        """Return how many rows a written day has; 0 where it failed."""
        return int(str(self.found.get(day, {}).get("rows", 0)))

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
