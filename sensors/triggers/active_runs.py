"""What active runs are working on, as Dagster knows it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from resources.core.windows import parse_partition_key

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"
RUN_KEY_TAG = "dagster/run_key"
PRIORITY_TAG = "dagster/priority"

LANE_TAG = "gl/lane"
"""`live` or `backlog`: what a run that a trigger asked for works on."""

ATTEMPT_TAG = "gl/attempt"
"""Number of the attempt of a run that a trigger asked for."""

REVISION_TAG = "gl/revision"
"""Highest revision in the range of a run that a trigger asked for."""

ACTIVE = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class ActiveRuns:
    """The partitions that active runs work on, and how many of those runs work on the backlog."""

    busy: Collection[datetime]
    backlog_runs: int


def active_runs(
    instance: DagsterInstance, job_name: str, assets: Collection[dg.AssetKey], length: timedelta
) -> ActiveRuns:
    """Return what active runs of a job, or of a backfill over one of its assets, work on."""
    busy: set[datetime] = set()
    backlog = 0
    for run in instance.get_runs(RunsFilter(statuses=ACTIVE)):
        if run.job_name != job_name and not (run.asset_selection or frozenset()) & set(assets):
            continue
        busy.update(partitions_of(run, length))
        backlog += run.job_name == job_name and run.tags.get(LANE_TAG) == "backlog"
    return ActiveRuns(busy, backlog)


def partitions_of(run: DagsterRun, length: timedelta) -> list[datetime]:
    """Return the partition starts a run was asked for, by its tags; a key of another format counts as none."""
    first = run.tags.get(RANGE_START_TAG) or run.tags.get(PARTITION_TAG)
    last = run.tags.get(RANGE_END_TAG) or first
    if first is None or last is None:
        return []
    try:
        start, end = parse_partition_key(first), parse_partition_key(last)
    except ValueError:
        return []
    return [start + number * length for number in range((end - start) // length + 1)]


def run_key_is_taken(instance: DagsterInstance, run_key: str) -> bool:
    """Return whether any run, failed ones included, bears this run key: Dagster would skip it in silence."""
    return instance.get_runs_count(RunsFilter(tags={RUN_KEY_TAG: run_key})) > 0
