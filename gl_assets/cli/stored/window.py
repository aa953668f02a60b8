"""`gl window`: the window length in force, and the way to another one."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from gl_assets.cli.state import console, databases, only_one, say
from gl_assets.cli.stored.window_migration import Migration, minutes
from resources.core.process.home import gl_home
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rework.regrid import collectors_of, is_unreported
from resources.databases.timescale.settings import window_in_force
from resources.integrations import Integrations, load_integrations, refuse_too_many_partitions
from resources.window_buffer.reader import BufferReader


@click.group()
def window() -> None:
    """The length of a window: what is configured, what is in force, and how to change it."""


@window.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(*, as_json: bool) -> None:
    """Show the configured length beside the one of the database and of the buffer; works beside a running platform."""
    config = load_integrations()
    with databases() as found:
        state = _state(config, gl_home() / "buffer", found.platform)
    if as_json:
        click.echo(json.dumps(state))
        return
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in state.items():
        text = ", ".join(value) if isinstance(value, list) else value
        table.add_row(name.replace("_", " "), "-" if text in (None, "") else str(text))
    console.print(table)


def _state(config: Integrations, folder: Path, url: str) -> dict[str, Any]:
    with connect(url) as connection:
        in_force = window_in_force(connection, site=config.site)
        collectors = collectors_of(connection, site=config.site)
        row = connection.execute("SELECT count(*) FROM scada.window_ledger WHERE site = %s", (config.site,)).fetchone()
        unreported = is_unreported(connection, site=config.site)
    held = BufferReader(folder).windows()
    length = held[0].window_end - held[0].window_start if held else None
    return {
        "site": config.site,
        "configured": minutes(config.window),
        "in_force": minutes(in_force) if in_force else None,
        "of_the_buffer": minutes(length) if length else None,
        "windows_in_the_ledger": row[0] if row else 0,
        "windows_in_the_buffer": len(held),
        "collectors": collectors,
        "dagster": "still to be told: `gl window migrate --confirm`" if unreported else "told",
    }


@window.command()
@click.option("--confirm", is_flag=True, help="Do it; without, nothing is changed and you are told what would be.")
@click.option(
    "--other-collectors-stopped",
    is_flag=True,
    help="Say that the collectors of this site on other machines are stopped, and all they held is stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def migrate(*, confirm: bool, other_collectors_stopped: bool, as_json: bool) -> None:
    """Change the window length in force to the configured one, over the history that is there.

    The readings stay as they are. The ledger is counted anew by the new windows, the buffer is cut to them (what it
    held is set aside, all of it stored), and Dagster's record of the windows is wiped and reported anew.

    Before: stop the platform, and store what the buffer holds while the OLD length is configured: `gl ingest --for 1`.
    """
    config = load_integrations()
    refuse_too_many_partitions(config, datetime.now(UTC))
    with only_one(gl_home(), "gl window migrate"), databases() as found:
        migration = Migration(config, gl_home(), found.platform, say)
        with console.status("looking at ledger and buffer"):
            result = migration.run(confirm=confirm, others_stopped=other_collectors_stopped)
    if as_json:
        click.echo(json.dumps(asdict(result), default=_plain))
        return
    for line in result.sentences():
        console.print(line, markup=False)
    if not confirm and not result.is_nothing:
        console.print("Nothing has been changed. Do it with `gl window migrate --confirm`.")


def _plain(value: object) -> str:
    return minutes(value) if isinstance(value, timedelta) else str(value)
