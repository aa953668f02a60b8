"""`gl calibrations`: the certificates of the configuration, and calibrating stored readings anew when they change."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from gl_assets.cli.state import databases
from gl_assets.scada.recalibration import PendingWindow, pending_windows
from resources.core.calibration.calibrations import CalibrationConfig
from resources.core.errors import DataError
from resources.core.process.home import gl_home
from resources.core.windows import partition_key
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rework.recalibrations import request, requests
from resources.databases.timescale.window_store.calibration_sets import AppliedCalibration, applied
from resources.integrations import Integrations, load_integrations

console = Console(highlight=False)

ALL = "all sensors"
"""Stands for the sensors of a window where the atmosphere differs."""

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def calibrations() -> None:
    """Certificates of sensors: which hold, and which stored readings were made with others.

    A change of the configuration calibrates what is stored from then on. What is stored already stays as it is until
    `gl calibrations apply` asks for it to be calibrated anew.
    """


@calibrations.command(name="list")
@click.option("--sensor", "sensor_id", default=None, help="Only this sensor.")
@_JSON
def list_(*, sensor_id: str | None, as_json: bool) -> None:
    """List the configured calibrations, and those that stored readings were made with and that hold no longer."""
    config, now = load_integrations(), datetime.now(UTC)
    with databases() as found, connect(found.platform) as connection:
        used = {one.fingerprint: one for one in applied(connection, config.site)}
    rows = [_configured(one, now, used=one.fingerprint in used) for one in config.calibrations]
    known = {one.fingerprint for one in config.calibrations}
    rows += [_row(one, "withdrawn", used=True) for one in used.values() if one.fingerprint not in known]
    shown = sorted(
        (row for row in rows if sensor_id in (None, row["sensor_id"])), key=lambda r: (r["sensor_id"], r["valid_from"])
    )
    if as_json:
        click.echo(json.dumps(shown))
    else:
        _show(shown, "no calibrations are configured: docs/how-to/calibration.md")


@calibrations.command()
@_JSON
def pending(*, as_json: bool) -> None:
    """Show which stored windows were made with other calibrations than hold now, and for which sensors."""
    config = load_integrations()
    with databases() as found, connect(found.platform) as connection:
        windows = pending_windows(connection, config)
        asked = requests(connection, config.site, only_open=True)
    sensors = _by_sensor(windows)
    result = {
        "windows": len(windows),
        "first": partition_key(windows[-1].start) if windows else None,
        "last": partition_key(windows[0].start) if windows else None,
        "sensors": sensors,
        "asked_for": [
            {"by": one.requested_by, "because": one.because, "at": one.requested_at.isoformat()} for one in asked
        ],
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    _show(sensors, "every stored window is calibrated as the configuration says")
    if windows:
        console.print(
            f"{len(windows)} windows from {result['first']} to {result['last']}; they stay as they are until "
            "`gl calibrations apply --because ...`"
        )


@calibrations.command()
@click.option("--because", required=True, help="Why what is stored is calibrated anew; kept in scada.recalibrations.")
@click.option("--by", default=None, help="Who asks for it; your user name by default.")
@click.option("--in-dagster", is_flag=True, help="Only ask: Dagster's trigger starts the run within half a minute.")
@_JSON
def apply(*, because: str, by: str | None, in_dagster: bool, as_json: bool) -> None:
    """Calibrate stored readings anew where they were made with other calibrations than hold now.

    Values and units as they came are not touched. Windows whose values change are reported and their hours made again.
    """
    if not because.strip():
        raise DataError("--because is empty: say why what is stored is calibrated anew")
    config, who = load_integrations(), by or getpass.getuser()
    with databases() as found:
        if in_dagster:
            done = _ask(config, found.platform, because, who)
        else:
            from gl_assets.scada.recalibration_job import run_recalibration

            done = run_recalibration(config, gl_home(), found.platform, because=because, by=who)
    if as_json:
        click.echo(json.dumps(done))
    elif in_dagster:
        console.print(f"asked for {done['pending']} windows: see recalibrations_sensor and the runs of its job")
    else:
        console.print(f"{done['windows']} windows looked at; {done['rows']} rows changed in {done['changed']} of them")


def _ask(config: Integrations, url: str, because: str, by: str) -> dict[str, Any]:
    with connect(url) as connection:
        windows = pending_windows(connection, config)
        book = config.calibration_book.name
        number = request(connection, config.site, book=book, by=by, because=because) if windows else None
    return {"asked_for": number, "pending": len(windows)}


def _by_sensor(windows: Sequence[PendingWindow]) -> list[dict[str, Any]]:
    """Return one row per sensor: how many windows, the first and the last of them."""
    found: dict[str, list[datetime]] = {}
    for window in windows:
        for sensor in (ALL,) if window.sensors is None else window.sensors:
            found.setdefault(sensor, []).append(window.start)
    return [
        {
            "sensor_id": sensor,
            "windows": len(starts),
            "first": partition_key(min(starts)),
            "last": partition_key(max(starts)),
        }
        for sensor, starts in sorted(found.items())
    ]


def _configured(one: CalibrationConfig, now: datetime, *, used: bool) -> dict[str, Any]:
    state = "holds"
    if one.valid_from > now:
        state = "to come"
    elif one.valid_until is not None and one.valid_until <= now:
        state = "over"
    return _row(one, state, used=used)


def _row(one: CalibrationConfig | AppliedCalibration, state: str, *, used: bool) -> dict[str, Any]:
    until = one.valid_until
    return {
        "sensor_id": one.sensor_id,
        "certificate": one.certificate,
        "valid_from": one.valid_from.astimezone(UTC).isoformat(),
        "valid_until": None if until is None else until.astimezone(UTC).isoformat(),
        "kind": next(name for name in ("linear", "polynomial", "lookup") if name in one.definition),
        "state": state,
        "used": used,
    }


def _show(rows: Sequence[dict[str, Any]], nothing: str) -> None:
    if not rows:
        console.print(nothing)
        return
    table = Table(*(name.replace("_", " ") for name in rows[0]))
    for row in rows:
        table.add_row(*(str(value) if value not in (None, True, False) else _word(value) for value in row.values()))
    console.print(table)


def _word(value: object) -> str:
    return "" if value is None else "yes" if value else "no"
