"""Workday's records as they are landed: lists of children one record each, and only what may be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from resources.core.errors import DataError
from resources.erp.connector import FoundProperty
from resources.erp.declared import split_path

PARENT = "parent"
"""Member of an exploded record with the fields around it."""

_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


def exploded(record: dict[str, Any], path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield one record for each child in the list at `path`; lists on the way are gone through as well.

    A child carries what the list stood in under `parent`, without the list; of lists in lists, each is a level of its
    own: `parent.parent` is what the outer one stood in. A record without such a list yields nothing.
    """
    return _exploded(record, path, None)


def _exploded(record: dict[str, Any], path: tuple[str, ...], outer: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    around = dict(record) if outer is None else {**record, PARENT: outer}
    holder = around
    for depth, name in enumerate(path):
        held = holder.pop(name, None)
        rest = path[depth + 1 :]
        if isinstance(held, dict) and rest:
            # no list: it stays a part of what is around
            holder[name] = held = dict(held)
            holder = held
            continue
        for item in held if isinstance(held, list) else [held]:
            if isinstance(item, dict):
                yield from _exploded(item, rest, around) if rest else ({**item, PARENT: around},)
        return


def exploded_properties(found: Sequence[FoundProperty], levels: Sequence[str]) -> Iterator[FoundProperty]:
    """Yield properties as a dataset reads them that explodes a list: what it stands in is under `parent`.

    Args:
        found: Properties by their paths from the record on.
        levels: Path of each list that is gone through, from the one before on; the last is the one exploded.
    """
    for one in found:
        path, depth = one.path, 0
        while depth < len(levels) and path.startswith(f"{levels[depth]}."):
            path = path.removeprefix(f"{levels[depth]}.")
            depth += 1
        yield FoundProperty("parent." * (len(levels) - depth) + path, one.type)


def picker(paths: Sequence[str]) -> Callable[[bytes], bytes]:
    """Return what reduces a record, JSON text, to the given paths; text and numbers stay as they were written."""
    tree: dict[str, Any] = {}
    for path in paths:
        branch = tree
        names = split_path(path)
        for name in names[:-1]:
            branch = branch.setdefault(name, {})
            if branch is None:
                break
        else:
            branch[names[-1]] = None
    return lambda record: _picked(record, tree)


def _picked(raw: bytes | msgspec.Raw, tree: Mapping[str, Any]) -> bytes:
    text = bytes(raw)
    opening = text.lstrip()[:1]
    try:
        if opening == b"[":
            return b"[" + b",".join(_picked(item, tree) for item in _LIST.decode(text)) + b"]"
        if opening != b"{":
            return b"null"
        members = [
            msgspec.json.encode(name) + b":" + (bytes(held) if tree[name] is None else _picked(held, tree[name]))
            for name, held in _OBJECT.decode(text).items()
            if name in tree
        ]
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"a record that is not JSON ({error})") from error
    return b"{" + b",".join(members) + b"}"
