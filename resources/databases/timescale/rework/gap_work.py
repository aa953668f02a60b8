"""What is to be done about gaps, and what has been done: filling from history, judging windows anew. psycopg only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

GIVE_UP_AFTER = 8
"""Attempts to fill a gap that fail for another reason than an unreachable source; it is then left to a person."""

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_NOTED_AFTER = timedelta(seconds=5)
"""A window judged at least so long after its gap was noted has been judged with it: the judge's transaction may be the
older one."""
_LOCK = 0x474C4750
"""Advisory lock held while gaps are filled: the letters GLGP."""


@dataclass(frozen=True, slots=True)
class GapWork:
    """A gap that is over, and how far it has been dealt with."""

    source: str
    since: datetime
    until: datetime
    reason: str
    filled_to: datetime | None
    judged_to: datetime | None
    rows_read: int
    rows_filled: int
    without_history: list[str]
    attempts: int
    next_attempt_at: datetime | None
    last_error: str | None
    filled_at: datetime | None
    is_withdrawn: bool = False
    """It was none after all: nothing is missing, but windows up to `until` may have been judged while it was there."""


_COLUMNS = """source, "from", CASE WHEN "to" = "from" THEN changed_at ELSE "to" END, reason, filled_to, judged_to,
    rows_read, rows_filled, without_history, attempts, next_attempt_at, last_error, filled_at, "to" = "from"
"""
_OPEN_WORK = f"""
SELECT {_COLUMNS} FROM scada.gaps
WHERE site = %(site)s AND collector = %(collector)s AND "to" IS NOT NULL
  AND (judged_to IS NULL OR judged_to < "to"
       OR "to" > "from" AND filled_at IS NULL AND source = ANY(%(sources)s) AND (attempts < %(most)s OR %(again)s))
  AND (cardinality(%(only)s::text[]) = 0 OR source = ANY(%(only)s))
ORDER BY "from", source
"""
_SETTLE = """
UPDATE scada.gaps g SET judged_to = "to"
WHERE site = %(site)s AND collector = %(collector)s AND "to" > "from" AND judged_to IS NULL
  AND source <> ALL(%(sources)s) AND NOT EXISTS (
    SELECT FROM generate_series(date_bin(%(window)s, g."from", 'epoch'), g."to" - interval '1 us', %(window)s) w
    WHERE NOT EXISTS (
        SELECT FROM quality.gate_results r
        WHERE r.asset = %(asset)s AND r.partition = to_char(w AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI')
          AND r."check" = %(check)s AND r.checked_at > g.changed_at + %(after)s))
"""

_SETTLE_WITHDRAWN = """
UPDATE scada.gaps g SET judged_to = "to"
WHERE site = %(site)s AND collector = %(collector)s AND "to" = "from" AND judged_to IS NULL
  AND changed_at < now() - %(after)s AND NOT EXISTS (
    SELECT FROM generate_series(date_bin(%(window)s, g."from", 'epoch'), g.changed_at, %(window)s) w
    CROSS JOIN LATERAL (
        SELECT passed FROM quality.gate_results r
        WHERE r.asset = %(asset)s AND r.partition = to_char(w AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI')
          AND r."check" = %(check)s ORDER BY gate_id DESC LIMIT 1) newest
    WHERE NOT newest.passed)
"""
# a gap is withdrawn where nothing was missing in the end: it is red nowhere, or its windows are judged once more


class GapBook:
    """The gaps of one collector, over a connection in autocommit: every note is kept at once."""

    def __init__(self, connection: psycopg.Connection, *, site: str, collector: str) -> None:
        """Keep the book of a site's collector."""
        self._connection = connection
        self._owner = {"site": site, "collector": collector}

    def open_work(
        self, with_history: Collection[str], *, again: bool = False, only: Collection[str] = ()
    ) -> list[GapWork]:
        """Return the gaps that are over and neither filled nor done with, oldest first.

        Args:
            with_history: The sources that gaps can be filled from.
            again: Those that have been given up, too.
            only: Only these sources; all if empty.
        """
        terms = {"sources": list(with_history), "most": GIVE_UP_AFTER, "again": again, "only": list(only)}
        found = self._connection.execute(_OPEN_WORK, {**self._owner, **terms})
        return [GapWork(*row) for row in found]

    def settle(self, with_history: Collection[str], *, window: timedelta, asset: str, check: str) -> int:
        """Note the gaps without history whose windows have all been judged since they were known; return how many.

        That is nearly all of them: a gap is in the table before its window closes.
        """
        terms = {"sources": list(with_history), "window": window, "asset": asset, "check": check}
        terms = {**self._owner, **terms, "after": _NOTED_AFTER}
        return sum(self._connection.execute(statement, terms).rowcount for statement in (_SETTLE, _SETTLE_WITHDRAWN))

    @contextmanager
    def only_filler(self) -> Iterator[bool]:
        """Yield whether nobody else fills this collector's gaps now; until the block ends nobody else will."""
        key = (_LOCK, "/".join(self._owner.values()))
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", key).fetchone()
        mine = bool(row and row[0])
        try:
            yield mine
        finally:
            # a connection that broke has let go by itself
            if mine and not self._connection.closed and not self._connection.broken:
                self._connection.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", key)

    def note_filled_to(
        self, gap: GapWork, filled_to: datetime, *, read: int, filled: int, without: Collection[str]
    ) -> None:
        """Note how far a gap has been filled, with how many rows more, and which sensors have no history."""
        self._set(
            gap,
            "filled_to = %(to)s, rows_read = rows_read + %(read)s, rows_filled = rows_filled + %(filled)s,"
            " without_history = %(without)s",
            {"to": filled_to, "read": read, "filled": filled, "without": sorted(without)},
        )

    def note_filled(self, gap: GapWork, *, by: str) -> None:
        """Note that a gap has been filled whole, and from where; its windows are then to be judged anew."""
        self._set(
            gap,
            "filled_at = now(), filled_by = %(by)s, judged_to = NULL, last_error = NULL, next_attempt_at = NULL",
            {"by": by},
        )

    def note_judged_to(self, gap: GapWork, judged_to: datetime) -> None:
        """Note up to where a gap's windows have been judged with it."""
        self._set(gap, "judged_to = %(to)s", {"to": judged_to})

    def note_failed(self, gap: GapWork, error: str, *, now: datetime, counts: bool, anew: bool) -> int:
        """Note a failed attempt and when the next may be made; return how many have failed.

        Args:
            gap: The gap.
            error: What went wrong, for people.
            now: The present instant.
            counts: Whether it counts towards giving up: that a source cannot be reached does not.
            anew: Whether the next attempt begins at the gap's begin.
        """
        attempts = gap.attempts + 1 if counts else min(gap.attempts + 1, GIVE_UP_AFTER - 1)
        pause: timedelta = min(_FIRST_PAUSE * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE)
        self._set(
            gap,
            "attempts = %(attempts)s, next_attempt_at = %(next)s, last_error = %(error)s"
            + (", filled_to = NULL, rows_read = 0" if anew else ""),
            {"attempts": attempts, "next": now + pause, "error": error},
        )
        return attempts

    def _set(self, gap: GapWork, what: str, terms: dict[str, Any]) -> None:
        self._connection.execute(
            f"UPDATE scada.gaps SET {what}"
            ' WHERE site = %(site)s AND collector = %(collector)s AND source = %(source)s AND "from" = %(since)s',
            {**terms, **self._owner, "source": gap.source, "since": gap.since},
        )
