"""Documents as JSON: OData V4 as they stand, OData V2 with its dates, decimals as text, `__metadata`, `results`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import quote

from resources.demo_plant.erp.sap.books.book import Document
from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.odata.schema import EntityType, Kind, Service

Keep = Callable[[Document], bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """What of an entity is shown: the properties selected (all if empty) and the navigations expanded."""

    select: frozenset[str] = frozenset()
    expand: Mapping[str, Shape] = field(default_factory=dict)
    keep: Keep | None = None
    """Which children of a navigation are shown; all if absent (a filter inside `$expand`, V4 alone)."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """How one answer is written."""

    service: Service
    origin: str
    """Scheme and host, for the addresses in V2's `__metadata`."""
    messages: tuple[str, ...] = ()
    """Texts put into `SAP__Messages` of each V4 entity."""
    ieee754: bool = False
    """V4: decimals as text, as a client may ask for by `IEEE754Compatible=true`."""

    def entity(self, document: Document, entity: EntityType, shape: Shape) -> Document:
        """Return one entity as it stands in the body."""
        names = [name for name in entity.properties if not shape.select or name in shape.select]
        shown: Document = {}
        if self.service.version == 2:
            shown["__metadata"] = {
                "id": self._address(document, entity),
                "uri": self._address(document, entity),
                "type": f"{self.service.name}.{entity.name}",
            }
        for name in names:
            if name in document:
                shown[name] = self._value(document[name], entity.properties[name])
        for name, way in entity.navigations.items():
            if name in shape.expand:
                inner = shape.expand[name]
                target = self.service.type_of(way.target)
                children = [
                    self.entity(child, target, inner)
                    for child in document[way.member]
                    if inner.keep is None or inner.keep(child)
                ]
                shown[name] = {"results": children} if self.service.version == 2 else children
            elif self.service.version == 2 and not shape.select:
                shown[name] = {"__deferred": {"uri": f"{self._address(document, entity)}/{name}"}}
        if self.messages and self.service.version == 4:
            shown["SAP__Messages"] = [
                {"code": "GL/001", "message": text, "numericSeverity": 3} for text in self.messages
            ]
        return shown

    def _address(self, document: Document, entity: EntityType) -> str:
        name = next(name for name, held in self.service.sets.items() if held.type is entity)
        keys = ",".join(f"{key}={_key_literal(document.get(key), entity.properties[key])}" for key in entity.key)
        # a single key is written without its name
        keys = keys.partition("=")[2] if len(entity.key) == 1 else keys
        return f"{self.origin}{self.service.root}/{name}({keys})"

    def _value(self, value: Any, kind: Kind) -> Any:
        if self.service.version == 4:
            return str(value) if self.ieee754 and kind == "Decimal" and value is not None else value
        return as_v2(value, kind)


def as_v2(value: Any, kind: Kind) -> Any:
    """Return a value as OData V2 writes it; what is not of its type stays as it is."""
    if not isinstance(value, str):
        return value if value is None or isinstance(value, bool) else str(value)
    try:
        if kind == "Date":
            return f"/Date({_milliseconds(datetime.combine(date.fromisoformat(value), time(), UTC))})/"
        if kind == "DateTimeOffset":
            return f"/Date({_milliseconds(datetime.fromisoformat(value))}+0000)/"
        if kind == "TimeOfDay":
            at = time.fromisoformat(value)
            return f"PT{at.hour:02d}H{at.minute:02d}M{at.second:02d}S"
    except ValueError:
        return value
    return value


def _milliseconds(instant: datetime) -> int:
    return round((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _key_literal(value: Any, kind: Kind) -> str:
    if kind == "Date":
        return quote(f"datetime'{value}T00:00:00'", safe="")
    return quote("'" + str(value).replace("'", "''") + "'", safe="'")


def shape_of(select: str, expand: Mapping[str, Shape], entity: EntityType) -> Shape:
    """Return the shape that `$select` names.

    Raises:
        BadQueryError: A property that does not exist.
    """
    names = [name.strip() for name in select.split(",") if name.strip()]
    for name in names:
        if name.partition("/")[0] not in (*entity.properties, *entity.navigations, "*"):
            raise BadQueryError(f"Property '{name}' does not exist in type '{entity.name}'")
    own = frozenset() if "*" in names else frozenset(name for name in names if name in entity.properties)
    return Shape(own, expand)
