"""Tags from CSV files: `tags_csv` of a source, beside its `tags` or in place of them.

The first line names the keys of the protocol's tag; a key inside a block is dotted (`report.when`), an empty cell is an
absent key, `null` is null and `''` the empty text, a list is `a; b`, and a mapping is `OFF=0; ON=1`. The separator is
a comma, or a semicolon as spreadsheets of some countries write. The columns of DISCOVERY belong to `gl tags discover`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from resources.core.configuration.settings import TagConfig
from resources.core.configuration.yaml_document import Document, Listed
from resources.core.errors import ConfigError
from resources.scada.connector import FoundItem
from resources.scada.discovery import Comparison
from resources.scada.discovery_config import Discover

FOUND_PATH, FORMERLY, GONE = DISCOVERY = ("found_path", "formerly", "gone")
"""Columns that are no keys of a tag: the path it was found at, what it was called before, and since when it is away."""


EMPTY = "''"
"""How a cell spells the empty text, since an empty cell is an absent key."""

_SPELLED: dict[str, str | None] = {EMPTY: "", "null": None}


@dataclass(slots=True)
class TagList:
    """The lines of one file."""

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]] = field(default_factory=list)
    """Column -> cell; empty cells are left out."""
    lines: list[int] = field(default_factory=list)
    """Line of each row in the file."""
    delimiter: str = ","
    """What separates the cells."""


def add_tag_lists(document: Document, models: Mapping[str, type[TagConfig]], *, home: Path) -> None:
    """Put the tags of every source's list behind its own, and name the list by its absolute path.

    A source with `discover` has its list in `home/tags/<source>.csv` unless it says where; it need not exist yet.

    Raises:
        ConfigError: A list cannot be read, or is wrong; each line names file, line and column.
    """
    sources = document.data.get("sources") if isinstance(document.data, dict) else None
    faults: list[str] = []
    for name, source in sources.items() if isinstance(sources, dict) else ():
        model = models.get(str(source.get("kind"))) if isinstance(source, dict) else None
        path = _path(document, source, home / "tags" / f"{name}.csv") if model is not None else None
        if model is None or path is None:
            continue
        source["tags_csv"] = str(path)
        if not path.exists() and source.get("discover") is not None:
            continue
        try:
            found = read_tag_list(path, model)
        except ConfigError as error:
            faults.append(str(error) if path.exists() else document.fault(("sources", name, "tags_csv"), str(error)))
            continue
        before = source.get("tags")
        tags = list(before) if isinstance(before, list) else []
        names = {row.get("sensor_id", ""): line for row, line in zip(found.rows, found.lines, strict=True)}
        document.listed.append(Listed(("sources", name, "tags"), len(tags), path.name, found.lines, names))
        source["tags"] = tags + [as_tag(row, model) for row in found.rows]
    if faults:
        raise ConfigError("\n".join(faults))


def read_tag_list(path: Path, model: type[TagConfig]) -> TagList:
    """Return the lines of a list of `model`s; the cells are not looked at yet.

    Raises:
        ConfigError: The file cannot be read, has an unknown column, a line of another length, or a sensor twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{path}: the tag list cannot be read ({why}); tags_csv names it") from error
    first, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    try:
        return _read(path, reader, model)
    except csv.Error as error:
        raise ConfigError(f"{path.name}:{reader.line_num}: not CSV: {error}") from error


def _read(path: Path, reader: Any, model: type[TagConfig]) -> TagList:
    columns = tuple(cell.strip() for cell in next(reader, []))
    faults = _faults_of_columns(path, columns, model)
    if faults:
        raise ConfigError("\n".join(faults))
    found = TagList(path, columns, delimiter=reader.dialect.delimiter)
    for cells in reader:
        if not any(cells):
            continue
        if len(cells) != len(columns):
            faults.append(f"{path.name}:{reader.line_num}: {len(cells)} cells, and the first line names {len(columns)}")
            continue
        found.rows.append({name: cell.strip() for name, cell in zip(columns, cells, strict=True) if cell.strip()})
        found.lines.append(reader.line_num)
    faults += _twice(found)
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def as_tag(row: Mapping[str, str], model: type[TagConfig]) -> dict[str, Any]:
    """Return a line as the data of a tag, as it would stand in the configuration."""
    tag: dict[str, Any] = {}
    kinds = _columns(model)
    for name, cell in row.items():
        if name in DISCOVERY:
            continue
        *blocks, key = name.split(".")
        inside = tag
        for block in blocks:
            inside = inside.setdefault(block, {})
        inside[key] = _value(cell, kinds[name])
    return tag


def _path(document: Document, source: Mapping[str, Any], usual: Path) -> Path | None:
    named = source.get("tags_csv")
    if isinstance(named, str):
        return (document.folder or Path.cwd()) / named
    return usual if named is None and source.get("discover") is not None else None


def _faults_of_columns(path: Path, columns: tuple[str, ...], model: type[TagConfig]) -> list[str]:
    known = _columns(model)
    faults = [
        f"{path.name}:1: column {name or number}: unknown; there are {', '.join(sorted(known))}"
        for number, name in enumerate(columns, 1)
        if name not in known and name not in DISCOVERY
    ]
    faults += [f"{path.name}:1: column {name}: it occurs twice" for name in sorted(_repeated(columns))]
    faults += [
        f"{path.name}:1: column {name}: a block is one column, or one for each of its keys ({name}.…), not both"
        for name in columns
        if any(other.startswith(f"{name}.") for other in columns)
    ]
    if "sensor_id" not in columns:
        faults.append(f"{path.name}:1: column sensor_id: it is missing; the first line names the columns")
    return faults


def _repeated(columns: tuple[str, ...]) -> set[str]:
    return {name for name in columns if columns.count(name) > 1}


def _twice(found: TagList) -> Iterator[str]:
    seen: dict[str, int] = {}
    for row, line in zip(found.rows, found.lines, strict=True):
        sensor_id = row.get("sensor_id", "")
        if sensor_id in seen:
            name = found.path.name
            yield f"{name}:{line}: column sensor_id: {sensor_id} occurs twice (first on line {seen[sensor_id]})"
        elif sensor_id:
            seen[sensor_id] = line


@lru_cache(maxsize=64)
def _columns(model: type[BaseModel], prefix: str = "") -> dict[str, type]:
    """Return dotted key -> dict, tuple or str, for what is in a cell of that column."""
    found: dict[str, type] = {}
    for name, key in model.model_fields.items():
        kinds = list(_parts(key.annotation))
        blocks = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for block in blocks:
            found |= _columns(block, f"{prefix}{name}.")
        # a block may also be written as one text, where its model takes one
        found[prefix + name] = next((kind for kind in (dict, tuple) if kind in kinds), str)
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield what a value may be: the parts of a union, a generic type without its arguments."""
    origin = get_origin(annotation)
    if origin in (dict, tuple, list):
        yield dict if origin is dict else tuple
    elif origin is None:
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _parts(part)


def _value(cell: str, kind: type) -> Any:
    if kind is str:
        return _SPELLED.get(cell, cell)
    parts = [part.strip() for part in cell.split(";") if part.strip()]
    return dict(part.partition("=")[::2] for part in parts) if kind is dict else parts


def with_discovered(
    path: Path, before: TagList | None, comparison: Comparison, rules: Discover, today: date
) -> TagList:
    """Return the list of a source as it is to be now: new tags at its end, changed ones where they were.

    Args:
        path: Where it belongs.
        before: The list so far, None if there is none; cells that people wrote stay.
        comparison: What the source offers against it.
        rules: For the unit of new tags.
        today: Since when those that are missing are.
    """
    rows = [dict(row) for row in before.rows] if before is not None else []
    changed = {one.sensor_id: one for one in (*comparison.renamed, *comparison.moved)}
    missing = set(comparison.missing)
    for row in rows:
        sensor_id = row.get("sensor_id", "")
        if sensor_id in changed:
            row.update({FORMERLY: changed[sensor_id].before} | _cells(changed[sensor_id].item.address))
        if sensor_id in comparison.paths:
            row[FOUND_PATH] = comparison.paths[sensor_id]
            row.pop(GONE, None)
        elif sensor_id in missing:
            row.setdefault(GONE, today.isoformat())
    rows += [_row(sensor_id, item, rules) for sensor_id, item in comparison.new]
    columns = dict.fromkeys(before.columns if before is not None else ("sensor_id",))
    columns |= dict.fromkeys(name for row in rows for name in row if name not in DISCOVERY)
    return TagList(
        path,
        tuple(dict.fromkeys((*columns, *DISCOVERY))),
        rows,
        delimiter=before.delimiter if before is not None else ",",
    )


def write_tag_list(found: TagList) -> None:
    """Write a list in place of the one that is there, as a whole or not at all."""
    found.path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, found.columns, restval="", delimiter=found.delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.rows)
    beside = found.path.with_name(found.path.name + ".new")
    beside.write_text(text.getvalue(), encoding="utf-8")
    beside.replace(found.path)


def _row(sensor_id: str, item: FoundItem, rules: Discover) -> dict[str, str]:
    row = {"sensor_id": sensor_id} | _cells(item.address)
    row |= {"data": "text"} if item.is_text else {"unit": item.unit or rules.unit}
    return row | ({"description": item.description} if item.description else {}) | {FOUND_PATH: item.path}


def _cells(address: Mapping[str, str]) -> dict[str, str]:
    return {key: value or EMPTY for key, value in address.items()}
