"""Scores of a stored window, whole and by source: counted, calculated, and kept in `quality.partition_scores`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

import numpy as np
import psycopg

from gl_assets.checks.gates import ASSET, SOURCES_GATE
from gl_assets.scada.refining import RefinedWindow
from gl_assets.transforms.pipeline.partitions import Dimensions, Tally, count_codes, partition_scores
from resources.core.windows import partition_key
from resources.databases.timescale.quality.gate_results import expected_sources
from resources.databases.timescale.quality.partition_scores import PartitionScore, record_scores
from resources.databases.timescale.quality.stored_quality import (
    SourceCounts,
    code_counts,
    source_counts,
    whole_revision,
)
from resources.databases.timescale.window_store.ledger import lock_window
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents

Codes = dict[str, dict[int, int]]
"""Source -> code of a reading (`score.codes_of`) -> stored readings."""


def score_window(
    contents: WindowContents, written: RefinedWindow | None, store: ReadingsStore, config: Integrations, *, run_id: str
) -> dict[str, Dimensions]:
    """Calculate and keep the scores of a window that has been stored; return them by source, the whole under "".

    What stands of other collectors, of history and of corrections counts as well: then the rows are counted in the
    table, else as they went there.

    Args:
        contents: The window.
        written: What has just been stored of it; None: nothing, it stood already.
        store: The store.
        config: The configuration.
        run_id: Of the run that scores.
    """
    start = contents.window_start
    with store.transaction() as connection:
        # whoever stores another part of the window scores it as well: one after the other
        lock_window(connection, start)
        counts = source_counts(connection, config.site, start)
        alone = contents.complete and all(count.collector == contents.collector for count in counts)
        if written is not None and alone:
            codes = codes_of_window(written)
        else:
            codes = stored_codes(connection, config.site, start, start + config.window)
        revision, partial = whole_revision(connection, config.site, start)
        sources = contents.expected_sources or expected_sources(connection, ASSET, partition_key(start), SOURCES_GATE)
        expected = {} if partial or contents.partial else expected_readings(config, sources)
        scores = partition_scores(tallies(codes, counts, expected))
        kept = [
            PartitionScore(ASSET, partition_key(start), revision, source=source, **asdict(score))
            for source, score in scores.items()
        ]
        record_scores(connection, kept, site=config.site, run_id=run_id)
    return scores


def tallies(codes: Codes, counts: list[SourceCounts], expected: Mapping[str, int]) -> dict[str, Tally]:
    """Return what a window has of each source."""
    rejected: dict[str, int] = defaultdict(int)
    repeated: dict[str, int] = defaultdict(int)
    for count in counts:
        rejected[count.source] += count.rejected
        repeated[count.source] += count.deduplicated
    names = {name for name in {*codes, *rejected, *expected} if name}
    found = {name: Tally(codes.get(name, {}), rejected[name], repeated[name], expected.get(name, 0)) for name in names}
    # a source that is configured, sent nothing and need not have has no score
    return {name: tally for name, tally in found.items() if tally != Tally()}


def codes_of_window(window: RefinedWindow) -> Codes:
    """Return the codes of readings that are on their way into the table."""
    names = tuple(dict.fromkeys(window.sensors.sources))
    place = {name: n for n, name in enumerate(names)}
    of_sensor = np.array([place[source] for source in window.sensors.sources], dtype=np.int32)
    return count_codes(of_sensor[window.refined.good.sensor], window.refined.codes, names)


def stored_codes(connection: psycopg.Connection, site: str, start: datetime, end: datetime) -> Codes:
    """Return the codes of the readings that stand in the table."""
    found: Codes = defaultdict(dict)
    for count in code_counts(connection, site, start, end):
        code = count.defects << 2 | count.status
        found[count.source][code] = found[count.source].get(code, 0) + count.readings
    return dict(found)


def expected_readings(config: Integrations, sources: tuple[str, ...]) -> dict[str, int]:
    """Return how many readings each of these sources should have sent in a window at least.

    A polled tag has a reading for each poll, less one: polls slide over the window's bounds. What comes by subscription
    or is thinned by `report` comes when it changes: then one reading of each source is all that can be expected.
    """
    found = {}
    for name in sources:
        source = config.sources.get(name)
        if source is None:
            continue
        interval_of = getattr(source, "interval_of", None)
        polled = [] if interval_of is None else [t for t in source.tags if t.report is None and not t.is_text]
        polls = sum(max(config.window // interval_of(tag) - 1, 0) for tag in polled) if interval_of else 0
        found[name] = max(polls, 1)
    return found
