"""Which standard ERP tables are behind what is landed, and which runs to ask for: planned as windows and hours are."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster import DagsterInstance, DagsterRun, RunsFilter

from gl_assets.erp.bodies import SNAPSHOT
from gl_assets.erp.days import DAY
from gl_assets.erp.feeds import Feed
from gl_assets.partitions import contiguous_ranges
from resources.erp.pulling.due import DuePart
from sensors.triggers.active_runs import (
    ACTIVE,
    ATTEMPT_TAG,
    LANE_TAG,
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    run_key_is_taken,
)
from sensors.triggers.planning import Ask, Memory, dump_memory, load_memory

LIVE = timedelta(days=14)
"""Days this young are asked for at once; older ones a range at a time."""

WHOLE = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for master data where days are planned: before any business day."""

Assets = Mapping[str, frozenset[dg.AssetKey]]
"""Job name -> the assets it makes."""


def as_instant(day: date | None) -> datetime:
    """Return a part as the planning of ranges counts it."""
    return WHOLE if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def partition_of(part: DuePart) -> str:
    """Return a part as gates name it."""
    return SNAPSHOT if part.day is None else part.day.isoformat()


@dataclass(frozen=True, slots=True)
class Working:
    """What active runs work on: asset -> its days, and the assets that are worked on as a whole."""

    days: Mapping[dg.AssetKey, frozenset[date]]
    whole: frozenset[dg.AssetKey]
    backlog: frozenset[dg.AssetKey]
    """Assets that a run of the backlog works on."""

    def is_busy(self, key: dg.AssetKey, day: date | None) -> bool:
        """Return whether a run works on a part of an asset."""
        return key in self.whole if day is None else day in self.days.get(key, frozenset())


def working(instance: DagsterInstance, jobs: Assets) -> Working:
    """Return what active runs work on, by their tags."""
    days: dict[dg.AssetKey, set[date]] = {}
    whole: set[dg.AssetKey] = set()
    backlog: set[dg.AssetKey] = set()
    for run in instance.get_runs(RunsFilter(statuses=ACTIVE)):
        keys = frozenset(run.asset_selection or jobs.get(run.job_name, frozenset()))
        whole |= keys
        if run.tags.get(LANE_TAG) == "backlog":
            backlog |= keys
        for key in keys:
            days.setdefault(key, set()).update(days_of(run))
    return Working({key: frozenset(found) for key, found in days.items()}, frozenset(whole), frozenset(backlog))


def days_of(run: DagsterRun) -> list[date]:
    """Return the business days a run was asked for; a key of another format counts as none."""
    first = run.tags.get(RANGE_START_TAG) or run.tags.get(PARTITION_TAG)
    last = run.tags.get(RANGE_END_TAG) or first
    if first is None or last is None:
        return []
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        return []
    return [start + number * DAY for number in range((end - start).days + 1)]


def due_by_table(parts: Iterable[DuePart], feeds: Sequence[Feed]) -> dict[str, dict[datetime, int]]:
    """Return table -> part -> when what is landed of it changed last; what feeds no table of `feeds` is left out."""
    tables = {(feed.system, feed.dataset): feed.table for feed in feeds}
    due: dict[str, dict[datetime, int]] = {}
    for part in parts:
        table = tables.get((part.system, part.dataset))
        if table is not None:
            found, start = due.setdefault(table, {}), as_instant(part.day)
            found[start] = max(found.get(start, 0), int(part.since.timestamp() * 1000))
    return due


def request_of(instance: DagsterInstance, name: str, keys: Sequence[dg.AssetKey], ask: Ask) -> dg.RunRequest:
    """Return the run that an ask asks for."""
    first, last = ask.starts[0].date(), ask.starts[-1].date()
    days = {} if ask.starts[0] == WHOLE else {RANGE_START_TAG: first.isoformat(), RANGE_END_TAG: last.isoformat()}
    attempt = ask.attempt
    while run_key_is_taken(instance, key := f"erp/{name}/{first}/{last}/r{ask.revision}/a{attempt}"):
        attempt += 1
    lane = "live" if ask.live or ask.starts[0] == WHOLE else "backlog"
    tags = {**days, ATTEMPT_TAG: str(attempt), LANE_TAG: lane}
    return dg.RunRequest(run_key=key, asset_selection=list(keys), tags=tags)


def newest_range(days: Sequence[date | None]) -> tuple[date | None, date | None]:
    """Return the ends of the newest run of neighbouring days; None, None for master data."""
    known = [as_instant(day) for day in days if day is not None]
    if not known:
        return None, None
    newest = contiguous_ranges(known, DAY, at_most=len(known))[0]
    return newest[0].date(), newest[-1].date()


def load_memories(text: object) -> dict[str, Memory]:
    """Return table -> memory of its attempts; what cannot be read counts as none."""
    return {
        str(table): load_memory(json.dumps(rows)) for table, rows in (text if isinstance(text, dict) else {}).items()
    }


def dump_memories(memories: Mapping[str, Memory]) -> dict[str, object]:
    """Return memories in the form that `load_memories` reads."""
    return {table: json.loads(dump_memory(memory)) for table, memory in memories.items() if memory}
