"""Columns of text as ERP systems send them: cleaned, translated, joined, written as JSON. Arrow in, Arrow out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc

MOST_DISTINCT = 0.5
"""A column is read by its distinct values where at most this share of its rows is one: codes, dates, plants."""

_SAMPLE = 1000
_CONTROL = {chr(code): orjson.dumps(chr(code)).decode()[1:-1] for code in range(32)}


def over_distinct(column: pa.Array, read: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Return `read` of a column, called with its distinct values where they are few; `read` keeps their order."""
    if not few_distinct(column):
        return read(column)
    encoded = column.dictionary_encode()
    return read(encoded.dictionary).take(encoded.indices)


def few_distinct(column: pa.Array) -> bool:
    """Return whether a column repeats itself, as far as its first rows tell."""
    sample = column.slice(0, _SAMPLE)
    return len(sample) > 1 and pc.count_distinct(sample).as_py() <= MOST_DISTINCT * len(sample)


def cleaned(column: pa.Array, null_values: Sequence[str] = ()) -> pa.Array:
    """Return text without blanks around it; null where nothing is left, or a value that means there is none."""
    trimmed = pc.utf8_trim_whitespace(column)
    none = pc.is_in(trimmed, value_set=pa.array(["", *null_values], pa.string()))
    return pc.if_else(none, pa.scalar(None, pa.string()), trimmed)


def translated(column: pa.Array, values: Mapping[str, str | None]) -> pa.Array:
    """Return each value by its translation; one that has none stays as it is."""
    place = pc.index_in(column, value_set=pa.array(list(values), pa.string()))
    meant = pa.array(list(values.values()), pa.string()).take(place)
    return pc.if_else(pc.is_valid(place), meant, column)


def without_zeros(column: pa.Array) -> pa.Array:
    """Return keys of digits alone without leading zeros, which is how ABAP shows them (ALPHA); others as they are."""
    return pc.replace_substring_regex(column, r"^0+([0-9]+)$", r"\1")


def joined(columns: Sequence[pa.Array], separator: str) -> pa.Array:
    """Return the texts of several columns as one; null where one of them is missing."""
    return pc.binary_join_element_wise(*columns, separator, null_handling="emit_null")


def first_known(columns: Sequence[pa.Array]) -> pa.Array:
    """Return the first of several columns that has a value."""
    return pc.coalesce(*columns)


def constant(value: str | None, rows: int) -> pa.Array:
    """Return a column that holds the same text in every row."""
    return pa.array([value], pa.string()).take(pa.nulls(rows, pa.int32()).fill_null(0))


def looked_up(column: pa.Array, values: Mapping[str, str | None]) -> pa.Array:
    """Return what `values` says of each text; null where it says nothing."""
    place = pc.index_in(column, value_set=pa.array(list(values), pa.string()))
    return pa.array(list(values.values()), pa.string()).take(place)


def json_objects(columns: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Return one JSON object per row, all values text; a field without value is left out."""
    if not rows:
        return pa.array([], pa.string())
    members = [
        pc.binary_join_element_wise(orjson.dumps(name).decode() + ":", json_texts(column), "")
        for name, column in columns.items()
    ]
    if not members:
        return constant("{}", rows)
    # Arrow leaves a row out whose members are all null: an empty one in front keeps it
    inner = pc.binary_join_element_wise(constant("", rows), *members, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(inner, 1), "}", "")


def json_texts(column: pa.Array) -> pa.Array:
    """Return each text as a JSON string; null stays null."""
    escaped = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(escaped, "[\x00-\x1f]")).as_py():
        for sign, written in _CONTROL.items():
            escaped = pc.replace_substring(escaped, sign, written)
    return pc.binary_join_element_wise('"', escaped, '"', "")
