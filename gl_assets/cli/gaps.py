"""`gl gaps`: when which source was not collected, and whether history has filled it since."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from resources.core.home import gl_home
from resources.databases.timescale.connection import URL_VARIABLE, connect, database_url
from resources.databases.timescale.gaps import read_gaps
from resources.window_buffer.reader import BufferReader


@dataclass(frozen=True, slots=True)
class _Row:
    source: str
    since: datetime
    until: datetime | None
    reason: str
    filled_by: str | None = None
    collector: str | None = None

    def as_json(self, now: datetime) -> dict[str, object]:
        return {
            "source": self.source,
            "collector": self.collector,
            "from": self.since.isoformat(),
            "to": self.until.isoformat() if self.until else None,
            "seconds": self.seconds(now),
            "reason": self.reason,
            "filled_by": self.filled_by,
        }

    def seconds(self, now: datetime) -> float:
        return round(((self.until or now) - self.since).total_seconds(), 1)


@click.command()
@click.option("--source", "sources", multiple=True, help="Only this source; may be given several times.")
@click.option("--open", "open_only", is_flag=True, help="Only gaps that last.")
@click.option("--unfilled", is_flag=True, help="Only gaps that no history has filled.")
@click.option("--from-buffer", is_flag=True, help="Ask this machine's window buffer, not the database.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def gaps(sources: tuple[str, ...], open_only: bool, unfilled: bool, from_buffer: bool, as_json: bool) -> None:
    """Show when which source was not collected: a lost connection, a collector that did not run, a full buffer.

    Asks scada.gaps in the database that GL_DATABASE_URL names; without one, the window buffer under GL_HOME.
    """
    now = datetime.now(UTC)
    rows = _of_buffer() if from_buffer or not os.environ.get(URL_VARIABLE) else _of_database()
    shown = [
        row
        for row in rows
        if (not sources or row.source in sources) and not (open_only and row.until) and not (unfilled and row.filled_by)
    ]
    if as_json:
        click.echo(json.dumps([row.as_json(now) for row in shown]))
    else:
        Console().print(_table(shown, now) if shown else "No gaps.")


def _of_database() -> list[_Row]:
    with connect(database_url()) as connection:
        stored = read_gaps(connection)
    return [_Row(g.source, g.since, g.until, g.reason, g.filled_by, g.collector) for g in stored]


def _of_buffer() -> list[_Row]:
    held = BufferReader(gl_home() / "buffer").gaps()
    return [_Row(g.source, g.since, g.until, g.reason) for g in reversed(held)]


def _table(rows: Iterable[_Row], now: datetime) -> Table:
    table = Table("source", "from (UTC)", "to (UTC)", "seconds", "filled by", "reason")
    for row in rows:
        table.add_row(
            row.source,
            f"{row.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            f"{row.until.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if row.until else "open",
            f"{row.seconds(now):.1f}",
            row.filled_by or "",
            row.reason,
        )
    return table
