"""`gl gates`: what the data-quality gates say, and releasing a red one."""

from __future__ import annotations

import dataclasses
import getpass
import json

import click
from rich.console import Console
from rich.table import Table

from gl_assets.cli.state import databases
from resources.core.errors import DataError
from resources.databases.timescale.connection import connect
from resources.databases.timescale.gate_results import RecordedGate, list_results, release

_ASSET = "scada/sensor_readings"

console = Console(highlight=False)


@click.group()
def gates() -> None:
    """The data-quality gates: every check on every window.

    A red blocking gate holds its hour back: hourly readings and process heat wait until it is released or a later
    revision of the window passes it.
    """


@gates.command(name="list")
@click.option("--all", "show_all", is_flag=True, help="Passed and released results too, not only the red ones.")
@click.option("--asset", default=None, help="Only this asset, such as scada/sensor_readings.")
@click.option("--partition", default=None, help="Only this partition, such as 2026-11-22T10:15.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_(*, show_all: bool, asset: str | None, partition: str | None, limit: int, as_json: bool) -> None:
    """List the newest result of each check on each partition; by default those that are red and not released."""
    with databases() as found, connect(found.platform) as connection:
        results = list_results(connection, red_only=not show_all, asset=asset, partition=partition, limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in results], default=str))
    elif not results:
        console.print("no results yet" if show_all else "[green]no gate is red[/green]")
    else:
        console.print(_table(results))


@gates.command(name="release")
@click.argument("partition")
@click.option("--check", default=None, help="Only this check; all red ones of the partition otherwise.")
@click.option("--asset", default=_ASSET, show_default=True, help="The asset.")
@click.option("--by", default=None, help="Who releases it; your user name by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def release_(partition: str, *, check: str | None, asset: str, by: str | None, as_json: bool) -> None:
    """Release the red gates of PARTITION (such as 2026-11-22T10:15): its hour goes on within half a minute.

    The readings stay as they are. Name and time of the release are kept beside the result.
    """
    with databases() as found, connect(found.platform) as connection:
        released = release(connection, asset=asset, partition=partition, by=by or getpass.getuser(), check=check)
    if not released:
        which = f"check {check}" if check else "any check"
        raise DataError(f"no red result of {which} on {asset} {partition}: `gl gates list` shows what is red")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in released], default=str))
    else:
        console.print(_table(released))


def _table(results: list[RecordedGate]) -> Table:
    table = Table("partition", "check", "revision", "result", "blocks", "why", "released")
    for result in results:
        why = ", ".join(f"{name}={value}" for name, value in result.metadata.items() if value not in ([], {}, None))
        table.add_row(
            result.partition,
            result.check,
            str(result.revision),
            "[green]passed[/green]" if result.passed else "[red]red[/red]",
            "yes" if result.blocking else "no",
            why[:120],
            f"{result.released_by}, {result.released_at:%Y-%m-%d %H:%M}" if result.released_at else "",
        )
    return table
