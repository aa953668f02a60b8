"""Child lists flattened: each child becomes a record, what stands around it goes under `parent`.

A pod puts only the first children of a record into its page and says that there are more; those are then read as a
collection of their own, by the link that the pod gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from resources.core.errors import DataError
from resources.erp.declared import split_path
from resources.erp.oracle.codec import (
    Collection,
    RawObject,
    collection_of,
    object_of,
    scalar,
    with_parent,
    without_links,
)
from resources.erp.oracle.config import wire_path

FetchRest = Callable[["Level", str], Iterator[bytes]]
"""Reads all children of a record: (their level, link to them) -> the children, as sent."""

Keep = Callable[[object], bool]
"""Whether a record with this business date is wanted."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of children: its name, and what is known of its records."""

    path: str
    """Dotted path from the resource."""
    name: str
    """Its last name."""
    dated: str | None
    """Attribute that holds the business date, if it is of this level."""
    ordered_by: str | None
    """Attribute of the key, if one is of this level."""


def levels_of(explode: str, key: tuple[str, ...], business_date: str | None) -> tuple[Level, ...]:
    """Return the levels that a declaration explodes, outermost first."""
    names = split_path(explode)
    found = []
    for depth in range(1, len(names) + 1):
        path = ".".join(names[:depth])
        found.append(Level(path, names[depth - 1], _own(business_date, explode, path), _first(key, explode, path)))
    return tuple(found)


def _own(path: str | None, explode: str, child: str) -> str | None:
    if path is None:
        return None
    above, _, name = wire_path(path, explode).rpartition(".")
    return name if above == child else None


def _first(paths: tuple[str, ...], explode: str, child: str) -> str | None:
    return next(filter(None, (_own(path, explode, child) for path in paths)), None)


def flattened(record: bytes, levels: tuple[Level, ...], *, keep: Keep, rest: FetchRest) -> Iterator[bytes]:
    """Yield the children of the last level below a record whose business date is wanted.

    Raises:
        DataError: There is no child list where one is declared.
        SourceError: Children that did not fit into the page could not be read.
    """
    level, below = levels[0], levels[1:]
    members = object_of(record)
    children = _children(members, level, rest)
    members.pop("links", None)
    parent = msgspec.json.encode(members)
    for child in children:
        if level.dated is not None and not keep(scalar(object_of(child).get(level.dated))):
            continue
        if below:
            # what is above goes along as one member of the level below
            yield from flattened(with_parent(child, parent), below, keep=keep, rest=rest)
        else:
            yield with_parent(child, parent)


def _children(members: RawObject, level: Level, rest: FetchRest) -> Iterator[bytes]:
    """Return the children of a record, taking their list out of it."""
    raw = members.pop(level.name, None)
    if raw is None:
        raise DataError(f"a record without {level.name}, which must be expanded: check explode and framework_version")
    found = _listed(raw, level.name)
    if not found.has_more:
        return (without_links(bytes(item)) for item in found.items or [])
    if found.own_link is None:
        raise DataError(
            f"more {level.name} than fit into the page, without a link to them: use a framework_version of 3 or more"
        )
    return rest(level, found.own_link)


def _listed(raw: msgspec.Raw, name: str) -> Collection:
    text = bytes(raw)
    if text == b"null":
        return Collection(items=[])
    try:
        return collection_of(text)
    except DataError as error:
        raise DataError(f"{name}, which is {error}: children need a framework_version of 3 or more") from error
