"""Field rules: from the properties of a record to the text of a field. Arrow in, Arrow out; types come later."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.values.texts import (
    cleaned,
    constant,
    first_known,
    joined,
    over_distinct,
    translated,
    without_zeros,
)
from resources.core.errors import ConfigError
from resources.erp.declared import Condition, FieldRule

_HELD = "\ue000"
"""Stands for a delimiter that belongs to its segment while a text is cut: a character for private use."""


class RuleReader:
    """Reads rules on the columns of landed records; each column is cleaned once."""

    def __init__(self, columns: pa.Table, settings: Mapping[str, str]) -> None:
        """Read `columns`; `settings` are what a rule may take of the system's block."""
        self._columns = columns
        self._settings = settings
        self._cleaned: dict[str, pa.Array] = {}

    @property
    def rows(self) -> int:
        """How many records there are."""
        return int(self._columns.num_rows)

    def property(self, path: str) -> pa.Array:
        """Return a property's texts, without blanks around them; null where there is none."""
        if path not in self._cleaned:
            self._cleaned[path] = over_distinct(one_chunk(self._columns.column(path)), cleaned)
        return self._cleaned[path]

    def text(self, rule: FieldRule) -> pa.Array:
        """Return the text of a rule that has one source: all but date with time, and debit with credit."""
        return self._modified(self._source(rule), rule)

    def part(self, path: str, rule: FieldRule) -> pa.Array:
        """Return one property of a rule that has several, with what the rule says of values that are none."""
        return cleaned(self.property(path), rule.null_values) if rule.null_values else self.property(path)

    def holds(self, condition: Condition) -> pa.Array:
        """Return where a condition is true."""
        return pc.is_in(self.property(condition.path), value_set=pa.array(condition.values, pa.string()))

    def _source(self, rule: FieldRule) -> pa.Array:
        if rule.paths:
            return first_known([self.part(path, rule) for path in rule.paths])
        if rule.join:
            return joined([self.part(path, rule) for path in rule.join], rule.separator)
        if rule.setting is not None:
            if rule.setting not in self._settings:
                raise ConfigError(
                    f"a field rule takes the setting {rule.setting!r}, which the system's block does not have: write "
                    f"one of {', '.join(sorted(self._settings)) or 'none'}"
                )
            return constant(self._settings[rule.setting], self.rows)
        if rule.constant is not None:
            return constant(_literal(rule.constant), self.rows)
        path = rule.path or rule.date
        assert path is not None, "a rule has a source"
        return self.part(path, rule)

    def _modified(self, texts: pa.Array, rule: FieldRule) -> pa.Array:
        if rule.segment is not None:
            texts = self._segment(texts, rule)
        if rule.values:
            texts = translated(texts, rule.values)
        if rule.strip_zeros:
            texts = without_zeros(texts)
        return texts if rule.default is None else texts.fill_null(rule.default)

    @staticmethod
    def _segment(texts: pa.Array, rule: FieldRule) -> pa.Array:
        place = rule.segment
        if not isinstance(place, int):
            raise ConfigError(
                f"a field rule takes the segment {place!r}, and this kind of system gives segments no names: write its "
                "number from 1"
            )
        return over_distinct(texts, lambda column: segment(column, place, rule.delimiter))


def segment(texts: pa.Array, place: int, delimiter: str) -> pa.Array:
    """Return the value at a place, from 1, of texts that join several; null where it is empty or there are fewer."""
    held = pc.replace_substring(texts, "\\" + delimiter, _HELD)
    # as many delimiters behind as there must be: a place that is not there is empty
    padded = pc.binary_join_element_wise(held, constant(delimiter * place, len(texts)), "")
    found = pc.list_element(pc.split_pattern(padded, delimiter), place - 1)
    return cleaned(pc.replace_substring(found, _HELD, delimiter))


def sources(rule: FieldRule) -> str:
    """Return what a rule reads, for a message."""
    return " or ".join(rule.paths) or " and ".join(rule.properties[: max(1, len(rule.join))]) or "the rule's value"


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array of text."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # of no chunk at all
        array = pa.array([], column.type)
    return array.cast(pa.string())


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
