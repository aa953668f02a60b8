"""`gl rejected replay`: rejected rows tried again, as they are or corrected; rehearsed unless it is confirmed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from gl_assets.cli.rejection.rejected_options import AGAIN, BECAUSE, CONFIRM, FILE, JSON, new_correction, tell
from gl_assets.cli.rejection.rejected_records import carry_out_records, records
from gl_assets.cli.state import databases
from gl_assets.transforms.corrections.files import read_rows
from gl_assets.transforms.corrections.rules import Rules
from resources.core.configuration.settings import Duration
from resources.core.errors import ConfigError, DataError
from resources.core.process.home import gl_home
from resources.core.windows import parse_partition_key
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rework.corrections import read_correction
from resources.databases.timescale.rework.rejected_rows import ReadingsAskedFor
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations, load_integrations

SHOWN = 5
"""Rows of a rehearsal that are shown."""


@click.group()
def replay() -> None:
    """Try rejected rows again: as they are, after the configuration was mended, or corrected.

    Without --confirm nothing is changed: what would come of it is shown. The rejected rows keep standing; a batch, who
    made it and why are kept in quality.corrections (`gl rejected corrections`).
    """


def _selection(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--sensor", default=None, help="Only this sensor_id."),
        click.option("--source", default=None, help="Only this source."),
        click.option("--window", default=None, help="Only the window that starts at, such as, 2026-11-22T10:15 (UTC)."),
        click.option("--from", "since", default=None, help="Only windows from this start on, 2026-11-22T10:15 (UTC)."),
        click.option("--to", "until", default=None, help="Only windows that start before, 2026-11-22T11:00 (UTC)."),
        click.option("--reason", default=None, help="Only those with this in a reason, in any case."),
        AGAIN,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _rules(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--multiply", type=float, default=None, help="Multiply values by this."),
        click.option("--add", type=float, default=None, help="Then add this to values."),
        click.option("--unit", default=None, help="Values are in truth in this unit, and are converted from it."),
        click.option("--set-status", default=None, help="Give readings this status: good, uncertain or bad."),
        click.option("--set-sensor", default=None, help="Readings are in truth of this sensor."),
        click.option("--shift", default=None, help="Move times by so much, such as 1h or -30m."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@replay.command()
@_selection
@_rules
@FILE
@click.option("--replace", is_flag=True, help="Let corrected values take the place of others that stand there.")
@BECAUSE
@CONFIRM
@JSON
def readings(*, file: Path | None, because: str | None, confirm: bool, as_json: bool, **options: Any) -> None:
    """Replay rejected readings through the same pipeline as any reading.

    Which: by the options from --sensor to --reason, or those that --file names. How: by --multiply, --add, --unit,
    --set-status, --set-sensor and --shift, by what the file says of each row, or as they are.
    """
    from gl_assets.scada.correction_batch import choose_by_file, choose_by_rules, keep, rehearse

    config = load_integrations()
    rules, asked = _rules_of(options), _asked(options)
    how = _how(options, rules, file)
    new = new_correction(config, "readings", because, how) if confirm else None
    with databases() as found, ReadingsStore(found.platform) as store:
        if file is not None:
            content = read_rows(file.read_bytes(), name=file.name)
            chosen = choose_by_file(store.connection, config, content, name=file.name)
        else:
            chosen = choose_by_rules(store.connection, config, asked, rules)
        if new is not None:
            correction_id = keep(store.connection, new, chosen)
            told = _carry_out(config, found.platform, correction_id)
        else:
            replayed = rehearse(store, config, chosen, now=datetime.now(UTC), replace=options["replace"])
            told = {
                "rows": chosen.original.num_rows,
                **replayed.counts(),
                "windows": len(replayed.windows),
                "reasons": replayed.reasons(),
                "first": _first(chosen, replayed.outcomes),
            }
    tell({"confirmed": confirm, **told}, as_json=as_json)


replay.add_command(records)


@replay.command()
@click.argument("correction_id", type=int)
@JSON
def batch(correction_id: int, *, as_json: bool) -> None:
    """Replay the batch CORRECTION_ID again: rows that are not stored yet are tried once more.

    A batch whose rows are all stored writes nothing.
    """
    config = load_integrations()
    with databases() as found:
        with connect(found.platform) as connection:
            kept = read_correction(connection, correction_id, site=config.site)
        if kept is None:
            raise DataError(
                f"correction {correction_id}: site {config.site} has no batch of that number: "
                "`gl rejected corrections` lists them"
            )
        carry_out = carry_out_records if kept.kind == "records" else _carry_out
        told = carry_out(config, found.platform, correction_id)
    tell({"confirmed": True, **told}, as_json=as_json)


def _carry_out(config: Integrations, url: str, correction_id: int) -> dict[str, Any]:
    from gl_assets.scada.corrected_readings import run_correction

    return dict(run_correction(config, gl_home(), url, correction_id))


def _rules_of(options: Mapping[str, Any]) -> Rules:
    shift = options["shift"]
    return Rules(
        multiply=options["multiply"],
        add=options["add"],
        unit=options["unit"],
        status=options["set_status"],
        sensor_id=options["set_sensor"],
        shift=None if shift is None else _duration(shift),
    )


def _duration(text: str) -> timedelta:
    try:
        length: timedelta = TypeAdapter(Duration).validate_python(text.removeprefix("-"))
    except ValidationError as error:
        raise ConfigError(f"--shift {text}: write a time such as 90s, 1h or -30m") from error
    return -length if text.startswith("-") else length


def _asked(options: Mapping[str, Any]) -> ReadingsAskedFor:
    return ReadingsAskedFor(
        sensor_id=options["sensor"],
        source=options["source"],
        window_start=_start("--window", options["window"]),
        since=_start("--from", options["since"]),
        until=_start("--to", options["until"]),
        reason=options["reason"],
        only_open=not options["again"],
    )


def _start(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_partition_key(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: write the start of a window as 2026-11-22T10:15, in UTC") from error


def _how(options: Mapping[str, Any], rules: Rules, file: Path | None) -> dict[str, Any]:
    """Return what the record says of how rows were chosen and corrected.

    Raises:
        ConfigError: A file and something that it says itself.
    """
    chosen = {
        name: options[name]
        for name in ("sensor", "source", "window", "since", "until", "reason", "again")
        if options[name]
    }
    more = {"replace": True} if options["replace"] else {}
    if file is None:
        return {"chosen": chosen, "rules": rules.told(), **more}
    if chosen or not rules.as_is:
        raise ConfigError("--file names the rows and what they are corrected to: leave the other options out")
    return {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), **more}


def _first(chosen: Any, outcomes: Any) -> list[dict[str, Any]]:
    """Return the first rows of a rehearsal: what they were, what they would be, and what would come of them."""
    shown = zip(
        chosen.names,
        chosen.original.slice(0, SHOWN).to_pylist(),
        chosen.corrected.slice(0, SHOWN).to_pylist(),
        outcomes,
        strict=False,
    )
    return [
        {"rejected_id": name, "from": _reading(old), "to": _reading(new), "outcome": one.outcome, "why": list(one.why)}
        for name, old, new, one in shown
    ]


def _reading(row: Mapping[str, Any]) -> str:
    value = row["value"] if row["text_value"] is None else row["text_value"]
    time = "?" if row["time"] is None else f"{row['time']:%Y-%m-%dT%H:%M:%S}Z"
    parts = (row["sensor_id"], time, value, row["unit"], row["status"])
    return " ".join("?" if part is None else str(part) for part in parts)
