"""`gl agents refused`: what the platform has refused of the agents' messages."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gl_assets.cli.state import databases
from resources.agents.record.refusal_book import RefusalRow, read_refusals
from resources.core.clock import SystemClock
from resources.databases.timescale.connection import connect
from resources.integrations import load_integrations

console = Console(highlight=False)


@click.command()
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=24, show_default=True, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def refused(*, hours: float, as_json: bool) -> None:
    """Show which messages the platform has refused: forged, altered, replayed, misdirected, not permitted.

    One row for each reason, topic and claimed sender; each single refusal is a line of security.log. What agents have
    refused themselves is in their own logs.
    """
    site = load_integrations().site
    with databases() as found, connect(found.platform) as connection:
        rows = read_refusals(connection, site, SystemClock().now() - timedelta(hours=hours))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], default=str))
        return
    if not rows:
        console.print(f"nothing was refused in the last {hours:g} hours")
        return
    table = Table("reason", "refused", "claims to be", "topic", "last", "which means")
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)


def _cells(row: RefusalRow) -> tuple[Any, ...]:
    # the sender chose these letters: nothing of them may steer the terminal or the table
    claimed, topic, detail = (_printable(text) for text in (row.claimed, row.topic, row.detail))
    return row.reason, str(row.refused), claimed, topic, f"{row.last_at:%Y-%m-%d %H:%M:%S}", detail


def _printable(text: str) -> str:
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in text))
