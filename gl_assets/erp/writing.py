"""What the standard ERP assets do: landed records of all that feeds a table become its rows, part by part.

The steps of a part: read what is landed, map it to the standard fields (ids, times, currencies, units, what the
configuration says of meters), validate, score, store. Each is a function of its own; what share of the time it took
stands in the part's metadata.

What a red gate on the landed records of a feed holds back is left as it is: whoever asks for the part, and whatever
else feeds it.
"""

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import dagster as dg
import pandas as pd
import psycopg
import pyarrow as pa
import structlog

from gl_assets.checks.holding import why_held
from gl_assets.erp.bodies import SNAPSHOT, Metadata, one_transaction
from gl_assets.erp.feeds import Feed, standard_key
from gl_assets.erp.judging.rule_judgements import asks_for_a_part
from gl_assets.erp.plots import amounts_chart
from gl_assets.erp.scores import part_scores, scores_chart, shown, store_scores
from gl_assets.erp.tables import FactTable, MasterTable
from gl_assets.step_times import StepTimes
from gl_assets.transforms.erp.facts import MeterFacts, Standardised, SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.record_rules import RecordRules, record_rules
from gl_assets.transforms.erp.scoring import Tally, score
from gl_assets.transforms.erp.table_rules import Balanced
from gl_assets.transforms.erp.validation import judge
from resources.databases.timescale.quality.gate_results import red_gates
from resources.erp.auditing.audit import repeated_records
from resources.erp.config import MeterConfig
from resources.erp.standardised.corrections import settle_corrections
from resources.erp.standardised.incoming import REJECTED, LandedPart, StandardTable, lock_part
from resources.erp.standardised.master import merge_master
from resources.erp.standardised.standard import landed_columns, replace_day

log = structlog.get_logger(__name__)

_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|(?<=\(found ).*(?=\))")
MOST_REASONS = 10
"""Reasons of rejected records that the metadata shows, the commonest."""


@dataclass
class Written:
    """What became of the landed records of a part."""

    rows: int = 0
    rejected: int = 0
    withdrawn: int = 0
    left: int = 0
    """Keys that left the table."""
    corrected: int = 0
    """Records that a correction stands in place of."""
    totals: list[pd.Series] = field(default_factory=list)
    """Amounts for the chart."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of rejected records, without the values that they name."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """System -> what its records count for the score."""
    times: StepTimes = field(default_factory=StepTimes)
    held: dict[str, str] = field(default_factory=dict)
    """Feed -> why a red gate holds it back: its rows are those of before."""

    def metadata(self) -> Metadata:
        """Return what the UI shows of it."""
        found: Metadata = {
            "rows": self.rows,
            "rejected": self.rejected,
            "withdrawn": self.withdrawn,
            "left": self.left,
            "corrected": self.corrected,
            **shown(sum(self.tallies.values(), Tally())),
            **self.times.shares(),
        }
        if self.reasons:
            found["reasons"] = dg.MetadataValue.json(dict(self.reasons.most_common(MOST_REASONS)))
        if self.held:
            found["held_back"] = dg.MetadataValue.json(self.held)
        else:
            # of a part that was written by halves these are not its rows
            found["dagster/row_count"] = self.rows
        return found


@dataclass
class StandardWriter:
    """Brings landed parts of all its feeds into a standard table, and keeps what the UI shows of them."""

    connection: psycopg.Connection
    table: MasterTable
    feeds: Sequence[Feed]
    run_id: str
    site: str
    last: date | None = None
    """Last business day that may be stored now, of facts."""
    found: dict[str, Metadata] = field(default_factory=dict)
    totals: list[pd.Series] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """A sentence for each part of a feed that a red gate holds back."""

    def write(self, day: date | None) -> None:
        """Bring one business day in, or the snapshot of master data: all feeds in one transaction.

        What a red gate holds back of a feed keeps its rows, and stays due.
        """
        started = time.perf_counter()
        written, partition = Written(), day.isoformat() if day else SNAPSHOT
        with one_transaction(self.connection):
            for feed in self.feeds:
                red = red_gates(self.connection, feed.key.to_user_string(), [partition])
                if red:
                    written.held[str(feed)] = why_held(red)
                else:
                    self._write(feed, day, written)
            # the records of some feeds alone make no score of the part
            if not written.held:
                with written.times.step("store"):
                    scores = part_scores(self._asset, partition, written.tallies)
                    store_scores(self.connection, self._asset, partition, scores, site=self.site, run_id=self.run_id)
        self.held += [f"{feed} of {partition} is left as it was: {why}" for feed, why in written.held.items()]
        self.totals += written.totals
        self.found[partition] = {**written.metadata(), "duration_s": round(time.perf_counter() - started, 3)}

    def records(self, day: str) -> int:
        """Return how many rows a written part has; 0 where it failed."""
        return int(str(self.found.get(day, {}).get("rows", 0)))

    def add_charts(self) -> None:
        """Put the charts of the run to the last of its parts: amounts of all, and the scores of the days before."""
        if not self.found:
            return
        first, last = min(self.found), max(self.found)
        if self.totals:
            chart = self.table.chart
            amounts = chart.largest(pd.concat(self.totals).groupby(level=[0, 1]).sum())
            self.found[last][chart.name] = amounts_chart(amounts, first if first == last else f"{first} to {last}")
        if isinstance(self.table, FactTable):
            self._add_scores_chart(last)

    def _add_scores_chart(self, last: str) -> None:
        try:
            with self.connection.transaction():
                chart = scores_chart(self.connection, self._asset, self.site, date.fromisoformat(last))
        except psycopg.OperationalError as error:
            # why the database was lost is told by the days that failed by it
            log.warning("scores_not_drawn", asset=self._asset, error=str(error).strip())
            return
        if chart is not None:
            self.found[last]["quality"] = chart

    @property
    def _asset(self) -> str:
        return standard_key(self.table.name).to_user_string()

    def _write(self, feed: Feed, day: date | None, written: Written) -> None:
        part = LandedPart(feed.system, feed.dataset, day, self.run_id, self.last)
        with written.times.step("read"):
            lock_part(self.connection, part)
            paths = paths_read(feed.declared, feed.settings.kind)
            landed = landed_columns(self.connection, feed.system, feed.dataset, day, paths)
        rows, rejected, withdrawn = self._made_of(landed, feed, day, written) if landed.num_rows else self._nothing()
        with written.times.step("store"):
            bring_in = merge_master if day is None else replace_day
            written.left += bring_in(self.connection, self._target(), part, rows, rejected, withdrawn)
            written.corrected += settle_corrections(self.connection, part)
        written.rows += rows.num_rows
        written.rejected += rejected.num_rows
        written.withdrawn += len(withdrawn)

    def _made_of(
        self, landed: pa.Table, feed: Feed, day: date | None, written: Written
    ) -> tuple[pa.Table, pa.Table, list[str]]:
        """Return what landed records become: rows, rejected ones, and the keys of those that no longer count."""
        schema, step = self.table.schema, written.times.step
        with step("map"):
            standard = standardise(landed, feed.declared, schema, self._facts(feed, day))
        with step("validate"):
            judged = judge(standard.rows[~standard.withdrawn], schema, standard.problems, standard.told)
        with step("score"):
            repeated = repeated_records(self.connection, feed.system, feed.dataset, day)
            scored = score(judged.good, schema, self._rules(feed), rejected=len(judged.reasons), repeated=repeated)
        written.tallies[feed.system] = written.tallies.get(feed.system, Tally()) + scored.tally
        written.reasons.update(reason for reasons in judged.reasons for reason in map(_without_value, reasons))
        if len(judged.good):
            written.totals.append(self.table.chart.totals(judged.good))
        withdrawn = [str(key) for key in standard.rows.loc[standard.withdrawn, "source_key"]]
        return pa.Table.from_pandas(scored.rows, preserve_index=False), _rejected(standard, judged.reasons), withdrawn

    def _nothing(self) -> tuple[pa.Table, pa.Table, list[str]]:
        # a quiet day of a system is common, and nothing has to be read to know what becomes of it
        nothing = pa.table({name: pa.array([], pa.string()) for name in self.table.columns})
        return nothing, REJECTED.empty_table(), []

    def _rules(self, feed: Feed) -> RecordRules:
        # who asks for some lines alone sees no whole journal
        cut = {rule for rule in self.table.checks if isinstance(rule, Balanced) and asks_for_a_part(feed, rule)}
        checks = [rule for rule in self.table.checks if rule not in cut]
        return record_rules(self.table.name, self.table.schema, checks, self._target().business_date)

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


def _without_value(reason: str) -> str:
    """Return a reason without the value it names, so that reasons of many records can be counted."""
    return _VALUE.sub("...", reason)


def _rejected(standard: Standardised, reasons: pd.Series) -> pa.Table:
    keys = standard.rows.loc[list(reasons.index), "source_key"] if len(reasons) else []
    columns = {"source_key": [str(key) for key in keys], "reasons": [list(found) for found in reasons]}
    return pa.Table.from_pydict(columns, schema=REJECTED)
