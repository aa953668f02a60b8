"""`gl rejected`: what was not stored as good data, why, and what it looked like."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from gl_assets.cli.state import databases
from resources.core.errors import ConfigError
from resources.core.windows import parse_partition_key
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rejected_rows import rejected_readings, rejected_records, rejection_reasons

_LIMIT = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="At most so many rows."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")

console = Console(highlight=False)


@click.group()
def rejected() -> None:
    """Rejected readings and records, each kept with its reasons and the original."""


@rejected.command()
@click.option("--sensor", default=None, help="Only this sensor_id.")
@click.option("--source", default=None, help="Only this source.")
@click.option("--window", default=None, help="Only the window that starts at, such as, 2026-11-22T10:15 (UTC).")
@click.option("--reasons", "by_reason", is_flag=True, help="Count by source and reason instead of listing rows.")
@_LIMIT
@_JSON
def readings(
    *, sensor: str | None, source: str | None, window: str | None, by_reason: bool, limit: int, as_json: bool
) -> None:
    """List rejected readings, newest window first."""
    terms: dict[str, Any] = {"sensor_id": sensor, "source": source, "limit": limit}
    if window is not None:
        try:
            terms["window_start"] = parse_partition_key(window)
        except ValueError as error:
            raise ConfigError(f"--window {window}: write the start of a window as 2026-11-22T10:15, in UTC") from error
    with databases() as found, connect(found.platform) as connection:
        rows = rejection_reasons(connection, **terms) if by_reason else rejected_readings(connection, **terms)
    columns = (
        ("source", "reason", "rows", "last_at") if by_reason else ("time", "sensor_id", "source", "reasons", "raw")
    )
    _show(rows, columns, as_json=as_json)


@rejected.command()
@click.option("--system", default=None, help="Only this ERP system.")
@_LIMIT
@_JSON
def records(*, system: str | None, limit: int, as_json: bool) -> None:
    """List rejected ERP records, newest first."""
    with databases() as found, connect(found.platform) as connection:
        rows = rejected_records(connection, system=system, limit=limit)
    _show(rows, ("system", "dataset", "partition_date", "reasons", "raw"), as_json=as_json)


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, default=str))
    elif not rows:
        console.print("[green]nothing was rejected[/green]")
    else:
        table = Table(*columns)
        for row in rows:
            table.add_row(*(_cell(row[column]) for column in columns))
        console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value)[:80]
    return "" if value is None else str(value)[:80]
