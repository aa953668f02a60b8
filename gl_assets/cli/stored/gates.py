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
from resources.databases.timescale.quality.gate_results import RecordedGate, Release, history, list_results, release

_ASSET = "scada/sensor_readings"

console = Console(highlight=False)


@click.group()
def gates() -> None:
    """The data-quality gates: what every check says of every partition of every table.

    A red blocking gate holds back what is made from its partition (a window's hour, an hour's process heat) until it
    is released or the partition, made anew, passes it.
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
@click.option("--because", required=True, help="Why the partition may be used as it is: a sentence for the audit.")
@click.option("--by", default=None, help="Who releases it; your user name by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def release_(partition: str, *, check: str | None, asset: str, because: str, by: str | None, as_json: bool) -> None:
    """Release the red gates of PARTITION (such as 2026-11-22T10:15): what waits goes on within half a minute.

    The rows stay as they are. Name, time and reason are kept beside the result, and hold as long as the gate finds the
    very same again; another finding is red anew.
    """
    if not because.strip():
        raise DataError("--because is empty: say why the partition may be used as it is; it is kept beside the result")
    said = Release(by or getpass.getuser(), because.strip())
    with databases() as found, connect(found.platform) as connection:
        released = release(connection, asset=asset, partition=partition, said=said, check=check)
    if not released:
        which = f"check {check}" if check else "any check"
        raise DataError(f"no red result of {which} on {asset} {partition}: `gl gates list` shows what is red")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in released], default=str))
    else:
        console.print(_table(released))


@gates.command(name="history")
@click.argument("partition")
@click.option("--check", default=None, help="Only this check.")
@click.option("--asset", default=_ASSET, show_default=True, help="The asset.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def history_(partition: str, *, check: str | None, asset: str, limit: int, as_json: bool) -> None:
    """List every result there ever was on PARTITION, newest first: when, of which run, and who released it and why."""
    with databases() as found, connect(found.platform) as connection:
        results = history(connection, asset=asset, partition=partition, check=check, limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in results], default=str))
    elif not results:
        console.print(f"no gate has judged {asset} {partition}")
    else:
        console.print(_table(results))


def _table(results: list[RecordedGate]) -> Table:
    # most results are of windows: the name of the asset would only take the room of what is worth reading
    several = any(result.asset != _ASSET for result in results)
    table = Table(
        *(["asset"] if several else []), "partition", "check", "revision", "result", "blocks", "why", "released"
    )
    for result in results:
        why = ", ".join(f"{name}={value}" for name, value in result.metadata.items() if value not in ([], {}, None))
        table.add_row(
            *([result.asset] if several else []),
            result.partition,
            result.check,
            str(result.revision),
            "[green]passed[/green]" if result.passed else "[red]red[/red]",
            "yes" if result.blocking else "no",
            why[:120],
            _release(result),
        )
    return table


def _release(result: RecordedGate) -> str:
    if result.released_at is None:
        return ""
    because = f": {result.released_because}" if result.released_because else ""
    return f"{result.released_by}, {result.released_at:%Y-%m-%d %H:%M}{because}"
