"""`gl write`: one value to one tag of the plant, guarded, recorded, and rehearsed unless it is confirmed."""

from __future__ import annotations

import dataclasses
import json
import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from gl_assets.cli.state import interrupt_on_signals, running_database_url
from resources.core.errors import ConfigError
from resources.core.process.logs import setup_logging
from resources.core.process.scrubbing import secrets_in
from resources.databases.timescale.connection import URL_VARIABLE, connect
from resources.databases.timescale.notes.writes_audit import AuditedWrite, read_audit
from resources.integrations import Integrations, load_integrations
from resources.scada.writes import WriteReport, WriteRequest
from resources.write_back import COMMAND, person_here, writable_tags, write_tag

console = Console(highlight=False)

_COLOURS = {"written": "green", "dry_run": "cyan", "refused": "yellow", "started": "yellow"}


# a value below zero must not be taken for an option
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("sensor_id", required=False)
@click.argument("value", required=False, type=float)
@click.option("--confirm", is_flag=True, help="Send it. Without, nothing is sent: what would be is shown.")
@click.option("--note", help="Why it is written; kept beside it.")
@click.option("--list", "list_tags", is_flag=True, help="List the tags that may be written, with their bounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def write(
    sensor_id: str | None, value: float | None, *, confirm: bool, note: str | None, list_tags: bool, as_json: bool
) -> None:
    """Write VALUE, an engineering value in the tag's unit, to the tag SENSOR_ID.

    Only tags with a block `writable` in the configuration can be written, within its bounds, in one step no larger than
    its max_step from the present value, which is read just before. Without --confirm nothing is sent. What is sent is
    sent once and read back. Every attempt, refused ones too, is a row of scada.writes_audit, made before anything is
    sent: without a database nothing is written. `gl writes` shows them.

    Exit code 0 if the value was read back as sent (or would be sent), else 1.
    """
    config = load_integrations()
    if list_tags:
        _print_list(config, as_json=as_json)
    elif sensor_id is None or value is None:
        raise click.UsageError("give SENSOR_ID and VALUE; `gl write --list` shows what may be written")
    else:
        _write(config, WriteRequest(sensor_id, value, confirm, note), as_json=as_json)


@click.command()
@click.option("--sensor", "sensor_id", help="Only this tag.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def writes(*, sensor_id: str | None, limit: int, as_json: bool) -> None:
    """Show who tried to write what to the plant, and what became of it: scada.writes_audit, newest first."""
    _print_history(load_integrations(), sensor_id, limit, as_json=as_json)


def _write(config: Integrations, request: WriteRequest, *, as_json: bool) -> None:
    # the outcome goes to security.log as well, and SIGTERM ends as Ctrl-C does: with the record completed
    setup_logging(config.logs.level if config.logs.dir else "warning", config.logs.dir, secrets=secrets_in(config))
    interrupt_on_signals()
    try:
        report = write_tag(config, request, person_here(COMMAND), database_url=_database_url())
    except KeyboardInterrupt:
        click.echo(f"ended: `gl writes --sensor {request.sensor_id}` says whether the value was on its way", err=True)
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
    else:
        console.print(_sentence(report), soft_wrap=True, markup=True)
    if not report.well:
        sys.exit(1)


def _sentence(report: WriteReport) -> str:
    colour = _COLOURS.get(report.outcome, "red")
    old = "?" if report.old_value is None else f"{report.old_value:g}"
    change = f"{report.sensor_id}: {old} → {report.new_value:g} {report.unit or ''}".rstrip()
    told = str(report.outcome).replace("_", " ")
    return f"{escape(change)}  [{colour}]{told}[/{colour}]: {escape(report.reason)} (row {report.write_id})"


def _print_list(config: Integrations, *, as_json: bool) -> None:
    found = writable_tags(config)
    if as_json:
        rows = [
            {
                "sensor_id": sensor_id,
                "source": source,
                "unit": tag.unit,
                "description": tag.description,
                **(tag.writable.model_dump(mode="json") if tag.writable else {}),
            }
            for sensor_id, (source, tag) in found.items()
        ]
        click.echo(json.dumps(rows))
        return
    if not found:
        console.print("no tag may be written: a tag needs a block `writable` in the configuration")
        return
    table = Table(Column("sensor_id", overflow="fold"), "source", "from", "to", "step", "unit", "description")
    for sensor_id, (source, tag) in found.items():
        if (bounds := tag.writable) is not None:
            numbers = (f"{number:g}" for number in (bounds.minimum, bounds.maximum, bounds.max_step))
            table.add_row(sensor_id, source, *numbers, escape(tag.unit), escape(tag.description))
    console.print(table)


def _print_history(config: Integrations, sensor_id: str | None, limit: int, *, as_json: bool) -> None:
    with connect(_database_url()) as connection:
        rows = read_audit(connection, site=config.site, sensor_id=sensor_id, limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], default=str))
    elif not rows:
        console.print("nothing was ever asked to be written")
    else:
        console.print(_table(rows))


def _table(rows: list[AuditedWrite]) -> Table:
    tag, reason = Column("tag", overflow="fold"), Column("reason", overflow="fold", ratio=1)
    table = Table("row", "time (UTC)", "who, through", tag, "old → new", "read back", "outcome", reason)
    for row in rows:
        colour = _COLOURS.get(row.outcome, "red")
        through = (
            f"{row.requested_via} run {row.run_id}" if row.run_id else f"{row.requested_via}, {row.requested_from}"
        )
        why = row.reason or ("nothing was sent" if row.outcome == "started" else "may have been sent")
        table.add_row(
            str(row.write_id),
            f"{row.requested_at:%Y-%m-%d %H:%M:%S}",
            escape(f"{row.requested_by}, {through}"),
            row.sensor_id,
            f"{_number(row.old_value)} → {_number(row.new_value)}",
            "" if row.read_back is None else _number(row.read_back),
            f"[{colour}]{row.outcome.replace('_', ' ')}[/{colour}]",
            escape(f"{why} ({row.note})" if row.note else why),
        )
    return table


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _database_url() -> str:
    url = running_database_url()
    if url is None:
        raise ConfigError(
            "no database runs, and a write is recorded before it is sent: nothing was sent. Start the platform with "
            f"`gl up`, or export {URL_VARIABLE}"
        )
    return url
