"""The CSDL document of `$metadata`: which sets there are, and which properties their entities have. Pure.

Finance & Operations sends tens of megabytes: the document is read element by element, never as a tree.
Source: OASIS OData CSDL XML 4.01, 6 (entity types), 13 (entity sets).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from lxml import etree

from resources.core.errors import DataError

_EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
_READ = tuple(_EDM + name for name in ("EntityType", "EntitySet"))


@dataclass(frozen=True, slots=True)
class EntityType:
    """An entity's own properties and navigation properties, name -> type."""

    properties: dict[str, str] = field(default_factory=dict)
    navigation: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """What a service has."""

    sets: dict[str, str]
    """Entity set -> full name of its type."""
    types: dict[str, EntityType]
    """Full name of a type -> what it has."""

    def of_set(self, name: str) -> EntityType | None:
        """Return the type of a set's entities, None if there is no such set."""
        return self.types.get(self.sets[name]) if name in self.sets else None

    def of_navigation(self, entity: EntityType, name: str) -> EntityType | None:
        """Return the type that a navigation property leads to, None if there is no such property."""
        kind = entity.navigation.get(name)
        return self.types.get(kind.removeprefix("Collection(").removesuffix(")")) if kind is not None else None


def read_model(body: bytes) -> Model:
    """Return what a CSDL document declares.

    Raises:
        DataError: It is no such document, or is cut off.
    """
    sets: dict[str, str] = {}
    types: dict[str, EntityType] = {}
    try:
        # no entities, no network: the document is foreign
        walk = etree.iterparse(
            BytesIO(body), events=("end",), tag=_READ, resolve_entities=False, no_network=True, huge_tree=True
        )
        for _, element in walk:
            if element.tag.endswith("EntitySet"):
                sets[str(element.get("Name"))] = str(element.get("EntityType"))
            else:
                types[f"{element.getparent().get('Namespace')}.{element.get('Name')}"] = _entity(element)
            element.clear()
    except etree.XMLSyntaxError as error:
        raise DataError(f"no CSDL document of {len(body)} bytes ({str(error)[:120]}); it may be cut off") from error
    if not sets:
        raise DataError(f"a document of {len(body)} bytes without entity sets")
    return Model(sets, types)


def _entity(element: etree._Element) -> EntityType:
    def named(kind: str) -> dict[str, str]:
        return {str(child.get("Name")): str(child.get("Type")) for child in element.iterfind(_EDM + kind)}

    return EntityType(named("Property"), named("NavigationProperty"))
