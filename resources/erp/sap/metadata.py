"""`$metadata` of OData V4 and V2 read as entity sets, their properties with types, and where navigations lead.

Source: OASIS CSDL XML 4.01; OData 2.0 CSDL (Association, End). Namespaces differ from version to version and are not
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from resources.core.errors import DataError
from resources.transport.text.soap_fault import parse_xml

_FILTERABLE = "{http://www.sap.com/Protocols/SAPData}filterable"


@dataclass(frozen=True, slots=True)
class Navigation:
    """Where a navigation property leads."""

    target: str
    """Name of the entity type, without its namespace."""
    many: bool


@dataclass(slots=True)
class EntityType:
    """One entity type."""

    properties: dict[str, str] = field(default_factory=dict)
    """Name -> type with its facets, such as `Edm.Decimal(15,3)`."""
    navigations: dict[str, Navigation] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    """What a service has."""

    sets: dict[str, str] = field(default_factory=dict)
    """Entity set -> its type."""
    unfilterable: dict[str, frozenset[str]] = field(default_factory=dict)
    """Entity set -> the properties that it takes in no filter."""
    types: dict[str, EntityType] = field(default_factory=dict)

    def of_set(self, name: str) -> EntityType | None:
        """Return the type of an entity set, None if the service has no such set."""
        return self.types.get(self.sets.get(name, ""))

    def behind(self, entity: EntityType, navigation: str) -> EntityType | None:
        """Return the type that a navigation leads to, None if there is no such navigation."""
        way = entity.navigations.get(navigation)
        return self.types.get(way.target) if way is not None else None


def read_model(body: bytes) -> Model:
    """Return what a metadata document says.

    Raises:
        DataError: Not XML, or no metadata of OData.
    """
    root = parse_xml(body)
    ends = dict(_association_ends(root))
    model = Model()
    for element in root.iter("{*}EntityType"):
        model.types[str(element.get("Name"))] = _entity_type(element, ends)
    for element in root.iter("{*}EntityType"):
        # what a base type has, its heirs have as well
        base = model.types.get(_bare(element.get("BaseType")))
        if base is not None:
            own = model.types[str(element.get("Name"))]
            own.properties = {**base.properties, **own.properties}
            own.navigations = {**base.navigations, **own.navigations}
    model.sets = {str(one.get("Name")): _bare(one.get("EntityType")) for one in root.iter("{*}EntitySet")}
    if not model.sets:
        raise DataError("XML without an entity set: no metadata of OData")
    restricted = {**_marked(root), **_restricted(root)}
    model.unfilterable = {
        name: restricted.get(name, frozenset()) | restricted.get(kind, frozenset()) for name, kind in model.sets.items()
    }
    return model


def _marked(root: Any) -> dict[str, frozenset[str]]:
    """Return entity type -> properties that SAP's annotations of V2 (`sap:filterable="false"`) rule out."""
    found = {}
    for entity in root.iter("{*}EntityType"):
        names = [one.get("Name") for one in entity.iter("{*}Property") if one.get(_FILTERABLE) == "false"]
        if names:
            found[str(entity.get("Name"))] = frozenset(names)
    return found


def _restricted(root: Any) -> dict[str, frozenset[str]]:
    """Return entity set -> properties that FilterRestrictions of V4 (vocabulary Capabilities) rule out."""
    found: dict[str, frozenset[str]] = {}
    for about in root.iter("{*}Annotations"):
        target = str(about.get("Target", "")).rpartition("/")[2]
        for term in about.iter("{*}Annotation"):
            if str(term.get("Term", "")).endswith(".FilterRestrictions"):
                names = [path.text or "" for path in term.iter("{*}PropertyPath")]
                found[target] = found.get(target, frozenset()) | frozenset(names)
    return found


def _entity_type(element: Any, ends: dict[tuple[str, str], Navigation]) -> EntityType:
    found = EntityType()
    for one in element.iter("{*}Property"):
        found.properties[str(one.get("Name"))] = _typed(one)
    for one in element.iter("{*}NavigationProperty"):
        kind = one.get("Type")
        if kind is not None:
            many = kind.startswith("Collection(")
            way = Navigation(_bare(kind.removeprefix("Collection(").removesuffix(")")), many)
        else:
            way = ends.get((_bare(one.get("Relationship")), str(one.get("ToRole"))), Navigation("", many=True))
        found.navigations[str(one.get("Name"))] = way
    return found


def _association_ends(root: Any) -> Iterator[tuple[tuple[str, str], Navigation]]:
    """Yield (association, role) -> where it leads, of V2."""
    for association in root.iter("{*}Association"):
        for end in association.iter("{*}End"):
            if end.get("Type") is not None:
                way = Navigation(_bare(end.get("Type")), many=end.get("Multiplicity") == "*")
                yield (str(association.get("Name")), str(end.get("Role"))), way


def _typed(element: Any) -> str:
    """Return a property's type with its facets."""
    kind = str(element.get("Type"))
    facets = [element.get(name) for name in ("MaxLength", "Precision", "Scale") if element.get(name) is not None]
    return f"{kind}({','.join(facets)})" if facets else kind


def _bare(name: str | None) -> str:
    return (name or "").rpartition(".")[2]
