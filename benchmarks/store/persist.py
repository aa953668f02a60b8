"""How quick the whole way from buffer to table is, against the bare COPY of the same rows and against pandas.to_sql."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg

from benchmarks.store.bare_copy import BareCopy, encode
from benchmarks.store.workload import Workload, every_value_changed, some_values_changed
from gl_assets.scada.persist import persist_window
from resources.databases.timescale.connection import engine
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.readings_table import KINDS
from resources.window_buffer.contents import WindowContents

Change = Callable[[WindowContents, float], WindowContents]
Progress = Callable[[str], None]

TO_SQL_ROWS = 50_000
"""Rows given to pandas.to_sql: its speed does not depend on their number, and 1,000,000 would take half a minute."""

_TABLES = "scada.readings, scada.window_ledger, scada.window_sources, scada.rejected_readings, scada.text_readings"


@dataclass(slots=True)
class Rates:
    """Readings per second of each way, one entry per repetition."""

    copy: list[float] = field(default_factory=list)
    first_load: list[float] = field(default_factory=list)
    replace_all_changed: list[float] = field(default_factory=list)
    replace_late: list[float] = field(default_factory=list)
    replace_unchanged: list[float] = field(default_factory=list)
    to_sql: list[float] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)


def measure(url: str, workload: Workload, copy: BareCopy, *, repeats: int, progress: Progress) -> Rates:
    """Measure every way `repeats` times, each time one after the other on the same database."""
    rates = Rates()
    with psycopg.connect(url, autocommit=True) as connection, ReadingsStore(url) as store:
        runner = _Runner(connection, store, workload)
        files = runner.table_files()
        for number in range(repeats):
            progress(f"persist, {number + 1} of {repeats}")
            runner.clear()
            seconds = sum(copy.seconds("scada.readings", tuple(KINDS), data) for data in files)
            rates.copy.append(workload.readings / seconds)
            runner.clear()
            rates.first_load.append(runner.rate(rates.steps))
            rates.replace_unchanged.append(runner.rate())
            rates.replace_late.append(runner.rate(change=some_values_changed))
            rates.replace_all_changed.append(runner.rate(change=every_value_changed))
            rates.to_sql.append(runner.to_sql_rate(url))
    return rates


class _Runner:
    """One database, one workload."""

    def __init__(self, connection: psycopg.Connection, store: ReadingsStore, workload: Workload) -> None:
        self.connection, self.store, self.workload = connection, store, workload
        self.revisions = itertools.count(1)

    def clear(self) -> None:
        """Empty the tables and write everything out, so that no way pays for the one before."""
        self.connection.execute(f"TRUNCATE {_TABLES}")
        self.connection.execute("CHECKPOINT")

    def rate(self, steps: list[dict[str, float]] | None = None, *, change: Change | None = None) -> float:
        """Return readings per second of reading every window from the buffer and storing its next revision."""
        revision, seconds, spent = next(self.revisions), 0.0, {"read": 0.0}
        for start in self.workload.window_starts:
            begun = time.perf_counter()
            contents = replace(self.workload.reader.read(start), revision=revision)
            read = time.perf_counter()
            if change is not None:
                contents = change(contents, 0.001 * revision)
            changed = time.perf_counter()
            outcome = persist_window(contents, self.store, self.workload.config, run_id="bench")
            seconds += time.perf_counter() - begun - (changed - read)
            assert outcome.stored
            spent["read"] += read - begun
            for step, took in outcome.seconds.items():
                spent[step] = spent.get(step, 0.0) + took
        if steps is not None:
            steps.append(spent)
        return self.workload.readings / seconds

    def table_files(self) -> list[bytes]:
        """Store the workload once and return each window's rows as the table holds them, in the order written."""
        self.rate()
        columns = ", ".join(
            f"(extract(epoch FROM {name} - timestamptz '2000-01-01Z') * 1000000)::int8 AS {name}"
            if name in ("time", "ingested_at")
            else name
            for name in KINDS
        )
        files = []
        for start in self.workload.window_starts:
            rows = self.connection.execute(
                f"SELECT {columns} FROM scada.readings WHERE time >= %s AND time < %s ORDER BY sensor_key, time",
                (start, start + self.workload.config.window),
            ).fetchall()
            found = {name: np.array(column) for name, column in zip(KINDS, zip(*rows, strict=True), strict=True)}
            files.append(encode(found, KINDS))
        return files

    def to_sql_rate(self, url: str) -> float:
        """Return rows per second of pandas.to_sql into the same table, emptied."""
        rows = self.connection.execute(f"SELECT {', '.join(KINDS)} FROM scada.readings LIMIT {TO_SQL_ROWS}").fetchall()
        frame = pd.DataFrame(rows, columns=list(KINDS))
        self.clear()
        database = engine(url)
        try:
            begun = time.perf_counter()
            frame.to_sql("readings", database, schema="scada", if_exists="append", index=False)
            return len(frame) / (time.perf_counter() - begun)
        finally:
            database.dispose()


def report(rates: Rates, copy: BareCopy) -> dict[str, object]:
    """Return the medians, as ratios and absolute."""
    middle = {
        name: statistics.median(getattr(rates, name))
        for name in ("copy", "first_load", "replace_all_changed", "replace_late", "replace_unchanged", "to_sql")
    }
    ratio = {name: round(middle[name] / middle["copy"], 3) for name in middle}
    return {
        "persist_vs_copy": ratio["first_load"],
        # what replaces a window in operation: its next revision, in which late data changed one reading in a hundred
        "replace_vs_copy": ratio["replace_late"],
        # the hardest replacement, with no target of its own: not one reading keeps its value
        "replace_all_changed_vs_copy": ratio["replace_all_changed"],
        "replace_unchanged_vs_copy": ratio["replace_unchanged"],
        "persist_vs_to_sql": round(middle["first_load"] / middle["to_sql"], 2),
        "readings_per_s": round(middle["first_load"]),
        "copy_readings_per_s": round(middle["copy"]),
        "copy": copy.where,
        "persist_step_share": _shares(rates.steps),
        "spread": {name: _spread(getattr(rates, name)) for name in middle},
    }


def _shares(steps: list[dict[str, float]]) -> dict[str, float]:
    totals = {step: statistics.median(spent[step] for spent in steps) for step in steps[0]}
    return {step: round(seconds / sum(totals.values()), 3) for step, seconds in totals.items()}


def _spread(values: list[float]) -> float:
    """Return the largest over the smallest: how noisy the machine was."""
    return round(max(values) / min(values), 2)


def scratch(folder: Path) -> Path:
    """Return the buffer's folder in the benchmark's scratch folder."""
    return folder / "buffer"
