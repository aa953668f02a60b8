"""`gl anomalies`: what the detectors found, which detectors there are, and training them now."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gl_assets.cli.state import databases, say
from resources.core.errors import DataError
from resources.core.process.home import gl_home
from resources.databases.timescale.anomaly.anomalies import AnomalyRow, list_anomalies
from resources.databases.timescale.anomaly.anomaly_models import StoredModel, newest_models
from resources.databases.timescale.connection import connect
from resources.integrations import Integrations, load_integrations

console = Console(highlight=False)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
_INSTANT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"])


@click.group()
def anomalies() -> None:
    """Anomalies of equipment: stretches in which sensors are not as in training, with what explains them.

    Detectors are trained and windows scored by themselves (docs/how-to/anomalies.md); times are UTC.
    """


@anomalies.command(name="list")
@click.option("--equipment", default=None, help="Only of this one.")
@click.option(
    "--kind", type=click.Choice(["multivariate", "outlier", "level_change"]), default=None, help="Only of this kind."
)
@click.option("--since", type=_INSTANT, default=None, help="Only from this instant on, UTC.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many, newest first."
)
@_JSON
def list_(*, equipment: str | None, kind: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List what was found, newest first: when, of which equipment and sensor, how far from normal, and why."""
    config = load_integrations()
    with databases() as found, connect(found.platform) as connection:
        rows = list_anomalies(
            connection, site=config.site, equipment=equipment, kind=kind, since=_utc(since), limit=limit
        )
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], default=str))
    elif not rows:
        console.print("nothing was found; `gl anomalies models` shows which equipment is watched")
    else:
        console.print(_anomalies_table(rows))


@anomalies.command()
@_JSON
def models(*, as_json: bool) -> None:
    """List the equipment of the configuration, and the detectors in force of each."""
    config = load_integrations()
    equipment = config.anomalies.equipment(config.tags().values())
    with databases() as found, connect(found.platform) as connection:
        stored = newest_models(connection, site=config.site, equipment=list(equipment))
    rows = [_model_row(config, name, sensors, stored.get(name)) for name, sensors in equipment.items()]
    if as_json:
        click.echo(json.dumps(rows, default=str))
    elif not rows:
        console.print("no equipment is watched: give tags an `equipment`, and leave anomalies.enabled true")
    else:
        console.print(_models_table(rows))


@anomalies.command()
@click.argument("equipment", nargs=-1)
@click.option("--from", "since", type=_INSTANT, default=None, help="Begin of the span, UTC; anomalies.training_span.")
@click.option("--to", "until", type=_INSTANT, default=None, help="End of the span, UTC; the present by default.")
@_JSON
def train(*, equipment: tuple[str, ...], since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Train the detectors of EQUIPMENT (all by default) now, best over a span in which it ran as it should.

    The new version is in force from the next window on; what was found before stays as it is.
    """
    # Dagster takes seconds to import
    from gl_assets.scada.anomaly.run import train_equipment

    config = load_integrations()
    known = config.anomalies.equipment(config.tags().values())
    unknown = sorted(set(equipment) - set(known))
    if unknown:
        raise DataError(f"no watched equipment {', '.join(unknown)}: there is {', '.join(known) or 'none'}")
    span = (_utc(since), _utc(until))
    results = []
    with databases() as found:
        for name in equipment or tuple(known):
            say(f"training {name}")
            results.append({"equipment": name, **train_equipment(config, gl_home(), found.platform, name, span=span)})
    if as_json:
        click.echo(json.dumps(results, default=str))
    else:
        console.print(_results_table(results))
    failed = [str(result["failed"]) for result in results if "failed" in result]
    if failed:
        raise DataError("; ".join(failed))


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.replace(tzinfo=UTC)


def _model_row(
    config: Integrations, equipment: str, sensors: dict[str, str], stored: StoredModel | None
) -> dict[str, Any]:
    if stored is None:
        return {"equipment": equipment, "version": None, "sensors": len(sensors), "state": "not trained yet"}
    current = stored.fingerprint == config.anomalies.fingerprint(sensors)
    return {
        "equipment": equipment,
        "version": stored.version,
        "sensors": len(stored.sensors),
        "rows": stored.rows,
        "trained_from": stored.trained_from,
        "trained_to": stored.trained_to,
        "left_out": dict(stored.left_out),
        "state": "in force" if current else "of another configuration: is trained again",
    }


def _anomalies_table(rows: list[AnomalyRow]) -> Table:
    table = Table("begins", "lasts", "equipment", "kind", "sensor", "value", "expected", "score", "because of")
    for row in rows:
        table.add_row(
            f"{row.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            str(timedelta(seconds=round((row.ended_at - row.time).total_seconds()))),
            row.equipment,
            row.kind,
            row.sensor_id,
            _number(row.value),
            _number(row.expected),
            f"{row.score:.1f}",
            escape(", ".join(f"{name} {share:.0%}" for name, share in row.details.get("contributions", {}).items())),
        )
    return table


def _models_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("equipment", "version", "sensors", "rows", "trained on", "not judged", "state")
    for row in rows:
        span = f"{row['trained_from']:%Y-%m-%d %H:%M} to {row['trained_to']:%Y-%m-%d %H:%M}" if row["version"] else ""
        left_out = ", ".join(f"{name} ({why})" for name, why in row.get("left_out", {}).items())
        cells = (row["equipment"], row["version"] or "", row["sensors"], row.get("rows", ""), span, left_out)
        table.add_row(*(escape(str(cell)) for cell in cells), row["state"])
    return table


def _results_table(results: list[dict[str, Any]]) -> Table:
    table = Table("equipment", "version", "rows", "trained from", "to", "result")
    for result in results:
        cells = [str(result.get(name, "")) for name in ("equipment", "version", "rows", "trained_from", "trained_to")]
        table.add_row(*cells, "[red]failed[/red]" if "failed" in result else "[green]trained[/green]")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
