"""What the platform has refused, for good: counted by minute in `agents.refusals`, and as figures for `/metrics`.

Each refusal by itself is a line of `security.log`; the table counts those of a minute together by reason, topic and
claimed sender. The figures lie in `GL_HOME/metrics/agents.json`, which the collector serves::

    {"version": 1, "refused": {"GL-001": {"bad_signature": 12, "unknown_key": 3}}}    since the file began
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import structlog

from resources.agents.wire.refusals import RefusalCount, Refusals
from resources.core.process.durable_file import replace_file

log = structlog.get_logger(__name__)

KEPT = timedelta(days=90)
"""How long refusals stay in the table."""

_WRITE = """
INSERT INTO agents.refusals AS held
    (site, receiver, minute, reason, topic, claimed, refused, first_at, last_at, detail)
SELECT %(site)s, %(receiver)s, t.* FROM unnest(
    %(minute)s::timestamptz[], %(reason)s::text[], %(topic)s::text[], %(claimed)s::text[], %(refused)s::bigint[],
    %(first_at)s::timestamptz[], %(last_at)s::timestamptz[], %(detail)s::text[]
) AS t
ON CONFLICT (site, receiver, minute, reason, topic, claimed) DO UPDATE
SET refused = held.refused + excluded.refused, first_at = least(held.first_at, excluded.first_at),
    last_at = greatest(held.last_at, excluded.last_at), detail = excluded.detail
"""

_READ = """
SELECT receiver, reason, topic, claimed, sum(refused)::bigint, min(first_at), max(last_at),
       (array_agg(detail ORDER BY last_at DESC))[1]
FROM agents.refusals WHERE site = %s AND minute >= %s
GROUP BY receiver, reason, topic, claimed ORDER BY max(last_at) DESC
"""


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """Refusals of one reason, topic and claimed sender."""

    receiver: str
    reason: str
    topic: str
    claimed: str
    refused: int
    first_at: datetime
    last_at: datetime
    detail: str


class RefusalBook:
    """Writes down what one receiver of a site has refused."""

    def __init__(self, refusals: Refusals, *, site: str, home: Path) -> None:
        """Write for `refusals`; figures go under `home` (GL_HOME)."""
        self._refusals = refusals
        self._site = site
        self._home = home

    def write(self, connection: psycopg.Connection) -> None:
        """Store what was refused since the last time; nothing is lost if the database does not take it.

        Raises:
            psycopg.OperationalError: The connection is gone.
        """
        taken = self._refusals.take()
        if not taken:
            return
        try:
            _insert(connection, self._site, self._refusals.receiver, taken)
        except psycopg.Error:
            self._refusals.give_back(taken)
            raise
        figures: Counter[str] = Counter()
        for count in taken:
            figures[count.kind.reason] += count.number
        try:
            _add_figures(self._home, self._refusals.receiver, figures)
        except OSError as error:
            # the table has them; the next writing goes on from what the file says
            log.warning("agents_figures_not_written", path=str(figures_path(self._home)), error=str(error))


def forget_refusals(connection: psycopg.Connection, now: datetime) -> None:
    """Delete what is older than it is kept."""
    connection.execute("DELETE FROM agents.refusals WHERE minute < %s", (now - KEPT,))


def read_refusals(connection: psycopg.Connection, site: str, since: datetime) -> list[RefusalRow]:
    """Return what was refused at a site since an instant, the latest first."""
    return [RefusalRow(*row) for row in connection.execute(_READ, (site, since))]


def figures_path(home: Path) -> Path:
    """Return where the figures lie under GL_HOME."""
    return home / "metrics" / "agents.json"


def read_figures(home: Path) -> dict[str, dict[str, int]]:
    """Return receiver -> reason -> refused; empty if none were written, or the file is damaged."""
    try:
        held = json.loads(figures_path(home).read_text(encoding="utf-8"))
        refused = held["refused"] if held["version"] == 1 else {}
        return {str(receiver): {str(r): int(n) for r, n in counts.items()} for receiver, counts in refused.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _insert(connection: psycopg.Connection, site: str, receiver: str, taken: list[RefusalCount]) -> None:
    columns: dict[str, Any] = {
        "site": site,
        "receiver": receiver,
        "minute": [count.kind.minute for count in taken],
        "reason": [count.kind.reason for count in taken],
        "topic": [count.kind.topic for count in taken],
        "claimed": [count.kind.claimed for count in taken],
        "refused": [count.number for count in taken],
        "first_at": [count.first_at for count in taken],
        "last_at": [count.last_at for count in taken],
        "detail": [count.detail for count in taken],
    }
    with connection.transaction():
        connection.execute(_WRITE, columns)


def _add_figures(home: Path, receiver: str, new: Counter[str]) -> None:
    path = figures_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    # who orchestrates changes from process to process: they add to one file, one after the other
    with path.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        figures = read_figures(home)
        counts = Counter(figures.get(receiver, {}))
        counts.update(new)
        replace_file(path, {"version": 1, "refused": {**figures, receiver: dict(counts)}}, mode=0o644)
