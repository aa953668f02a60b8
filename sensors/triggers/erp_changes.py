"""The trigger of ERP data: asks for the days that changed in a system, and for landed days no table has taken in yet.

Each dataset with `poll_every` is looked at that often. A look stores nothing: where it finds records that are not
stored the same, a run lands the changes, moves the cursor in the same transaction, and brings the touched days into the
standard table. What a run left behind (it failed, it was killed, a sweep found deletions) stands in the ledgers, and is
asked for until it is done.
"""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import dagster as dg
import psycopg
import structlog
from dagster import DagsterInstance

from gl_assets.erp.changes import tags_of
from gl_assets.erp.days import DAY, first_day, last_open_day, standard_zone
from gl_assets.erp.feeds import GROUP, Feed, feeds, landed_key, standard_key, tables_fed
from gl_assets.erp.jobs import assets_of_jobs
from gl_assets.erp.tables import FactTable, MasterTable
from resources.core.errors import PlatformError
from resources.databases.timescale.quality.gate_results import red_gates
from resources.erp.pulling.due import DuePart, due_parts
from resources.erp.pulling.peek import Days, Peek
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.active_runs import RANGE_END_TAG, RANGE_START_TAG
from sensors.triggers.erp_polls import READ_S, Looks, Polled, due_feeds, look_by
from sensors.triggers.erp_standing import (
    LIVE,
    Working,
    due_by_table,
    dump_memories,
    load_memories,
    newest_range,
    partition_of,
    request_of,
    working,
)
from sensors.triggers.planning import Attempt, Memory, Situation, plan

log = structlog.get_logger(__name__)

WAIT_S = 15.0
"""How long a tick waits for the looks it began. The gRPC limit is 60 s."""


@dataclass
class Remembered:
    """The sensor's cursor: when each feed was looked at, and what was asked for of each table."""

    polled: dict[str, Polled] = field(default_factory=dict)
    asked: dict[str, Memory] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "Remembered":
        """Return what a cursor holds; an unreadable one counts as empty."""
        try:
            held = json.loads(cursor or "{}")
            polled = {name: Polled(**row) for name, row in held.get("polled", {}).items()}
            return cls(polled, load_memories(held.get("asked", {})))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        """Return the text of the cursor."""
        polled = {name: asdict(row) for name, row in self.polled.items()}
        return json.dumps({"polled": polled, "asked": dump_memories(self.asked)}, separators=(",", ":"))


@dataclass(frozen=True)
class ErpChanges:
    """What the trigger looks at in one tick."""

    config: Integrations
    instance: DagsterInstance
    timescale: TimescaleResource
    looks: Looks
    memory: Remembered
    notes: list[str] = field(default_factory=list)
    """What there is to say to the operator."""

    def changed(self, at: Working) -> list[dg.RunRequest]:
        """Return the runs for what the looks found, after beginning those that are due."""
        idle = [feed for feed in feeds(self.config) if not at.is_busy(feed.key, None)]
        self.looks.begin(
            due_feeds(idle, self.memory.polled, time.time()), look_by(self.timescale.connection, self._days)
        )
        found = [self._request(feed, look) for feed, look in self.looks.collect(WAIT_S)]
        if self.looks.waiting:
            self.notes.append(f"still looking at {', '.join(self.looks.waiting)}")
        return [request for request in found if request is not None]

    def _request(self, feed: Feed, look: Future[Peek]) -> dg.RunRequest | None:
        before = self.memory.polled.get(str(feed), Polled(0.0))
        try:
            peek = look.result()
        except (PlatformError, psycopg.Error) as error:
            self.memory.polled[str(feed)] = replace(before, at=time.time(), failures=before.failures + 1)
            self.notes.append(f"{feed}: {str(error).strip()}")
            log.warning("erp_look_failed", feed=str(feed), error=str(error))
            return None
        self.memory.polled[str(feed)] = Polled(time.time())
        if not peek.complete:
            self.notes.append(f"{feed}: more has changed than a look reads in {READ_S:.0f} s; a run lands all of it")
            log.warning("erp_look_incomplete", feed=str(feed), records=peek.records, read=str(peek.read))
        if not peek.days:
            return None
        self._count_ask(feed, peek, before)
        first, last = newest_range(peek.days)
        days = {RANGE_START_TAG: str(first), RANGE_END_TAG: str(last)} if first else {}
        log.info("erp_changes_seen", feed=str(feed), records=peek.records, days=len(peek.days), until=peek.read.until)
        return dg.RunRequest(
            run_key=f"erp-changes/{feed}/{peek.read.until.isoformat()}/{time.time():.0f}",
            asset_selection=self._with_its_table(feed),
            tags={**days, **tags_of(peek.read)},
        )

    def _count_ask(self, feed: Feed, peek: Peek, before: Polled) -> None:
        """Remember the run that is asked for, and tell a person where those before it failed again and again."""
        failed = before.runs_failed(peek.read.since + feed.settings.change_overlap)
        until = peek.read.until.isoformat()
        self.memory.polled[str(feed)] = Polled(time.time(), asked_until=until, asks=failed + 1)
        if Attempt(0, failed, datetime.now(UTC)).alarming:
            log.error("erp_changes_not_landed", feed=str(feed), attempts=failed, since=peek.read.since.isoformat())

    def _days(self, feed: Feed) -> Days:
        zone = feed.settings.time_zone
        return Days(first_day(self.config, zone), last_open_day(self.config, zone))

    def _with_its_table(self, feed: Feed) -> list[dg.AssetKey]:
        table = next((table for table in tables_fed(self.config) if table.name == feed.table), None)
        if table is None:
            return [feed.key]
        # a run has one set of partitions; a table of another zone is asked for once its days are landed
        shared = not isinstance(table, FactTable) or standard_zone(self.config, table.name) == feed.settings.time_zone
        return [feed.key, standard_key(table.name)] if shared else [feed.key]

    def behind(self, at: Working) -> list[dg.RunRequest]:
        """Return the runs for landed parts that are not standardised.

        Raises:
            PlatformError: The database cannot be reached.
        """
        with self.timescale.connection() as connection:
            due = due_by_table(self._released(connection, due_parts(connection)), feeds(self.config))
        requests = []
        for table in tables_fed(self.config):
            parts = self._open(table, due.get(table.name, {}))
            requests += self._asks(table, parts, at)
        return requests

    def _released(self, connection: psycopg.Connection, parts: Sequence[DuePart]) -> list[DuePart]:
        """Leave out the parts that a red blocking gate on the landed records holds back."""
        names = {part: (landed_key(part.system, part.dataset).to_user_string(), partition_of(part)) for part in parts}
        red = {
            (gate.asset, gate.partition)
            for asset in {asset for asset, _ in names.values()}
            for gate in red_gates(connection, asset, [partition for _, partition in names.values()])
        }
        held = [part for part in parts if names[part] in red]
        if held:
            first = " ".join(names[held[0]])
            self.notes.append(f"{len(held)} parts held back by red gates, {first} among them: see `gl gates list`")
        return [part for part in parts if part not in held]

    def _open(self, table: MasterTable, parts: Mapping[datetime, int]) -> dict[datetime, int]:
        """Leave out days that have no partition now: a planned order may lie in the future."""
        if not isinstance(table, FactTable):
            return dict(parts)
        zone = standard_zone(self.config, table.name)
        first, last = first_day(self.config, zone), last_open_day(self.config, zone)
        return {start: since for start, since in parts.items() if first <= start.date() <= last}

    def _asks(self, table: MasterTable, due: Mapping[datetime, int], at: Working) -> list[dg.RunRequest]:
        key, now = standard_key(table.name), datetime.now(UTC)
        is_facts = isinstance(table, FactTable)
        sources = [feed.key for feed in feeds(self.config) if feed.table == table.name]
        # a landed day that is being pulled is standardised by that run, or asked for once it has ended
        busy = {
            start
            for start in due
            if any(at.is_busy(one, start.date() if is_facts else None) for one in (key, *sources))
        }
        situation = Situation(due, busy, int(key in at.backlog), now, DAY, now - LIVE)
        found = plan(situation, self.memory.asked.get(table.name, {}))
        self.memory.asked[table.name] = found.memory
        for start in found.alarms:
            attempts = found.memory[start].number
            log.error("erp_part_not_standardised", table=table.name, part=str(start.date()), attempts=attempts)
        if due:
            self.notes.append(f"{table.name}: {len(due)} parts behind, {len(busy)} of them being worked on")
        return [request_of(self.instance, table.name, [key], ask) for ask in found.asks]


def build_erp_changes_sensor(config: Integrations, looks: Looks | None = None) -> dg.SensorDefinition:
    """Return the sensor of this configuration's ERP systems; `looks` and their clients outlive its ticks."""
    shared = looks or Looks()

    @dg.sensor(
        name="erp_changes_sensor",
        asset_selection=dg.AssetSelection.groups(GROUP),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Looks for changes in ERP systems as often as `poll_every` says and asks for the touched days; "
        "asks for landed days that no standard table has taken in.",
    )
    def erp_changes_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return runs for what changed or is behind, or what is waited for."""
        memory = Remembered.load(context.cursor)
        tick = ErpChanges(config, context.instance, timescale, shared, memory)
        try:
            at = working(context.instance, assets_of_jobs(config))
            requests = [*tick.behind(at), *tick.changed(at)]
        except (PlatformError, psycopg.Error) as error:
            log.warning("erp_changes_waits", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=memory.dump())
        said = "; ".join(tick.notes) or "nothing has changed, and every landed day is in its table"
        return dg.SensorResult(skip_reason=said, cursor=memory.dump())

    return erp_changes_sensor
