"""How the services of a fake SAP are declared: entity types with typed properties, entity sets over books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from resources.demo_plant.erp.sap.books.book import Document

Kind = Literal["String", "Date", "TimeOfDay", "DateTimeOffset", "Decimal", "Double", "Boolean", "Int32"]
"""Primitive types as OData V4 calls them, without `Edm.`."""

Records = Callable[[date | None, date | None], list[Document]]
"""Gives the documents from a day to a day, both included."""


@dataclass(frozen=True, slots=True)
class Navigation:
    """The way from an entity to its children: the navigation's name, their type, their name in the document."""

    target: str
    member: str


@dataclass(frozen=True, slots=True)
class EntityType:
    """One type: its key, its properties with their types, its navigations."""

    name: str
    key: tuple[str, ...]
    properties: Mapping[str, Kind]
    navigations: Mapping[str, Navigation] = field(default_factory=dict)
    unfilterable: frozenset[str] = frozenset()
    """Properties that the service does not take in a filter (Capabilities.FilterRestrictions)."""


@dataclass(frozen=True, slots=True)
class EntitySet:
    """One set: its type, where its documents come from, and by which property they are dated."""

    type: EntityType
    records: Records
    day: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its technical name, its root, its protocol and its sets."""

    name: str
    root: str
    version: Literal[2, 4]
    sets: Mapping[str, EntitySet]
    pages: bool = True
    """False: the service never pages by itself, as many A_* services of OData V2; `$top` and `$skip` are the
    client's. True: it links to the next page."""

    def type_of(self, name: str) -> EntityType:
        """Return the entity type `name`."""
        return next(entity_set.type for entity_set in self.sets.values() if entity_set.type.name == name)


_KINDS: dict[str, Kind] = {
    "text": "String",
    "dates": "Date",
    "times": "TimeOfDay",
    "instants": "DateTimeOffset",
    "decimals": "Decimal",
    "doubles": "Double",
    "booleans": "Boolean",
}


def properties(**names: str) -> dict[str, Kind]:
    """Return property -> type from lists of names: `text`, `dates`, `times`, `instants`, `decimals`, ..."""
    return {name: _KINDS[group] for group, listed in names.items() for name in listed.split()}


def children(records: Records, *members: str) -> Records:
    """Return the children of what `records` gives, down the path of `members`."""

    def of(first: date | None, last: date | None) -> list[Document]:
        found = records(first, last)
        for member in members:
            found = [child for parent in found for child in parent[member]]
        return found

    return of
