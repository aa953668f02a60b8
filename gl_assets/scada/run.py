"""Storing windows from a plain process, without daemon and webserver: what `gl ingest` and `gl demo` end with.

It is the same job as under Dagster, executed in this process; with the platform's Dagster storage at hand its runs,
materialisations and checks appear in the UI like all others.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from gl_assets.instance import STORAGE_VARIABLE
from gl_assets.jobs import build_sensor_readings_job, sensor_readings_job
from gl_assets.partition_range import MOST_PARTITIONS
from gl_assets.partitions import contiguous_ranges, parse_partition_key, partition_key
from gl_assets.run_launcher import own_process_tag
from gl_assets.scada.sensor_readings import build_sensor_readings
from resources.databases.timescale.connection import connect
from resources.databases.timescale.window_store.ledger import stored_revisions
from resources.integrations import Integrations
from resources.window_buffer.reader import BufferReader
from resources.wiring import TimescaleResource, WindowBufferResource


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What one gate said about one window."""

    window: str
    check: str
    passed: bool
    blocking: bool


@dataclass(slots=True)
class WindowsRun:
    """What became of the windows that were asked for."""

    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Partition key -> the metadata of its materialisation: rows, rejected, deduplicated, revision, ..."""
    failed: list[str] = field(default_factory=list)
    """Partition keys that were asked for and not stored."""
    reasons: list[str] = field(default_factory=list)
    """Why runs failed, one sentence each."""
    checks: list[GateOutcome] = field(default_factory=list)
    """Every gate's result on every stored window."""

    @property
    def passed(self) -> int:
        """Gates that passed."""
        return sum(check.passed for check in self.checks)


def due_windows(config: Integrations, home: Path, url: str) -> list[datetime]:
    """Return the closed windows that are not stored at their last revision, oldest first.

    Raises:
        UnreachableError: The database does not answer.
    """
    windows = BufferReader(home / "buffer").windows()
    if not windows:
        return []
    with connect(url) as connection:
        stored = stored_revisions(
            connection, site=config.site, collector=windows[0].collector, since=windows[0].window_start
        )
    return [w.window_start for w in windows if w.revision > stored.get(w.window_start, 0)]


def ranges_of(config: Integrations, windows: Sequence[datetime]) -> list[tuple[str, str]]:
    """Return first and last partition key of the ranges that windows make, newest first."""
    ranges = contiguous_ranges(list(windows), config.window, at_most=MOST_PARTITIONS)
    return [(partition_key(found[0]), partition_key(found[-1])) for found in ranges]


def due_ranges(config: Integrations, home: Path, url: str) -> list[tuple[str, str]]:
    """Return the ranges of closed windows that are not stored at their last revision, newest first.

    Raises:
        UnreachableError: The database does not answer.
    """
    return ranges_of(config, due_windows(config, home, url))


def run_windows(
    config: Integrations, home: Path, url: str, ranges: Sequence[tuple[str, str]] | None = None
) -> WindowsRun:
    """Store windows of the buffer in `home` into the database at `url`, in this process; return what became of them.

    Args:
        config: The configuration.
        home: GL_HOME; the buffer is its `buffer` folder.
        url: The platform's database, migrated.
        ranges: First and last partition key of each range, at most 96 windows long; all that is due if None.

    Raises:
        UnreachableError: The database does not answer.
    """
    outcome = WindowsRun()
    job = _job(config, home, url)
    with open_instance(home) as instance:
        for first, last in due_ranges(config, home, url) if ranges is None else ranges:
            tags = {
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
                **own_process_tag(),
            }
            result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
            _add(outcome, result, _keys(config, first, last))
    return outcome


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Yield the platform's Dagster instance where its storage is configured, else one that lives in memory."""
    folder = Path(os.environ.get("DAGSTER_HOME", home / "dagster"))
    if os.environ.get(STORAGE_VARIABLE) and (folder / "dagster.yaml").exists():
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    else:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance


def _job(config: Integrations, home: Path, url: str) -> dg.JobDefinition:
    return dg.Definitions(
        assets=[build_sensor_readings(config)],
        jobs=[build_sensor_readings_job(config)],
        resources={
            "window_buffer": WindowBufferResource(folder=str(home / "buffer")),
            "timescale": TimescaleResource(url=url),
        },
    ).resolve_job_def(sensor_readings_job.name)


def _keys(config: Integrations, first: str, last: str) -> list[str]:
    starts = config.grid.starts(parse_partition_key(first), parse_partition_key(last) + config.window)
    return [partition_key(start) for start in starts]


def _add(outcome: WindowsRun, result: dg.ExecuteInProcessResult, asked: list[str]) -> None:
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        if materialization.partition is not None:
            outcome.stored[materialization.partition] = {n: v.value for n, v in materialization.metadata.items()}
    outcome.failed += [key for key in asked if key not in outcome.stored]
    for failure in result.get_step_failure_events():
        error = failure.step_failure_data.error
        outcome.reasons.append(error.message.strip() if error else failure.message or "no reason given")
    outcome.checks += [
        GateOutcome(found.partition, found.check_name, found.passed, bool(found.blocking))
        for found in result.get_asset_check_evaluations()
        if found.partition is not None
    ]
