"""Corrected ERP records: members of a record set by path, or the whole record given. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gl_assets.transforms.corrections.files import ID
from resources.core.errors import ConfigError, DataError
from resources.erp.declared import split_path

RAW = "raw"
"""Column of a file that holds the whole record."""

SHOWN = ("system", "dataset", "partition_date", "source_key", "reasons")
"""Columns of an export that are for people: they are not read."""


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return path -> value of settings `PATH=VALUE`; a value that is JSON is taken as such, else as text.

    Raises:
        ConfigError: A setting has no `=`, or no path before it.
    """
    found = {}
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign or not path.strip():
            raise ConfigError(f"--set {setting[:80]!r}: write PATH=VALUE, such as MeasurementReadingEntryUoM=KWH")
        found[path.strip()] = _parsed(text)
    return found


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def with_values(record: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with members set, by path as datasets write them (`Header.Date`).

    Raises:
        DataError: A path leads through something that is no object or list, or beyond a list.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(record))
    for path, value in values.items():
        *way, last = split_path(path)
        held: Any = changed
        for name in way:
            held = _member(held, name, path)
        if isinstance(held, list):
            held[_place(held, last, path)] = value
        elif isinstance(held, dict):
            held[last] = value
        else:
            raise DataError(f"{path}: there is no object to set it in")
    return changed


def _member(held: Any, name: str, path: str) -> Any:
    if isinstance(held, list):
        return held[_place(held, name, path)]
    if isinstance(held, dict):
        return held.setdefault(name, {})
    raise DataError(f"{path}: {name} is no object")


def _place(held: list[Any], name: str, path: str) -> int:
    if not name.isdecimal() or int(name) >= len(held):
        raise DataError(f"{path}: the list has no place {name}")
    return int(name)


def from_file(row: Mapping[str, Any], record: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """Return a record as a row of a file gives it: whole by `raw`, or by its columns, each a path.

    Args:
        row: A row of the file.
        record: The original.
        name: Of the file, for messages.

    Raises:
        DataError: `raw` is no object, or there are columns beside it.
    """
    values = {column: cell for column, cell in row.items() if column not in (ID, *SHOWN)}
    if RAW not in values:
        return with_values(record, values)
    whole = _parsed(values[RAW]) if isinstance(values[RAW], str) else values[RAW]
    if not isinstance(whole, dict) or len(values) > 1:
        raise DataError(f"{name}: {row[ID]}: {RAW} is the whole record, an object, and stands alone")
    return whole
