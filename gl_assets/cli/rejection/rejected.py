"""`gl rejected`: what was not stored as good data, why, and what it looked like; what was corrected of it, by whom."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import Any

import click
import psycopg

from gl_assets.cli.rejection.rejected_replay import replay
from gl_assets.cli.rejection.rejected_tables import console, line, show_rows
from gl_assets.cli.state import databases
from gl_assets.transforms.corrections.files import ID, READING_COLUMNS, SHOWN_COLUMNS, write_csv
from gl_assets.transforms.corrections.ids import RejectedId
from gl_assets.transforms.corrections.originals import original_readings
from resources.core.errors import ConfigError, DataError
from resources.core.windows import parse_partition_key
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rework.corrections import corrections_of, list_corrections
from resources.databases.timescale.rework.rejected_rows import (
    ReadingsAskedFor,
    RecordsAskedFor,
    named_readings,
    rejected_readings,
    rejected_record,
    rejected_record_reasons,
    rejected_records,
    rejection_reasons,
)
from resources.erp.standardised.corrections import corrections_of_record

_LIMIT = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="At most so many rows."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
_REASON = click.option("--reason", default=None, help="Only those with this in a reason, in any case.")
_OPEN = click.option("--open", "only_open", is_flag=True, help="Only those that no batch has corrected.")
_NOTHING = "[green]nothing was rejected[/green]"


@click.group()
def rejected() -> None:
    """Rejected readings and records, each kept with its reasons and the original.

    They can be corrected and replayed: `gl rejected replay`. What was corrected keeps standing here, and says so.
    """


rejected.add_command(replay)


@rejected.command(name="list")
@_LIMIT
@_JSON
def list_(*, limit: int, as_json: bool) -> None:
    """Count readings and records by where they came from and why, most frequent first."""
    with databases() as found, connect(found.platform) as connection:
        of_readings = rejection_reasons(connection, ReadingsAskedFor(limit=limit))
        of_records = rejected_record_reasons(connection, RecordsAskedFor(limit=limit))
    rows = [
        {"kind": "readings", "from": row["source"], **_counted(row), "newest": row["last_at"]} for row in of_readings
    ] + [
        {
            "kind": "records",
            "from": f"{row['system']}/{row['dataset']}",
            **_counted(row),
            "newest": row["last_day"],
        }
        for row in of_records
    ]
    rows = sorted(rows, key=lambda row: -row["rows"])[:limit]
    show_rows(rows, ("kind", "from", "reason", "rows", "corrected", "newest"), as_json=as_json, nothing=_NOTHING)


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("reason", "rows", "corrected")}


@rejected.command()
@click.option("--sensor", default=None, help="Only this sensor_id.")
@click.option("--source", default=None, help="Only this source.")
@click.option("--window", default=None, help="Only the window that starts at, such as, 2026-11-22T10:15 (UTC).")
@_REASON
@_OPEN
@click.option("--reasons", "by_reason", is_flag=True, help="Count by source and reason instead of listing rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV that `gl rejected replay readings --file` reads.")
@_LIMIT
@_JSON
def readings(*, by_reason: bool, as_csv: bool, as_json: bool, **chosen: Any) -> None:
    """List rejected readings, newest window first."""
    asked = ReadingsAskedFor(
        sensor_id=chosen["sensor"],
        source=chosen["source"],
        window_start=window_option(chosen["window"]),
        reason=chosen["reason"],
        only_open=chosen["only_open"],
        limit=chosen["limit"],
    )
    with databases() as found, connect(found.platform) as connection:
        rows = rejection_reasons(connection, asked) if by_reason else rejected_readings(connection, asked)
    if by_reason:
        show_rows(rows, ("source", "reason", "rows", "corrected", "last_at"), as_json=as_json, nothing=_NOTHING)
        return
    named = [{ID: _name(row), **row} for row in rows]
    if as_csv:
        readable = original_readings(rows).to_pylist()
        both = [{**row, **reading, ID: row[ID]} for row, reading in zip(named, readable, strict=True)]
        click.echo(write_csv([_with_text(row) for row in both], (ID, *READING_COLUMNS, *SHOWN_COLUMNS)), nl=False)
    else:
        columns = (ID, "time", "sensor_id", "source", "reasons", "raw", "corrected_by")
        show_rows(named, columns, as_json=as_json, nothing=_NOTHING)


def _name(row: dict[str, Any]) -> str:
    return str(RejectedId(row["site"], row["collector"], row["window_start"], row["sequence"]))


def _with_text(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "value": row["text_value"] if row["value"] is None else row["value"]}


def window_option(window: str | None) -> datetime | None:
    """Return the start that --window names.

    Raises:
        ConfigError: It is no start of a window.
    """
    if window is None:
        return None
    try:
        return parse_partition_key(window)
    except ValueError as error:
        raise ConfigError(f"--window {window}: write the start of a window as 2026-11-22T10:15, in UTC") from error


@rejected.command()
@click.option("--system", default=None, help="Only this ERP system.")
@click.option("--dataset", default=None, help="Only this dataset.")
@click.option("--day", default=None, type=click.DateTime(["%Y-%m-%d"]), help="Only this business day, 2026-11-22.")
@_REASON
@_OPEN
@click.option("--reasons", "by_reason", is_flag=True, help="Count by dataset and reason instead of listing records.")
@_LIMIT
@_JSON
def records(*, by_reason: bool, as_json: bool, **chosen: Any) -> None:
    """List rejected ERP records, newest first; `gl rejected show` prints one of them whole."""
    day = chosen.pop("day")
    asked = RecordsAskedFor(day=day.date() if day else None, **chosen)
    with databases() as found, connect(found.platform) as connection:
        rows = rejected_record_reasons(connection, asked) if by_reason else rejected_records(connection, asked)
    listed = (ID, "system", "dataset", "partition_date", "source_key", "reasons", "raw", "corrected_by")
    counted = ("system", "dataset", "reason", "rows", "corrected", "last_day")
    show_rows(rows, counted if by_reason else listed, as_json=as_json, nothing=_NOTHING)


@rejected.command()
@click.argument("rejected_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(rejected_id: str, *, as_json: bool) -> None:
    """Print a rejected reading or ERP record whole: every reason, the original, and what was corrected of it.

    REJECTED_ID is the number of a record, or the id of a reading as `gl rejected readings` lists it.
    """
    with databases() as found, connect(found.platform) as connection:
        row = _record(connection, int(rejected_id)) if rejected_id.isdecimal() else _reading(connection, rejected_id)
    if as_json:
        click.echo(json.dumps(row, default=str))
        return
    for name, value in row.items():
        if name not in ("reasons", "raw", "corrections") and value is not None:
            line(name, value, limit=300)
    for reason in row["reasons"]:
        line("reason", reason)
    console.print_json(json.dumps(row["raw"]), ensure_ascii=True)
    for made in row["corrections"]:
        _show_correction(made)


def _show_correction(made: dict[str, Any]) -> None:
    line("correction", f"{made['correction_id']} by {made['made_by']}, {made['made_at']}: {made['because']}")
    if "corrected" in made:
        to = "as it is" if made["corrected"] is None else json.dumps(made["corrected"])
    else:
        value = made["value"] if made["text_value"] is None else made["text_value"]
        to = f"{made['sensor_id']} {made['time']} {value} {made['unit']} {made['status']}"
    line("", f"{made['outcome']}: {to}")
    for why in made["why"]:
        line("", why)


def _reading(connection: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    one = RejectedId.parse(name)
    found = named_readings(connection, [(one.site, one.collector, one.window_start, one.sequence)])
    if not found:
        raise DataError(f"no rejected reading {name}: `gl rejected readings` lists those of now")
    return {ID: name, **found[0], "corrections": corrections_of(connection, **dataclasses.asdict(one))}


def _record(connection: psycopg.Connection[Any], number: int) -> dict[str, Any]:
    record = rejected_record(connection, number)
    if record is None:
        raise DataError(
            f"no rejected record {number}: the numbers of a business day change when it is standardised again; "
            "`gl rejected records` lists those of now"
        )
    return {**record, "corrections": corrections_of_record(connection, number)}


@rejected.command()
@_LIMIT
@_JSON
def corrections(*, limit: int, as_json: bool) -> None:
    """List the batches of corrections, newest first: who, when, why, how, and what came of the rows."""
    with databases() as found, connect(found.platform) as connection:
        batches = [dataclasses.asdict(batch) for batch in list_corrections(connection, limit=limit)]
    columns = ("correction_id", "kind", "made_at", "made_by", "because", "how", "rows", "outcomes", "replayed_at")
    show_rows(batches, columns, as_json=as_json, nothing="nothing was ever corrected")
