"""The counts that `gl demo` and `gl ingest` end with: what was sent, and what became of it.

Per source: lost = sent - stored - rejected - deduplicated - in_gaps; duplicated = rows beyond one per sensor and time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from gl_assets.erp.tables import TABLES
from resources.core.origins import history_of
from resources.databases.timescale.connection import connect
from resources.databases.timescale.window_store.counts import StoredCounts, counts_by_source
from resources.databases.timescale.window_store.ledger import LedgerEntry, entries
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.model import SourceCounts
from resources.window_buffer.reader import BufferReader

GapShare = Callable[[str, datetime, datetime], int]
"""(source, since, until) -> how many readings it sent in that time, by its own account."""


@dataclass(frozen=True, slots=True)
class SourceResult:
    """One source's line."""

    kind: str
    sent: int
    buffered: int
    stored: int
    rejected: int
    deduplicated: int
    in_gaps: int
    lost: int


def source_results(
    config: Integrations,
    *,
    sent: Mapping[str, int],
    buffered: Mapping[str, SourceCounts],
    stored: Mapping[str, StoredCounts],
    in_gaps: Mapping[str, int],
    filled: Mapping[str, StoredCounts] | None = None,
) -> dict[str, SourceResult]:
    """Return source -> its line; a source that nobody counts has sent what was buffered of it, and what history gave.

    `filled`: what stands in the tables from history. Whoever counts what a source sends has counted it there.
    """
    found = {}
    for name, source in config.sources.items():
        durable, history = buffered.get(name, SourceCounts()), (filled or {}).get(name, StoredCounts())
        table = _together(stored.get(name, StoredCounts()), history)
        gone = in_gaps.get(name, 0) + durable.in_gaps
        # what the report filter leaves out was received, and is not lost: the buffer's count is without it
        total = (
            sent[name] - durable.other.get("suppressed", 0)
            if name in sent
            else durable.sent + history.stored + history.rejected + history.deduplicated
        )
        found[name] = SourceResult(
            kind=source.kind,
            sent=total,
            buffered=durable.buffered,
            stored=table.stored,
            rejected=table.rejected,
            deduplicated=table.deduplicated,
            in_gaps=gone,
            lost=total - table.stored - table.rejected - table.deduplicated - gone,
        )
    return found


def _together(one: StoredCounts, other: StoredCounts) -> StoredCounts:
    return StoredCounts(*(getattr(one, f.name) + getattr(other, f.name) for f in fields(StoredCounts)))


def gained(before: Mapping[str, StoredCounts], after: Mapping[str, StoredCounts]) -> dict[str, StoredCounts]:
    """Return source -> what the tables have now and did not have before."""
    return {
        source: StoredCounts(
            *(getattr(now, f.name) - getattr(before.get(source, StoredCounts()), f.name) for f in fields(StoredCounts))
        )
        for source, now in after.items()
    }


def with_backlog(
    own: Mapping[str, SourceCounts], contents: Iterable[WindowContents], before: Iterable[Mapping[str, StoredCounts]]
) -> dict[str, SourceCounts]:
    """Return the counters of a run together with what earlier ones had left unstored in the same windows.

    Args:
        own: Source -> what the run itself has counted.
        contents: The windows that are about to be stored, run and backlog together.
        before: What stood of each in the tables until then.
    """
    waiting: Counter[str] = Counter()
    for window, stands in zip(contents, before, strict=True):
        # what is merged counts for itself: the buffer no longer knows the rest of such a window
        if window.complete:
            waiting.update(_rows_of(window))
            waiting.subtract({s: found.stored + found.rejected + found.deduplicated for s, found in stands.items()})
    found = dict(own)
    for source, rows in waiting.items():
        mine = own.get(source, SourceCounts())
        earlier = max(0, rows - mine.buffered - mine.rejected)
        found[source] = replace(mine, sent=mine.sent + earlier, buffered=mine.buffered + earlier)
    return found


def _rows_of(window: WindowContents) -> Counter[str]:
    """Return source -> rows of a window, with rejected and repeated ones."""
    names, sources = (window.sensors.column(name).to_pylist() for name in ("sensor_key", "source"))
    source_of = dict(zip(names, sources, strict=True))
    found = Counter(window.deduplicated)
    for table in (window.readings, window.texts):
        for count in pc.value_counts(table.column("sensor_key")).to_pylist():
            found[source_of[count["values"]]] += count["counts"]
    found.update(window.rejects.column("source").to_pylist())
    return found


def readings_missed_in_gaps(
    reader: BufferReader, config: Integrations, share: GapShare, until: datetime, database_url: str
) -> dict[str, int]:
    """Return source -> readings sent during its gaps and not stored.

    A gap says when nobody listened; a value made then may still come afterwards, as the first one of a subscription.
    """
    missed: dict[str, int] = {}
    with connect(database_url) as connection:
        for source, gaps in _gaps(reader, config, until).items():
            for since, ended in gaps:
                stored = sum(
                    counts_by_source(connection, site=config.site, collector=name, since=since, until=ended)
                    .get(source, StoredCounts())
                    .stored
                    for name in (config.collector.name, history_of(config.collector.name))
                )
                missed[source] = missed.get(source, 0) + max(0, share(source, since, ended) - stored)
    return missed


def _gaps(reader: BufferReader, config: Integrations, until: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for gap in reader.gaps():
        if gap.source in config.sources and config.sources[gap.source].kind != "modbus":
            found.setdefault(gap.source, []).append((gap.since, gap.until or until))
    return found


def window_latencies(
    reader: BufferReader, database_url: str, *, only: Collection[datetime] | None = None
) -> list[float]:
    """Return seconds from a window's closing to its rows committed, of every window stored at its last revision.

    `only`: of these windows; None: of all that are held.
    """
    held = {window.window_start: window for window in reader.windows() if only is None or window.window_start in only}
    with connect(database_url) as connection:
        stored: list[LedgerEntry] = entries(connection, list(held))
    return [
        (entry.stored_at - held[entry.window_start].closed_at).total_seconds()
        for entry in stored
        if entry.stored_revision == held[entry.window_start].revision
    ]


def totals(
    results: Mapping[str, SourceResult], stored: Mapping[str, StoredCounts], latencies: list[float]
) -> dict[str, Any]:
    """Return the summary that the JSON output begins with."""
    fields = ("sent", "buffered", "stored", "rejected", "deduplicated", "in_gaps", "lost")
    summed = {field: sum(getattr(result, field) for result in results.values()) for field in fields}
    p50, p95 = (float(np.percentile(latencies, q)) for q in (50, 95)) if latencies else (None, None)
    return {
        **summed,
        "duplicated": sum(counts.duplicated for counts in stored.values()),
        "windows": len(latencies),
        "window_to_table_s": {"p50": _rounded(p50), "p95": _rounded(p95)},
        "sources": {name: asdict(result) for name, result in results.items()},
    }


def stored_counts(config: Integrations, database_url: str) -> dict[str, StoredCounts]:
    """Return source -> what stands in the tables of this site's collector."""
    with connect(database_url) as connection:
        return counts_by_source(connection, site=config.site, collector=config.collector.name)


def stored_of(config: Integrations, database_url: str, windows: Iterable[datetime]) -> list[dict[str, StoredCounts]]:
    """Return of each window what stands in the tables of this site's collector, by source."""
    with connect(database_url) as connection:
        return [
            counts_by_source(
                connection,
                site=config.site,
                collector=config.collector.name,
                since=start,
                until=start + config.window,
            )
            for start in windows
        ]


def added_up(parts: Iterable[Mapping[str, StoredCounts]]) -> dict[str, StoredCounts]:
    """Return source -> the sum over windows."""
    found: dict[str, StoredCounts] = {}
    for part in parts:
        for source, counts in part.items():
            found[source] = _together(found.get(source, StoredCounts()), counts)
    return found


def filled_counts(config: Integrations, database_url: str) -> dict[str, StoredCounts]:
    """Return source -> what stands in the tables from the history of this site's sources."""
    with connect(database_url) as connection:
        return counts_by_source(connection, site=config.site, collector=history_of(config.collector.name))


def record_counts(database_url: str) -> dict[str, int]:
    """Return `erp/<table>` -> rows of every standard table that holds any."""
    with connect(database_url) as connection:
        counted = {f"erp/{name}": _rows(connection, name) for name in sorted(TABLES)}
    return {key: rows for key, rows in counted.items() if rows}


def _rows(connection: Any, table: str) -> int:
    return int(connection.execute(f'SELECT count(*) FROM erp."{table}"').fetchone()[0])  # noqa: S608 - of our own


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def buffer_folder(home: Path) -> Path:
    """Return where the collector of a home keeps its buffer."""
    return home / "buffer"


def agent_counts(database_url: str) -> dict[str, Any]:
    """Return targets and answers of all commands, and the 99th percentile of the latency in milliseconds."""
    with connect(database_url) as connection:
        targeted, answered = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE state = 'answered') FROM agents.deliveries"
        ).fetchone() or (0, 0)
        (p99,) = connection.execute(
            "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms) FROM agents.responses"
        ).fetchone() or (None,)
    return {"targeted": targeted, "answered": answered, "p99_ms": _rounded(p99)}
