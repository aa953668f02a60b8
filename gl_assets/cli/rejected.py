"""`gl rejected`: what was not stored as good data, why, and what it looked like."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gl_assets.cli.state import databases
from resources.core.errors import ConfigError, DataError
from resources.core.windows import parse_partition_key
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rejected_rows import (
    RecordsAskedFor,
    rejected_readings,
    rejected_record,
    rejected_record_reasons,
    rejected_records,
    rejection_reasons,
)
from resources.transport.foreign_text import foreign_text

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
@click.option("--dataset", default=None, help="Only this dataset.")
@click.option("--day", default=None, type=click.DateTime(["%Y-%m-%d"]), help="Only this business day, 2026-11-22.")
@click.option("--reasons", "by_reason", is_flag=True, help="Count by dataset and reason instead of listing records.")
@_LIMIT
@_JSON
def records(
    *, system: str | None, dataset: str | None, day: datetime | None, by_reason: bool, limit: int, as_json: bool
) -> None:
    """List rejected ERP records, newest first; `gl rejected show` prints one of them whole."""
    asked = RecordsAskedFor(system, dataset, day.date() if day else None, limit)
    with databases() as found, connect(found.platform) as connection:
        rows = rejected_record_reasons(connection, asked) if by_reason else rejected_records(connection, asked)
    listed = ("rejected_id", "system", "dataset", "partition_date", "source_key", "reasons", "raw")
    _show(rows, ("system", "dataset", "reason", "rows", "last_day") if by_reason else listed, as_json=as_json)


@rejected.command()
@click.argument("rejected_id", type=int)
@_JSON
def show(rejected_id: int, *, as_json: bool) -> None:
    """Print the rejected ERP record REJECTED_ID whole: reasons, and the original as the system gave it."""
    with databases() as found, connect(found.platform) as connection:
        record = rejected_record(connection, rejected_id)
    if record is None:
        raise DataError(
            f"no rejected record {rejected_id}: the numbers of a business day change when it is standardised again; "
            "`gl rejected records` lists those of now"
        )
    if as_json:
        click.echo(json.dumps(record, default=str))
        return
    for name in ("system", "dataset", "partition_date", "source_key", "rejected_at", "run_id"):
        console.print(f"{name:15} {escape(foreign_text(str(record[name])))}")
    for reason in record["reasons"]:
        console.print(f"{'reason':15} {escape(foreign_text(reason, limit=1000))}")
    console.print_json(json.dumps(record["raw"]), ensure_ascii=True)


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
    """Return a value for a table; what a system sent is no markup, and moves no cursor."""
    if isinstance(value, list):
        return escape(foreign_text("; ".join(str(item) for item in value), limit=200))
    if isinstance(value, dict):
        return escape(foreign_text(json.dumps(value), limit=80))
    return "" if value is None else escape(foreign_text(str(value), limit=80))
