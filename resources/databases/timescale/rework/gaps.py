"""Writing and reading `scada.gaps`: when what could not be received. psycopg only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import psycopg


class GapLike(Protocol):
    """A gap as the buffer keeps it."""

    @property
    def source(self) -> str:
        """The source that was not collected."""
        ...

    @property
    def since(self) -> datetime:
        """Its begin."""
        ...

    @property
    def until(self) -> datetime | None:
        """Its end; None while it lasts."""
        ...

    @property
    def reason(self) -> str:
        """Why, for people."""
        ...


@dataclass(frozen=True, slots=True)
class StoredGap:
    """A row of scada.gaps."""

    site: str
    collector: str
    source: str
    since: datetime
    until: datetime | None
    reason: str
    filled_at: datetime | None
    filled_by: str | None
    rows_filled: int
    """Readings that history has brought so far."""
    without_history: list[str]
    """Sensors of the source whose history cannot be read."""
    last_error: str | None
    """Why the last attempt to fill it failed."""


def write_gaps(connection: psycopg.Connection, *, site: str, collector: str, gaps: Iterable[GapLike]) -> None:
    """Bring gaps into the table: new ones are added, an open one gets its end; the caller commits.

    What history has filled stays filled.
    """
    rows = [(site, collector, gap.source, gap.since, gap.until, gap.reason) for gap in gaps]
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO scada.gaps AS g (site, collector, source, "from", "to", reason)'
            " VALUES (%s, %s, %s, %s, %s, %s)"
            ' ON CONFLICT (site, collector, source, "from")'
            ' DO UPDATE SET "to" = excluded."to", reason = excluded.reason, changed_at = now(), judged_to = NULL'
            ' WHERE (g."to", g.reason) IS DISTINCT FROM (excluded."to", excluded.reason)',
            rows,
        )


def read_gaps(
    connection: psycopg.Connection, *, site: str | None = None, unfilled_only: bool = False
) -> list[StoredGap]:
    """Return gaps, newest first."""
    found = connection.execute(
        'SELECT site, collector, source, "from", "to", reason, filled_at, filled_by, rows_filled, without_history,'
        " last_error FROM scada.gaps"
        " WHERE (%(site)s::text IS NULL OR site = %(site)s) AND NOT (%(unfilled)s AND filled_at IS NOT NULL)"
        ' ORDER BY "from" DESC, source',
        {"site": site, "unfilled": unfilled_only},
    )
    return [StoredGap(*row) for row in found]


def mark_filled(connection: psycopg.Connection, gap: StoredGap, *, by: str) -> None:
    """Note that history has filled a gap, and from where; the caller commits."""
    connection.execute(
        "UPDATE scada.gaps SET filled_at = now(), filled_by = %s"
        ' WHERE site = %s AND collector = %s AND source = %s AND "from" = %s',
        (by, gap.site, gap.collector, gap.source, gap.since),
    )
