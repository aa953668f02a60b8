"""`gl erp`: what ERP systems say of themselves, held against what the configuration asks them for."""

from __future__ import annotations

import json
import re
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gl_assets.cli.state import console as progress
from resources.core.errors import ConfigError
from resources.core.process.home import gl_home
from resources.erp.config import SystemConfig
from resources.erp.connector import CanDescribe, FoundProperty, SystemDescription
from resources.erp.declared import DatasetConfig, split_path
from resources.erp.kinds import connector
from resources.erp.pulling.members import PARENT
from resources.integrations import Integrations, load_integrations
from resources.transport.text.foreign_text import foreign_text

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """A property that a dataset asks for and the system does not declare."""

    path: str
    nearest: str | None
    """The declared one whose name is most alike, if any is."""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """A dataset's properties against the system's metadata."""

    resource: str
    described: bool
    """False where the metadata does not tell: reports and exports often have none."""
    found: int
    configured: int
    missing: tuple[Missing, ...]


@click.group()
def erp() -> None:
    """ERP systems."""


@erp.command()
@click.argument("system")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe(system: str, *, as_json: bool) -> None:
    """Save the metadata of SYSTEM ($metadata, describe, WSDL) and show which configured fields it does not have.

    The files go to GL_HOME/erp/SYSTEM. Exit code 1 if a field is missing.
    """
    settings = _system(load_integrations(), system)
    with progress.status(f"asking {system} for its metadata"):
        description = _describe(system, settings)
    folder = save(description, gl_home() / "erp" / system)
    reports = {name: report(declared, description, name) for name, declared in settings.datasets.items()}
    if as_json:
        files = sorted(path.name for path in folder.iterdir())
        found = {name: asdict(one) for name, one in reports.items()}
        notes = list(description.notes)
        told = {"system": system, "folder": str(folder), "files": files, "notes": notes, "datasets": found}
        click.echo(json.dumps(told))
    else:
        _print(folder, reports)
        for note in description.notes:
            console.print(f"[yellow]note[/yellow] {escape(foreign_text(note))}")
    if any(one.missing for one in reports.values()):
        sys.exit(1)


def report(declared: DatasetConfig, description: SystemDescription, name: str) -> DatasetReport:
    """Return what a dataset asks for that the system's metadata does not declare."""
    properties = description.properties.get(name)
    known = {one.path for one in properties or ()}
    # of records made of children, what is selected is of the record around them
    around = f"{PARENT}." if declared.explode is not None else ""
    selected = [path if path in known else around + path for path in declared.select]
    asked = tuple(dict.fromkeys([*declared.properties, *selected]))
    if properties is None:
        return DatasetReport(declared.resource, False, 0, len(asked), ())
    return DatasetReport(declared.resource, True, len(properties), len(asked), missing_of(asked, properties))


def missing_of(asked: tuple[str, ...], found: tuple[FoundProperty, ...]) -> tuple[Missing, ...]:
    """Return the paths of `asked` that `found` does not declare, with the nearest name.

    A path into something whose inside the metadata does not tell counts as declared.
    """
    paths = {split_path(one.path) for one in found}
    within = {path[:depth] for path in paths for depth in range(1, len(path))}
    names = [one.path for one in found]

    def declared(path: tuple[str, ...]) -> bool:
        opaque = any(path[:depth] in paths - within for depth in range(1, len(path)))
        return path in paths or path in within or opaque

    return tuple(
        Missing(path, next(iter(get_close_matches(path, names, n=1)), None))
        for path in asked
        if not declared(split_path(path))
    )


def save(description: SystemDescription, folder: Path) -> Path:
    """Write the metadata files into `folder`, in place of those of before, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (path for path in folder.iterdir() if path.is_file()):
        old.unlink()
    for name, content in description.files.items():
        # a name is the connector's, but may be made of a path
        (folder / (re.sub(r"[^\w.$-]+", "_", name).lstrip("._") or "metadata")).write_bytes(content)
    return folder


def _system(config: Integrations, name: str) -> SystemConfig:
    if name not in config.erp.systems:
        known = ", ".join(config.erp.systems) or "none"
        raise ConfigError(f"{name}: no such ERP system in the configuration; there are: {known}")
    return config.erp.systems[name]


def _describe(name: str, settings: SystemConfig) -> SystemDescription:
    with closing(connector(settings.kind).client_factory(name, settings)) as client:
        if not isinstance(client, CanDescribe):
            raise ConfigError(f"{name}: a system of kind {settings.kind} has no metadata that could be read")
        return client.describe()


def _print(folder: Path, reports: dict[str, DatasetReport]) -> None:
    console.print(f"metadata saved in {escape(str(folder))}")
    table = Table("dataset", "resource", "properties there", "configured", "missing")
    for name, one in reports.items():
        table.add_row(
            name,
            escape(foreign_text(one.resource, limit=60)),
            f"{one.found:,}" if one.described else "not described",
            str(one.configured),
            "\n".join(_line(missing) for missing in one.missing) or ("[green]none[/green]" if one.described else "?"),
        )
    console.print(table)


def _line(missing: Missing) -> str:
    near: Any = f" (there is {foreign_text(missing.nearest, limit=60)})" if missing.nearest else ""
    return f"[red]{escape(foreign_text(missing.path, limit=60))}[/red]{escape(near)}"
