"""`gl gaps`: when which source was not collected, and whether history has filled it since; `gl gaps fill` does so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from resources.core.process.home import gl_home
from resources.databases.timescale.connection import URL_VARIABLE, connect, database_url
from resources.databases.timescale.rework.gaps import read_gaps
from resources.integrations import load_integrations
from resources.window_buffer.reader import BufferReader


@dataclass(frozen=True, slots=True)
class _Row:
    source: str
    since: datetime
    until: datetime | None
    reason: str
    filled_by: str | None = None
    collector: str | None = None
    rows_filled: int = 0
    last_error: str | None = None
    without_history: tuple[str, ...] = ()

    def as_json(self, now: datetime) -> dict[str, object]:
        return {
            "source": self.source,
            "collector": self.collector,
            "from": self.since.isoformat(),
            "to": self.until.isoformat() if self.until else None,
            "seconds": self.seconds(now),
            "reason": self.reason,
            "filled_by": self.filled_by,
            "rows_filled": self.rows_filled,
            "not_filled": self.last_error,
            "without_history": list(self.without_history),
        }

    def seconds(self, now: datetime) -> float:
        return round(((self.until or now) - self.since).total_seconds(), 1)


@click.group(invoke_without_command=True)
@click.option("--source", "sources", multiple=True, help="Only this source; may be given several times.")
@click.option("--open", "open_only", is_flag=True, help="Only gaps that last.")
@click.option("--unfilled", is_flag=True, help="Only gaps that no history has filled.")
@click.option("--from-buffer", is_flag=True, help="Ask this machine's window buffer, not the database.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
@click.pass_context
def gaps(context: click.Context, /, sources: tuple[str, ...], as_json: bool, **only: bool) -> None:
    """Show when which source was not collected: a lost connection, a collector that did not run, a full buffer.

    Asks scada.gaps in the database that GL_DATABASE_URL names; without one, the window buffer under GL_HOME.
    """
    if context.invoked_subcommand is not None:
        return
    now, open_only, unfilled = datetime.now(UTC), only["open_only"], only["unfilled"]
    rows = _of_buffer() if only["from_buffer"] or not os.environ.get(URL_VARIABLE) else _of_database()
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
    return [
        _Row(
            g.source,
            g.since,
            g.until,
            g.reason,
            g.filled_by,
            g.collector,
            rows_filled=g.rows_filled,
            last_error=g.last_error,
            without_history=tuple(g.without_history),
        )
        for g in stored
    ]


def _of_buffer() -> list[_Row]:
    held = BufferReader(gl_home() / "buffer").gaps()
    return [_Row(g.source, g.since, g.until, g.reason) for g in reversed(held)]


def _table(rows: Iterable[_Row], now: datetime) -> Table:
    table = Table("source", "from (UTC)", "to (UTC)", "seconds", "filled by", "rows", "reason", "not filled")
    for row in rows:
        table.add_row(
            row.source,
            f"{row.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            f"{row.until.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if row.until else "open",
            f"{row.seconds(now):.1f}",
            row.filled_by or "",
            str(row.rows_filled or ""),
            row.reason,
            row.last_error or (f"without history: {', '.join(row.without_history)}" if row.without_history else ""),
        )
    return table


@gaps.command()
@click.option("--source", "sources", multiple=True, help="Only gaps of this source; may be given several times.")
@click.option("--again", is_flag=True, help="Try also what waits for its next attempt, or has been given up.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
def fill(sources: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Fill gaps that are over from the history of their sources now, in this process.

    By itself that happens within a minute of a gap's last window closing. Exits with 1 if a gap could not be filled.
    """
    from gl_assets.cli.state import databases
    from gl_assets.scada.gap_job import run_gap_filling

    config = load_integrations()
    with databases() as found:
        told = run_gap_filling(config, gl_home(), found.platform, again=again, sources=sources)
    if as_json:
        click.echo(json.dumps(told))
    else:
        _say(told)
    if told["failed"]:
        sys.exit(1)


def _say(told: Mapping[str, Any]) -> None:
    if told["busy"]:
        click.echo("Another run is filling gaps at this moment: look again with gl gaps.")
    for gap in told["filled"]:
        click.echo(f"filled: {gap}")
    for gap, why in told["failed"].items():
        click.echo(f"not filled: {gap}: {why}")
    click.echo(f"{told['rows']} rows in {told['windows']} windows; {told['judged']} windows judged.")
