"""What a source offers against the tags that are configured: which are new, renamed, missing. Pure.

A tag is found by its address (the keys that FoundItem.address has). One whose address is found at another path was
renamed; one whose path is found at another address was moved. Both keep their sensor_id, in which its history is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resources.core.configuration.settings import TagConfig
from resources.scada.connector import FoundItem
from resources.scada.discovery_config import Discover

Address = frozenset[tuple[str, str]]

_NAMESPACE = re.compile(r"nsu=[^;]*;|\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class KnownTag:
    """A tag as configured."""

    sensor_id: str
    address: Mapping[str, str]
    path: str | None = None
    """Where it was found last; None where that is not known."""
    is_missing: bool = False
    """It was not found the last time."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A tag whose path or address is another one now."""

    sensor_id: str
    before: str
    item: FoundItem


@dataclass(frozen=True, slots=True)
class Conflict:
    """An item that cannot become a tag, because its sensor_id is taken."""

    sensor_id: str
    path: str
    taken_by: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found out."""

    offered: int
    """Items that the source offers."""
    wanted: int
    """Those of them that `discover` asks for."""
    new: tuple[tuple[str, FoundItem], ...]
    """(sensor_id, item): wanted, and no tag yet."""
    renamed: tuple[Changed, ...]
    """Same address, another path."""
    moved: tuple[Changed, ...]
    """Same path, another address."""
    missing: tuple[str, ...]
    """sensor_ids that were not found."""
    back: tuple[str, ...]
    """sensor_ids that were missing and are found again."""
    paths: Mapping[str, str]
    """sensor_id -> path, of every tag that was found."""
    conflicts: tuple[Conflict, ...]

    @property
    def is_quiet(self) -> bool:
        """True where everything is as configured."""
        return not (self.new or self.renamed or self.moved or self.missing or self.conflicts)


def compare(
    source: str, rules: Discover, found: Sequence[FoundItem], known: Sequence[KnownTag], taken: Iterable[str] = ()
) -> Comparison:
    """Return what has changed at `source`; `taken` are sensor_ids of other sources."""
    by_address = {_key(item.address): item for item in found}
    how_often = Counter(item.path for item in found)
    by_path = {item.path: item for item in found if how_often[item.path] == 1}
    here: dict[str, FoundItem] = {}
    for tag in known:
        item = by_address.get(_key(tag.address))
        if item is not None:
            here[tag.sensor_id] = item
    used = {id(item) for item in here.values()}
    moved = []
    for tag in known:
        item = by_path.get(tag.path) if tag.sensor_id not in here and tag.path is not None else None
        if item is not None and id(item) not in used:
            here[tag.sensor_id] = item
            used.add(id(item))
            moved.append(Changed(tag.sensor_id, _words(tag.address), item))
    wanted = [item for item in found if rules.wants(item.path)]
    fresh = [item for item in wanted if id(item) not in used]
    new, conflicts = _named(source, rules, fresh, known, taken)
    was_moved = {one.sensor_id for one in moved}
    return Comparison(
        offered=len(found),
        wanted=len(wanted),
        new=new,
        renamed=tuple(
            Changed(tag.sensor_id, tag.path, here[tag.sensor_id])
            for tag in known
            if tag.sensor_id in here
            and tag.sensor_id not in was_moved
            and tag.path not in (None, here[tag.sensor_id].path)
        ),
        # one that was only known by its path is where it was
        moved=tuple(one for one in moved if one.before),
        missing=tuple(tag.sensor_id for tag in known if tag.sensor_id not in here),
        back=tuple(tag.sensor_id for tag in known if tag.is_missing and tag.sensor_id in here),
        paths={sensor_id: item.path for sensor_id, item in here.items()},
        conflicts=conflicts,
    )


def known_tags(
    tags: Sequence[TagConfig], found: Sequence[FoundItem], listed: Mapping[str, Mapping[str, str]]
) -> list[KnownTag]:
    """Return the tags of a source as `compare` wants them.

    Args:
        tags: As configured.
        found: What the source offers: says which keys are the address.
        listed: sensor_id -> line of the tag list, for those that are in it: where they were found last.
    """
    keys = sorted({key for item in found for key in item.address})
    suffixes = _by_suffix(found) if any(getattr(tag, "node_path", None) for tag in tags) else {}
    known = []
    for tag in tags:
        line = listed.get(tag.sensor_id, {})
        address = {key: _text(getattr(tag, key, None)) for key in keys}
        path = line.get("found_path")
        by_name = getattr(tag, "node_path", None)
        if path is None and by_name:
            path = suffixes.get(_NAMESPACE.sub("", by_name))
        present = {key: value for key, value in address.items() if value is not None}
        known.append(KnownTag(tag.sensor_id, present, path, is_missing=bool(line.get("gone"))))
    return known


def _named(
    source: str, rules: Discover, fresh: Sequence[FoundItem], known: Sequence[KnownTag], taken: Iterable[str]
) -> tuple[tuple[tuple[str, FoundItem], ...], tuple[Conflict, ...]]:
    names = dict.fromkeys(taken, "another source") | {tag.sensor_id: tag.path or "another tag" for tag in known}
    new, conflicts = [], []
    for item in fresh:
        sensor_id = rules.sensor_id_of(source, item.path)
        if sensor_id in names:
            conflicts.append(Conflict(sensor_id, item.path, names[sensor_id]))
            continue
        names[sensor_id] = item.path
        new.append((sensor_id, item))
    return tuple(new), tuple(conflicts)


def _by_suffix(found: Sequence[FoundItem]) -> dict[str, str]:
    """Return the end of a path, from any level on -> the path, where that is the only one with this end."""
    ends: dict[str, set[str]] = {}
    for item in found:
        levels = item.path.split("/")
        for first in range(len(levels)):
            ends.setdefault("/".join(levels[first:]), set()).add(item.path)
    return {end: next(iter(paths)) for end, paths in ends.items() if len(paths) == 1}


def _key(address: Mapping[str, str]) -> Address:
    return frozenset(address.items())


def _words(address: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in address.items())


def _text(value: object) -> str | None:
    """Return a key of a tag as FoundItem.address has it; a block that has one text says so by `text()`."""
    said = getattr(value, "text", None)
    if callable(said):
        return str(said())
    return None if value is None else str(value)
