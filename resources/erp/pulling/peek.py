"""A look at what changed in a system since the last read, without storing any of it: how much is new, of which days."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from resources.core.errors import DataError
from resources.erp.config import SystemConfig
from resources.erp.connector import Changed, ErpClient, KnowsServerTime
from resources.erp.cursors import advance, cursor_of, next_changes
from resources.erp.landed.rows import RecordReader, Row
from resources.erp.pulling.members import Member
from resources.erp.pulling.named_pages import named

Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Opens a connection to the platform's database; what was done is committed at its end."""


@dataclass(frozen=True, slots=True)
class Peek:
    """What a look at changes found."""

    read: Changed
    """What was looked at."""
    records: int
    """Records that came."""
    days: tuple[date | None, ...]
    """Days that landing the changes is asked for by, in order: those that records not stored the same lie on or are
    stored under. None stands for master data; the last day that counts stands for what lies on no such day. Never empty
    where the look is not complete."""
    complete: bool
    """False where there was more than the time allowed to see; its days are not known yet."""


@dataclass(frozen=True, slots=True)
class Days:
    """The business days that count."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        """Return whether a day is among them."""
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class ChangeWatch:
    """Looks at the changes of one dataset."""

    connect: Connect
    client: ErpClient
    settings: SystemConfig
    dataset: str
    """One with `changed`."""
    days: Days
    """Those that are stored; what is new on a later one is left to the pull of that day, once it has begun."""

    def peek(self, seconds: float) -> Peek:
        """Return what changed since changes were landed last; read for `seconds` at most.

        Where nothing did that is stored or is to be, the cursor moves on at once; else the run that lands it moves it.

        Raises:
            SourceError: The changes could not be read.
            psycopg.Error: The database failed.
        """
        read = self._next()
        peek = self._look(read, time.monotonic() + seconds)
        # a clock of ours that is ahead must not skip what the system has not stamped yet
        until = max(read.since, min(read.until, self._now() - self.settings.change_margin))
        peek = Peek(Changed(read.since, until), peek.records, peek.days, peek.complete)
        if peek.complete and not peek.days:
            with self.connect() as connection:
                values = {"system": self.client.system, "dataset": self.dataset, "run_id": ""}
                advance(connection, values, peek.read, (peek.records, 0))
        return peek

    def _now(self) -> datetime:
        told = self.client.server_time() if isinstance(self.client, KnowsServerTime) else None
        return told or datetime.now(UTC)

    def _next(self) -> Changed:
        with self.connect() as connection:
            held = cursor_of(connection, self.client.system, self.dataset)
            pulled = _last_pull(connection, self.client.system, self.dataset)
        start = (pulled or datetime.now(UTC) - self.settings.overlap) - self.settings.change_overlap
        return next_changes(held.position if held else None, self.settings, start=start, server_now=self._now())

    def _look(self, read: Changed, deadline: float) -> Peek:
        reader, found, records = RecordReader(self.settings.datasets[self.dataset]), set[date | None](), 0
        pages = named(self.client.fetch(self.dataset, read), self.client.system, self.dataset, read)
        with closing(pages):
            for page in pages:
                records += len(page.records)
                found |= self._days_of(reader, reader.rows(page.records))
                if time.monotonic() > deadline:
                    # looked at once more it would take as long: the run that lands it has the time
                    return Peek(read, records, _ordered(found or {self._last_day}), complete=False)
        return Peek(read, records, _ordered(found), complete=True)

    @property
    def _last_day(self) -> date | None:
        return None if self.settings.datasets[self.dataset].is_master else self.days.last

    def _days_of(self, reader: RecordReader, rows: Sequence[Row]) -> set[date | None]:
        """Return the days that landing those of `rows` which are not stored the same is asked for by."""
        keys = {key.decode() for key, _, _ in rows}
        with self.connect() as connection:
            held = connection.execute(_HELD, self._values(keys)).fetchall()
            stored = {(key, digest) for key, digest, _ in held}
            new = [row for row in rows if (row[0].decode(), row[2].decode()) not in stored]
            path = self.settings.datasets[self.dataset].business_date
            if path is None:
                return {None} if new else set()
            member, day_of = Member(path), self.settings.day_of(self.dataset)
            dated = [(day_of(_readable(member, row[1])), row) for row in new]
            undated = [row for day, row in dated if day is None]
            found: set[date | None] = {day for day, _ in dated if day is not None and day in self.days}
            if undated and self._is_to_reject(connection, reader, undated):
                found.add(self.days.last)
        # a record that changed has to leave the day it is stored under, wherever it goes
        changed = {row[0].decode() for row in new}
        left = {day for key, _, day in held if key in changed and day is not None and day >= self.days.first}
        return found | {min(day, self.days.last) for day in left}

    def _is_to_reject(self, connection: psycopg.Connection[Any], reader: RecordReader, rows: Sequence[Row]) -> bool:
        """Return whether any of these records, which are of no day, is not among the rejected ones as it is now."""
        texts = connection.execute(_REJECTED, self._values({key.decode() for key, _, _ in rows})).fetchall()
        known = {(key, digest) for key, _, digest in reader.rows([text.encode() for (text,) in texts])}
        return any((key, digest) not in known for key, _, digest in rows)

    def _values(self, keys: Iterable[str]) -> dict[str, object]:
        return {"system": self.client.system, "dataset": self.dataset, "keys": list(keys)}


_HELD = """
    SELECT source_key, hash, partition_date FROM erp.landed_records
     WHERE system = %(system)s AND dataset = %(dataset)s AND source_key = ANY(%(keys)s) AND deleted_at IS NULL
"""
_REJECTED = """
    SELECT raw::text FROM erp.rejected_records
     WHERE system = %(system)s AND dataset = %(dataset)s AND source_key = ANY(%(keys)s) AND partition_date IS NULL
"""


def _readable(member: Member, record: bytes) -> str | None:
    try:
        return member.of(record)
    except DataError:
        return None  # it has no day: the run that lands the changes rejects it with that reason


def _ordered(days: set[date | None]) -> tuple[date | None, ...]:
    return tuple(sorted(days, key=lambda day: day or date.min))


def _last_pull(connection: psycopg.Connection[Any], system: str, dataset: str) -> datetime | None:
    """Return when the dataset was pulled last, which is where a first read begins; None if it never was."""
    row = connection.execute(
        "SELECT max(pulled_at) FROM erp.pulls WHERE system = %s AND dataset = %s", (system, dataset)
    ).fetchone()
    found: datetime | None = row[0] if row else None
    return found
