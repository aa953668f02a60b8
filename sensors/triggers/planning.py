"""What a trigger asks for: which windows or hours are due, in which ranges, and when to ask again after a failure.

Pure: what is stored, what is being worked on and the time come in; runs to ask for and a new memory come out. The
ledger alone decides whether something is stored; the memory only counts how often it was asked for.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from gl_assets.partitions import contiguous_ranges, parse_partition_key, partition_key

MOST_IN_A_RUN = 96
"""Most partitions in one run: a day of 15-minute windows."""

FIRST_PAUSE = timedelta(seconds=10)
"""Pause before the second attempt; it doubles with each further one."""

LONGEST_PAUSE = timedelta(minutes=10)
"""Longest pause; the failure that leads to it raises the alarm, and attempts go on at this pace."""

ALARM_AT = 7
"""The attempt whose failure is followed by the longest pause for the first time (10 s * 2^6 > 10 min)."""

ALARM_EVERY = 6
"""The alarm is repeated after so many further attempts: once an hour."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last time something was asked for: its revision, the number of the attempt, and when it was seen to fail."""

    revision: int
    number: int
    failed_at: datetime | None = None

    @property
    def next_at(self) -> datetime | None:
        """When it may be asked for again; None while nobody has seen it fail."""
        if self.failed_at is None:
            return None
        pause: timedelta = FIRST_PAUSE * 2.0 ** min(self.number - 1, 10)
        return self.failed_at + min(pause, LONGEST_PAUSE)

    @property
    def alarming(self) -> bool:
        """Whether this failure is one that a person should be told about."""
        over = self.number - ALARM_AT
        return self.failed_at is not None and over >= 0 and over % ALARM_EVERY == 0


Memory = Mapping[datetime, Attempt]
"""Partition start -> its last attempt."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One run to ask for: a contiguous range of partitions, ascending, all at the same attempt."""

    starts: tuple[datetime, ...]
    revision: int
    attempt: int
    live: bool

    @property
    def first_key(self) -> str:
        """Partition key of the oldest one."""
        return partition_key(self.starts[0])

    @property
    def last_key(self) -> str:
        """Partition key of the newest one."""
        return partition_key(self.starts[-1])

    def run_key(self, name: str) -> str:
        """Return the run key: range, highest revision and attempt."""
        return f"{name}/{self.first_key}/{self.last_key}/r{self.revision}/a{self.attempt}"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a trigger sees at one moment.

    `due` is partition start -> revision that is not stored yet; `busy` is what active runs work on;
    `backlog_runs` counts the active runs that work on the backlog.
    """

    due: Mapping[datetime, int]
    busy: Collection[datetime]
    backlog_runs: int
    now: datetime
    length: timedelta
    live_since: datetime
    alone_after: int | None = None
    """After so many failed attempts a partition is asked for alone; None: never."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and what to remember."""

    asks: Sequence[Ask]
    memory: Memory
    alarms: Sequence[datetime] = field(default_factory=list)
    next_at: datetime | None = None
    """When the earliest pause ends; None if nothing pauses."""


def plan(situation: Situation, memory: Memory) -> Plan:
    """Return the runs to ask for now: live partitions first, then one range of the backlog at a time, newest first."""
    known = _seen_failing(situation, memory)
    pauses = [at for attempt in known.values() if (at := attempt.next_at) and at > situation.now]
    ready: dict[int, list[datetime]] = {}
    for start in situation.due:
        attempt = known.get(start)
        if start in situation.busy or (attempt and attempt.next_at and attempt.next_at > situation.now):
            continue
        ready.setdefault(attempt.number + 1 if attempt else 1, []).append(start)
    asks = _in_order(_ranges(ready, situation), room_for_backlog=situation.backlog_runs == 0)
    asked = {start: Attempt(situation.due[start], ask.attempt) for ask in asks for start in ask.starts}
    alarms = [start for start, attempt in known.items() if attempt.alarming and memory[start].failed_at is None]
    return Plan(asks, {**known, **asked}, alarms, min(pauses, default=None))


def _seen_failing(situation: Situation, memory: Memory) -> dict[datetime, Attempt]:
    """Forget what is stored by now or has a newer revision; note when an attempt was first seen to have failed."""
    known: dict[datetime, Attempt] = {}
    for start, attempt in memory.items():
        if situation.due.get(start) != attempt.revision:
            continue
        failed = attempt.failed_at is None and start not in situation.busy
        known[start] = replace(attempt, failed_at=situation.now) if failed else attempt
    return known


def _ranges(ready: Mapping[int, list[datetime]], situation: Situation) -> list[Ask]:
    found = []
    for attempt, starts in ready.items():
        for live in (True, False):
            chosen = [s for s in starts if (s >= situation.live_since) == live]
            alone = situation.alone_after is not None and attempt > situation.alone_after
            for part in contiguous_ranges(chosen, situation.length, at_most=1 if alone else MOST_IN_A_RUN):
                revision = max(situation.due[s] for s in part)
                found.append(Ask(tuple(part), revision, attempt, live))
    return found


def _in_order(asks: list[Ask], *, room_for_backlog: bool) -> list[Ask]:
    newest_first = sorted(asks, key=lambda ask: ask.starts[-1], reverse=True)
    live = [ask for ask in newest_first if ask.live]
    backlog = [ask for ask in newest_first if not ask.live]
    return live + (backlog[:1] if room_for_backlog else [])


def dump_memory(memory: Memory) -> str:
    """Return a memory as the text of a sensor's cursor."""
    rows = {
        partition_key(s): [a.revision, a.number, a.failed_at.timestamp() if a.failed_at else None]
        for s, a in sorted(memory.items())
    }
    return json.dumps(rows, separators=(",", ":"))


def load_memory(cursor: str | None) -> dict[datetime, Attempt]:
    """Return the memory in a cursor; an unreadable one, from another version, counts as none."""
    try:
        rows = json.loads(cursor or "{}")
        return {
            parse_partition_key(key): Attempt(
                int(revision), int(number), datetime.fromtimestamp(failed, UTC) if failed is not None else None
            )
            for key, (revision, number, failed) in rows.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}
