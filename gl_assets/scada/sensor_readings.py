"""The asset `scada/sensor_readings`: what the collector's buffer holds of a window, validated and stored.

The way of one window is `gl_assets.scada.persist.persist_window`; here is what Dagster needs around it: the range of
windows of a run, one transaction each, each reported as it commits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.gates import (
    ASSET,
    REJECTED_GATE,
    STORED_GATE,
    WindowUnderTest,
    gates_of,
    judge,
    look_at_window,
    missing_sources,
)
from gl_assets.checks.model import specs
from gl_assets.checks.reports import evaluation, plot_of, summary
from gl_assets.partition_range import MOST_PARTITIONS, told_in_words, work_through
from gl_assets.partitions import quiet_beta, window_partitions
from gl_assets.scada.columns import SENSOR_READINGS_COLUMNS
from gl_assets.scada.persist import persist_window
from gl_assets.scada.quality_metadata import quality_metadata, quality_plot, recent_scores
from resources.core.errors import DataError
from resources.core.windows import parse_partition_key
from resources.databases.timescale.quality.gate_results import GateResult, record_results, recover
from resources.databases.timescale.quality.window_facts import StoredWindowFacts
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.model import WindowNotHeldError
from resources.window_buffer.reader import BufferReader
from resources.wiring import TimescaleResource, WindowBufferResource

OWNERS = ["team:data-engineering"]

DESCRIPTION = """Every reading of every source, one row per sensor and source time: engineering value, calibrated value
in the canonical unit, status, quality score. One partition is one window of source time; a window is stored again when
late readings raise its revision. Read it as `scada.sensor_readings`."""


@dataclass(slots=True)
class WindowWriter:
    """Stores the windows of one run and reports each to Dagster as it commits."""

    context: dg.AssetExecutionContext
    config: Integrations
    reader: BufferReader
    store: ReadingsStore
    results: list[GateResult] = field(default_factory=list)
    _drawn: bool = False

    def write(self, key: str) -> None:
        """Store one window, judge it, and report it.

        Raises:
            DataError: The window has not ended, is no longer held, or has too many rejected rows; nothing was changed.
        """
        contents = self._read(key)
        try:
            outcome = persist_window(contents, self.store, self.config, run_id=self.context.run.run_id)
        except DataError as error:
            self._report_refused(key, contents, str(error))
            raise
        window, results = self._judge(key, contents)
        self.results.extend(results)
        metadata = {**window_metadata(window, contents), **quality_metadata(outcome)}
        if not self._drawn:
            # once a run, of the newest window: drawing takes longer than storing
            metadata["quality_over_time"] = quality_plot(recent_scores(self.store.connection, self.config.site, key))
            self._drawn = True
        if not outcome.stored:
            metadata["not_written"] = outcome.why_not or ""
        self.context.log_event(dg.AssetMaterialization(SENSOR_READINGS, partition=key, metadata=metadata))
        for result in results:
            self.context.log_event(evaluation(result))

    def _report_refused(self, key: str, contents: WindowContents, why: str) -> None:
        """Note that a window may not be stored: its hour waits for it, so the gate need not block."""
        result = GateResult(
            ASSET,
            key,
            contents.revision,
            REJECTED_GATE,
            passed=False,
            blocking=False,
            metadata={"refused": why},
            run_id=self.context.run.run_id,
        )
        with self.store.transaction() as connection:
            record_results(connection, [result])
        self.results.append(result)
        self.context.log_event(evaluation(result))

    def _read(self, key: str) -> WindowContents:
        start = parse_partition_key(key)
        try:
            return self.reader.read(start)
        except WindowNotHeldError as error:
            if start + self.config.window > datetime.now(UTC):
                raise DataError(
                    f"window {key} has not ended: it lasts until {start + self.config.window:%Y-%m-%dT%H:%M}Z, closes "
                    f"{self.config.grace.total_seconds():.0f} s later, and is then stored without being asked for"
                ) from error
            raise DataError(
                f"window {key}: the buffer no longer holds it ({error}), and no historian is configured to read it "
                "from; its stored rows are left as they are"
            ) from error

    def _judge(self, key: str, contents: WindowContents) -> tuple[WindowUnderTest, list[GateResult]]:
        with self.store.transaction() as connection:
            window = look_at_window(
                connection, self.config, contents.collector, contents.window_start, contents.expected_sources
            )
            results = record_results(connection, judge(window, self.context.run.run_id))
            stored = GateResult(ASSET, key, window.facts.revision, STORED_GATE, passed=True, blocking=False)
            recover(connection, stored)
        return window, results

    def summaries(self, *, drawn: bool) -> list[dg.AssetCheckResult]:
        """Return what each gate says of all windows of the run."""
        last = max((result.partition for result in self.results), default=None) if drawn else None
        return [
            summary(
                gate,
                SENSOR_READINGS,
                self.results,
                drawn=lambda gate=gate: plot_of(self.store.connection, gate, ASSET, last),  # type: ignore[misc]
            )
            for gate in gates_of(self.config)
        ]


def window_metadata(window: WindowUnderTest, contents: WindowContents) -> dict[str, Any]:
    """Return what the UI shows of one stored window."""
    return {
        **facts_metadata(window.facts),
        "missing_sources": missing_sources(window),
        "window": f"[{contents.window_start:%Y-%m-%dT%H:%M}Z, {contents.window_end:%Y-%m-%dT%H:%M}Z)",
        "complete": contents.complete,
        "collector": contents.collector,
    }


def facts_metadata(facts: StoredWindowFacts) -> dict[str, Any]:
    """Return what the UI shows of what is stored of a window."""
    return {
        "dagster/row_count": facts.rows,
        "rows": facts.rows,
        "rejected": facts.rejected,
        "deduplicated": facts.deduplicated,
        "good_share": round(facts.good / facts.readings, 6) if facts.readings else 0.0,
        "gaps": len(facts.gaps),
        "from_history": facts.from_history,
        "corrected": facts.corrected,
        "from_corrections": facts.from_corrections,
        "revision": facts.revision,
        "partial": facts.partial,
    }


def build_sensor_readings(config: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration's windows."""
    with quiet_beta():

        @dg.asset(
            key=SENSOR_READINGS,
            group_name="scada",
            partitions_def=window_partitions(config),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MOST_PARTITIONS),
            check_specs=specs(gates_of(config), SENSOR_READINGS),
            output_required=False,  # each window reports itself as it commits: it counts even if a later one fails
            owners=OWNERS,
            kinds={"timescaledb", "python"},
            description=DESCRIPTION,
            metadata={
                "dagster/column_schema": SENSOR_READINGS_COLUMNS,
                "dagster/table_name": "scada.sensor_readings",
                "window_length": str(config.window),
                "site": config.site,
            },
        )
        def sensor_readings(
            context: dg.AssetExecutionContext, window_buffer: WindowBufferResource, timescale: TimescaleResource
        ) -> Iterator[dg.AssetCheckResult]:
            """Store the windows of the run's range, newest first."""
            with told_in_words(), timescale.store(config) as store:
                writer = WindowWriter(context, config, window_buffer.reader(), store)
                outcome = work_through(context.partition_keys, writer.write)
                # where windows failed the database may be away
                summaries = writer.summaries(drawn=not outcome.failed)
            if outcome.failed:
                for found in summaries:
                    context.log_event(_as_event(found))
            outcome.raise_if_failed()
            yield from summaries

    return sensor_readings


def _as_event(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Return a check's result as an event: a step that is about to fail can no longer yield one."""
    assert result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=SENSOR_READINGS,
        check_name=result.check_name,
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
    )
