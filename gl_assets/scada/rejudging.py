"""Judging a stored window anew and reporting it: after something else than its own run has changed what is stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import dagster as dg

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.gates import ASSET, SOURCES_GATE, judge, look_at_window
from gl_assets.checks.reports import evaluation
from gl_assets.scada.quality_metadata import score_figures
from gl_assets.scada.sensor_readings import facts_metadata
from resources.core.windows import parse_partition_key, partition_key
from resources.databases.timescale.quality.gate_results import GAPS_GATE, GateResult, expected_sources, record_results
from resources.databases.timescale.quality.partition_scores import PartitionScore, score_of
from resources.databases.timescale.quality.window_facts import StoredWindowFacts
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """A window that was judged anew: what is stored of it, and what its gates say."""

    key: str
    facts: StoredWindowFacts
    results: Sequence[GateResult]
    brought: int
    """Rows that have just been added."""
    score: PartitionScore | None = None
    """How good the window is as a whole now; None: it has not been scored."""


def rejudge(
    store: ReadingsStore, config: Integrations, start: datetime, *, run_id: str, brought: int = 0
) -> JudgedWindow:
    """Judge what stands of a window now, keep the results, and return them.

    Where nothing was brought only the gates of gaps and sources are judged: what a person has released stays so, and a
    run that has yet to judge the window still does.
    """
    key, collector = partition_key(start), config.collector.name
    with store.transaction() as connection:
        expected = expected_sources(connection, ASSET, key, SOURCES_GATE)
        window = look_at_window(connection, config, collector, start, expected)
        results = judge(window, run_id)
        if not brought:
            results = [_without_collector(r) for r in results if r.check in (GAPS_GATE, SOURCES_GATE)]
        results = record_results(connection, results)
        score = score_of(connection, ASSET, key, site=config.site)
    return JudgedWindow(key, window.facts, results, brought, score)


def reporter(context: dg.OpExecutionContext, config: Integrations, brought_as: str) -> Callable[[JudgedWindow], None]:
    """Return what reports a judged window to Dagster: its gates, and where rows were brought its materialisation.

    Args:
        context: Of the step that changed the window.
        config: The configuration.
        brought_as: What the metadata calls the rows that were brought.
    """
    first = config.grid.start_of(config.start)

    def report(window: JudgedWindow) -> None:
        if parse_partition_key(window.key) < first:
            return  # no partition
        if window.brought:
            shown = {brought_as: window.brought, "collector": config.collector.name}
            figures = {} if window.score is None else score_figures(window.score)
            metadata = {**facts_metadata(window.facts), **figures, **shown}
            context.log_event(dg.AssetMaterialization(SENSOR_READINGS, partition=window.key, metadata=metadata))
        for result in window.results:
            context.log_event(evaluation(result))  # type: ignore[arg-type] # taken, though not declared

    return report


def _without_collector(result: GateResult) -> GateResult:
    return replace(result, metadata={name: value for name, value in result.metadata.items() if name != "collector"})
