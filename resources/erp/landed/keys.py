"""The values at some paths of many records at once, read out of their JSON text by C code: keys, above all."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from resources.erp.declared import split_path
from resources.transport.text.json_text import dump_json, parse_json

Values = tuple[str | int | None, ...]
"""The values at the paths, in their order; None where there is none."""


class KeyReader:
    """Reads the values at some paths out of records."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Read the values at `paths`."""
        self._paths = [split_path(path) for path in paths]
        tree: dict[str, Any] = {}
        for path in self._paths:
            _grow(tree, path)
        model, fields = _struct(tree)
        self._ways = [_way(path, fields) for path in self._paths]
        self._decode = msgspec.json.Decoder(list[model]).decode  # type: ignore[valid-type]  # made while running

    def read(self, text: bytes, records: Sequence[bytes]) -> list[Values]:
        """Return the values of each record; `text` is the JSON list of `records`.

        Raises:
            DataError: A record is no JSON.
        """
        try:
            found = self._decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # neither text nor whole number, or within a list
            return [self.of(parse_json(record)) for record in records]
        if len(self._ways) == 1 and len(self._ways[0]) == 1:
            get = attrgetter(self._ways[0][0])
            return [(get(record),) for record in found]
        return [tuple(_follow(record, way) for way in self._ways) for record in found]

    def of(self, record: Any) -> Values:
        """Return the values of a record that was parsed."""
        return tuple(_plain(_at(record, path)) for path in self._paths)


def _grow(tree: dict[str, Any], path: tuple[str, ...]) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree.setdefault(path[-1], {})


def _struct(tree: dict[str, Any]) -> tuple[Any, dict[str, tuple[str, Any]]]:
    """Return the type of records that have the members of `tree`, and by name its field and the fields below it."""
    fields, below = [], {}
    for number, (name, members) in enumerate(tree.items()):
        kind, inner = _struct(members) if members else (str | int, {})
        # names of the wire are not always names of Python
        fields.append((f"f{number}", kind | None, None))
        below[name] = (f"f{number}", inner)
    rename = {field: name for name, (field, _) in below.items()}
    return msgspec.defstruct("Members", fields, rename=rename, gc=False), below


def _way(path: tuple[str, ...], fields: dict[str, tuple[str, Any]]) -> tuple[str, ...]:
    way = []
    for name in path:
        field, fields = fields[name]
        way.append(field)
    return tuple(way)


def _follow(record: Any, way: tuple[str, ...]) -> Any:
    for field in way:
        if record is None:
            return None
        record = getattr(record, field)
    return record


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if isinstance(value, list) and name.isdecimal():
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def _plain(value: Any) -> str | int | None:
    if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    # as PostgreSQL shows it: the digits as they are, true and false, JSON
    return str(value) if isinstance(value, Decimal) else dump_json(value).decode()
