"""`gl tags`: the tags as configured, and what a source offers beyond them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from gl_assets.cli.state import console
from resources.core.clock import SystemClock
from resources.core.configuration.settings import TagConfig
from resources.core.errors import ConfigError
from resources.integrations import Integrations, SourceConfig, load_integrations, tag_models
from resources.scada.clients import build_client
from resources.scada.connector import CanDiscover, FoundItem
from resources.scada.discovery import Comparison, compare, known_tags
from resources.scada.tag_lists import TagList, read_tag_list, with_discovered, write_tag_list

_COMMON = frozenset(TagConfig.model_fields)


@click.group()
def tags() -> None:
    """The tags of the sources: what is configured, and what there is beyond."""


@tags.command("list")
@click.option("--source", "only", help="Only this source.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list with every key, instead of a table.")
def list_(only: str | None, as_json: bool) -> None:
    """Show all tags as configured, those of tag lists included."""
    config = load_integrations()
    if only is not None:
        _source(config, only)
    rows = [(name, tag) for name, source in config.sources.items() if only in (None, name) for tag in source.tags]
    if as_json:
        click.echo(json.dumps([{"source": name, **_plain(tag)} for name, tag in rows]))
        return
    table = _table("sensor_id", "unit", "where", "limits", "report")
    for name, tag in rows:
        table.add_row(tag.sensor_id, "text" if tag.is_text else tag.unit, _where(name, tag), _limits(tag), _report(tag))
    click.echo(f"{len(rows)} tags")
    Console(markup=False).print(table)


@tags.command()
@click.argument("source")
@click.option("--write", is_flag=True, help="Write new, renamed and missing tags into the source's tag list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def discover(source: str, write: bool, as_json: bool) -> None:
    """Ask SOURCE what it offers, and show what is new, renamed, moved or missing against the tags configured.

    What is wanted is said by the source's `discover` block. With --write, new tags go to the end of its tag list
    (tags_csv, or GL_HOME/tags/SOURCE.csv), renamed ones keep their sensor_id and get the old name in the column
    `formerly`, and missing ones get the day in the column `gone`; all other cells stay as they are. A collector that
    runs goes on with the tags it has: start `gl collect` again to read the new ones.
    """
    config = load_integrations()
    look = _look(config, source)
    after = with_discovered(look.path, look.before, look.comparison, look.rules, datetime.now(UTC).date())
    changed = look.before is None or (after.columns, after.rows) != (look.before.columns, look.before.rows)
    written = write and changed
    if written:
        write_tag_list(after)
    if as_json:
        click.echo(json.dumps(_as_json(source, look, written=written)))
        return
    _show(source, look)
    if written:
        console.print(f"written to {look.path}; start `gl collect` again to read the new tags")
    elif write:
        console.print(f"{look.path} is as it should be already")
    elif not look.comparison.is_quiet:
        console.print(f"nothing is written: `gl tags discover {source} --write` writes {look.path}")


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a source."""

    path: Path
    before: TagList | None
    comparison: Comparison
    rules: Any


def _look(config: Integrations, name: str) -> _Look:
    source = _source(config, name)
    if source.discover is None or source.tags_csv is None:
        raise ConfigError(
            f"source {name} has no `discover`: say in integrations.yaml what is to become tags, at least discover: {{}}"
        )
    client = build_client(name, source, config.catalog(), SystemClock())
    if not isinstance(client, CanDiscover):
        raise ConfigError(
            f"source {name}: the {source.kind} connector cannot say what a device offers; write a tag list"
        )
    with console.status(f"asking {name} what it offers"):
        found = asyncio.run(client.discover())
    before = read_tag_list(source.tags_csv, tag_models()[source.kind]) if source.tags_csv.exists() else None
    listed = {row.get("sensor_id", ""): row for row in before.rows} if before is not None else {}
    taken = [tag.sensor_id for other, s in config.sources.items() if other != name for tag in s.tags]
    comparison = compare(name, source.discover, found, known_tags(source.tags, found, listed), taken)
    return _Look(source.tags_csv, before, comparison, source.discover)


def _source(config: Integrations, name: str) -> SourceConfig:
    if name not in config.sources:
        raise ConfigError(f"there is no source {name}; there are {', '.join(config.sources) or 'none'}")
    return config.sources[name]


def _plain(tag: TagConfig) -> dict[str, Any]:
    return tag.model_dump(mode="json", exclude_none=True)


def _where(name: str, tag: TagConfig) -> str:
    """Return the keys that are the protocol's own, as far as they are set."""
    own = tag.model_dump(mode="json", exclude_defaults=True, exclude=set(_COMMON))
    return "\n".join([name, *(f"{key}={value}" for key, value in own.items())])


def _limits(tag: TagConfig) -> str:
    return "" if tag.minimum is tag.maximum is None else f"{_number(tag.minimum)} … {_number(tag.maximum)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _report(tag: TagConfig) -> str:
    report = tag.report
    if report is None:
        return ""
    percent = f"{report.deadband_percent:g} % of {report.percent_of}" if report.deadband_percent is not None else ""
    much = percent or _number(report.deadband if report.deadband is not None else report.deviation)
    return f"{report.when} {much}".strip()


def _table(*names: str) -> Table:
    # an address that is cut is a wrong address: what is too long goes on in the next line
    return Table(*(Column(name, overflow="fold") for name in names))


def _show(source: str, look: _Look) -> None:
    seen = look.comparison
    click.echo(f"{source}: {seen.offered} items offered, {seen.wanted} wanted, {len(seen.new)} new")
    screen = Console(markup=False)
    for title, columns, rows in _tables(seen):
        table = _table(*columns)
        for row in rows:
            table.add_row(*row)
        if rows:
            click.echo(title)
            screen.print(table)


def _tables(seen: Comparison) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    yield (
        "New",
        ("sensor_id", "path", "type", "unit"),
        [(sensor_id, item.path, item.data_type, item.unit or "") for sensor_id, item in seen.new],
    )
    yield (
        "Renamed: they keep their sensor_id",
        ("sensor_id", "was", "is"),
        [(one.sensor_id, one.before, one.item.path) for one in seen.renamed],
    )
    yield (
        "Moved: they keep their sensor_id",
        ("sensor_id", "was", "is"),
        [(one.sensor_id, one.before, _address(one.item)) for one in seen.moved],
    )
    yield "Not found this time", ("sensor_id",), [(sensor_id,) for sensor_id in seen.missing]
    yield "Found again", ("sensor_id",), [(sensor_id,) for sensor_id in seen.back]
    yield (
        "Not taken: the sensor_id is another's (discover.sensor_id can be made more exact)",
        (
            "sensor_id",
            "path",
            "taken by",
        ),
        [(one.sensor_id, one.path, one.taken_by) for one in seen.conflicts],
    )


def _as_json(source: str, look: _Look, *, written: bool) -> dict[str, Any]:
    seen = look.comparison
    changed = {"renamed": seen.renamed, "moved": seen.moved}
    return {
        "source": source,
        "offered": seen.offered,
        "wanted": seen.wanted,
        "new": [{"sensor_id": sensor_id, **_item(item)} for sensor_id, item in seen.new],
        **{
            what: [{"sensor_id": one.sensor_id, "was": one.before, **_item(one.item)} for one in ones]
            for what, ones in changed.items()
        },
        "missing": list(seen.missing),
        "back": list(seen.back),
        "conflicts": [
            {"sensor_id": one.sensor_id, "path": one.path, "taken_by": one.taken_by} for one in seen.conflicts
        ],
        "file": str(look.path),
        "written": written,
    }


def _item(item: FoundItem) -> Mapping[str, Any]:
    return {
        "address": dict(item.address),
        "path": item.path,
        "type": item.data_type,
        "unit": item.unit,
        "is_text": item.is_text,
        "writable": item.writable,
    }


def _address(item: FoundItem) -> str:
    return ", ".join(f"{key}={value}" for key, value in item.address.items())
