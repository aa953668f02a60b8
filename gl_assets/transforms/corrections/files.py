"""Files of corrected rows, CSV or JSON: what a person has mended by hand, row by row, laid over the rejected rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from gl_assets.transforms.corrections.originals import QUARANTINED
from resources.core.errors import ConfigError, DataError
from resources.core.physics.units import ucum_code
from resources.core.readings import STATUS_NAMES

ID = "rejected_id"
"""The column that says which rejected row a row of the file corrects."""

READING_COLUMNS = ("sensor_id", "time", "value", "unit", "status")
"""What a file may correct of a reading; an empty cell leaves it as it was."""

SHOWN_COLUMNS = ("source", "reasons")
"""Columns of an export that are for people: they are not read."""

NO_VALUE = "null"
"""A cell that says: there is no value (which goes with status bad)."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def read_rows(content: bytes, *, name: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV with a header, or of a JSON list of objects, by what the content looks like.

    Args:
        content: The file, UTF-8.
        name: Its name, for messages.

    Raises:
        DataError: It is neither, or a row has no rejected_id.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start}): save it as CSV UTF-8 or JSON") from error
    rows = _json_rows(text, name) if text.lstrip().startswith("[") else _csv_rows(text, name)
    for number, row in enumerate(rows, 1):
        if not row.get(ID):
            raise DataError(f"{name}: row {number} has no {ID}: every row names the rejected row that it corrects")
    return rows


def _json_rows(text: str, name: str) -> list[dict[str, Any]]:
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{name}: not JSON: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{name}: a list of objects was expected, one per corrected row")
    return list(rows)


def _csv_rows(text: str, name: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        if ID not in (reader.fieldnames or ()):
            raise DataError(f"{name}: no column {ID}: `gl rejected readings --csv` writes a file to begin with")
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{name}: not CSV: line {reader.line_num}: {error}") from error
    if any(None in row for row in rows):
        raise DataError(f"{name}: a row has more cells than the header")
    return [{column: _plain(cell) for column, cell in row.items() if cell not in (None, "")} for row in rows]


def _plain(cell: str) -> str:
    """Return a cell without the sign that `write_csv` makes a formula harmless with."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULAS) else cell


def lay_over(rows: pa.Table, names: Sequence[str], corrected: Sequence[Mapping[str, Any]], *, name: str) -> pa.Table:
    """Return rejected readings with what a file says of them in place of what they said.

    Args:
        rows: QUARANTINED.
        names: The id of each row, in their order.
        corrected: The rows of the file, as `read_rows` gives them; their ids are among `names`.
        name: Of the file, for messages.

    Raises:
        DataError: A column is not one of a reading, a row is named twice, or a cell cannot be read.
    """
    found = rows.to_pylist()
    place = {name: position for position, name in enumerate(names)}
    seen: set[str] = set()
    for entry in corrected:
        of = str(entry[ID])
        if of in seen:
            raise DataError(f"{name}: {of} stands twice: one row of the file corrects one rejected row")
        seen.add(of)
        row = found[place[of]]
        for column, cell in entry.items():
            # an export says the unit as the row has it, be it one or not
            if column in (ID, *SHOWN_COLUMNS) or (column == "unit" and cell == row["unit"]):
                continue
            reader = _READERS.get(column)
            if reader is None:
                raise DataError(f"{name}: column {column[:60]!r} is none of {', '.join(READING_COLUMNS)}")
            try:
                if isinstance(cell, str) and "\0" in cell:
                    raise ValueError("no database holds U+0000")
                row |= reader(cell)
            except ValueError as error:
                raise DataError(f"{name}: {of}: {column} {str(cell)[:60]!r}: {error}") from error
    return pa.Table.from_pylist(found, schema=QUARANTINED)


def _value(cell: Any) -> dict[str, Any]:
    if cell is None or cell == NO_VALUE:
        return {"value": None, "text_value": None}
    if isinstance(cell, bool):
        return {"value": float(cell), "text_value": None}
    try:
        number = float(cell)
    except (TypeError, ValueError):
        if not isinstance(cell, str):
            raise ValueError("write a number, a text, or null for no value") from None
        return {"value": None, "text_value": cell}
    if not math.isfinite(number):
        raise ValueError("a value is finite; write null for no value")
    # the tag says whether it is a number or a text: both are kept, and one is taken
    return {"value": number, "text_value": cell if isinstance(cell, str) else None}


def _time(cell: Any) -> dict[str, Any]:
    try:
        instant = datetime.fromisoformat(str(cell))
    except ValueError:
        raise ValueError("write a time as 2026-11-22T10:15:00Z") from None
    if instant.tzinfo is None:
        raise ValueError("a time needs its zone: 2026-11-22T10:15:00Z, or +01:00 in place of Z")
    return {"time": instant.astimezone(UTC)}


def _unit(cell: Any) -> dict[str, Any]:
    try:
        return {"unit": ucum_code(str(cell))}
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _status(cell: Any) -> dict[str, Any]:
    if cell not in STATUS_NAMES:
        raise ValueError(f"write one of {', '.join(STATUS_NAMES)}")
    return {"status": cell}


_READERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "sensor_id": lambda cell: {"sensor_id": str(cell)},
    "time": _time,
    "value": _value,
    "unit": _unit,
    "status": _status,
}


def write_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as CSV with a header; a text that a spreadsheet would take for a formula is made harmless."""
    target = io.StringIO()
    writer = csv.DictWriter(target, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(row.get(column)) for column in columns} for row in rows)
    return target.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        value = "; ".join(str(item) for item in value)
    # spreadsheets run what begins like a formula, and these texts come from devices
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
