"""`gl config`: is the configuration right, before anything runs on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from gl_assets.checks.known import refuse_unknown_gates
from gl_assets.cli.state import console
from resources.agents.members.roster import load_roster
from resources.core.configuration.settings import EnvSecret
from resources.core.errors import ConfigError
from resources.core.process.home import config_path
from resources.integrations import Integrations, example_path, load_integrations, refuse_too_many_partitions


@click.group()
def config() -> None:
    """The configuration file."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path | None, *, as_json: bool) -> None:
    """Check FILE (else the one GL_CONFIG names): keys, units, duplicate sensors, files, secrets.

    Every fault is one line naming file, line and key. Unset environment variables are named, but are no fault of the
    file: the systems that need them will say so again. Exit code 1 if the file is wrong.
    """
    path = file or config_path() or example_path()
    loaded = load_integrations(path)
    refuse_too_many_partitions(loaded, datetime.now(UTC))
    refuse_unknown_gates(loaded)
    if loaded.agents is not None and loaded.agents.roster is not None and loaded.agents.roster.exists():
        load_roster(loaded.agents.roster)
    missing = [f"{where}: {found} does not exist" for where, found in _walk(loaded, Path) if not found.exists()]
    if loaded.logs.dir is not None:
        missing = [line for line in missing if not line.startswith("logs.dir:")]
    unset = sorted({secret.variable for _, secret in _walk(loaded, EnvSecret) if not _is_set(secret)})
    if as_json:
        click.echo(
            json.dumps({"file": str(path), **_summary(loaded), "missing_files": missing, "unset_variables": unset})
        )
    else:
        facts = ", ".join(f"{number} {what}" for what, number in _summary(loaded).items())
        console.print(f"[green]{path.name} is right[/green]: {facts}")
        for line in missing:
            console.print(f"[yellow]{path.name}: {line}[/yellow]")
        for name in unset:
            console.print(f"[yellow]environment variable {name} is not set[/yellow]: export it before starting")


def _summary(loaded: Integrations) -> dict[str, int]:
    return {
        "sources": len(loaded.sources),
        "tags": len(loaded.tags()),
        "erp_systems": len(loaded.erp.systems),
        "agents": len(loaded.agents.targets) if loaded.agents else 0,
    }


def _is_set(secret: EnvSecret) -> bool:
    try:
        secret.reveal()
    except ConfigError:
        return False
    return True


def _walk(value: object, wanted: type[Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of every value of a type anywhere in a configuration."""
    if isinstance(value, wanted):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), wanted, f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, wanted, f"{path}.{key}".lstrip("."))
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from _walk(item, wanted, f"{path}.{number}")
