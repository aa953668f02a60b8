"""What values of a data type are: a number, a text, a structure of fields; asked of the server once for each type.

asyncua can load a server's types, too, but keeps them for the whole process: two devices that number different types
alike would decode each other's. Source: OPC 10000-3, 8.49 (StructureDefinition); OPC 10000-6, 5.1.2 (built-in types).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from asyncua import ua as opc_ua
from asyncua.ua.attribute_ids import AttributeIds

from resources.scada.opc_ua.limits import read_in_parts

ua: Any = opc_ua

Kind = Literal["number", "text", "structure", "other"]
Layout = Literal["plain", "optional", "union"]

_BUILT_IN = range(1, 26)
_ENUMERATION, _STRUCTURE, _ABSTRACT_NUMBERS = 29, 22, (26, 27, 28)
_INT32, _VARIANT = 6, 24
_TEXTS = (12, 21)
"""String, LocalizedText."""
_NODES_PER_CALL = 100
_LAYOUTS: dict[int, Layout] = {0: "plain", 1: "optional", 2: "union"}


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of a structure."""

    name: str
    type_id: Any
    rank: int
    """-1: scalar; 1 and more: dimensions of an array."""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of a server."""

    name: str
    kind: Kind
    built_in: int = 0
    """The built-in type that its values are encoded as; 0: none that we know."""
    fields: tuple[FieldType, ...] = ()
    layout: Layout | None = None
    """How its fields are encoded; None: it is no structure, or the server does not tell its fields."""
    encoding: Any = None
    """Node id that stands before its values in binary."""


class DataTypes:
    """The data types of a session's server, as far as they have been asked for."""

    def __init__(self, services: Any) -> None:
        """Ask by `services`, asyncua's of an active session."""
        self._services = services
        self._known: dict[Any, DataType] = {}
        self.by_encoding: dict[Any, DataType] = {}
        """Binary encoding id -> structure."""

    def __getitem__(self, type_id: Any) -> DataType:
        """Return a type that was learned."""
        return self._known.get(type_id, DataType("unknown", "other"))

    async def learn(self, type_ids: Iterable[Any]) -> None:
        """Ask for the types that are not known yet, and for those of their fields."""
        wanted = [type_id for type_id in dict.fromkeys(type_ids) if type_id not in self._known]
        while wanted:
            names = await read_in_parts(self._services, wanted, AttributeIds.BrowseName, _NODES_PER_CALL)
            definitions = await read_in_parts(self._services, wanted, AttributeIds.DataTypeDefinition, _NODES_PER_CALL)
            for type_id, name, definition in zip(wanted, names, definitions, strict=True):
                told = _value(name)
                found = _data_type(told.Name if told is not None else "unknown", await self._root(type_id), definition)
                self._known[type_id] = found
                if found.encoding is not None:
                    self.by_encoding[found.encoding] = found
            inside = [field.type_id for type_id in wanted for field in self._known[type_id].fields]
            wanted = [type_id for type_id in dict.fromkeys(inside) if type_id not in self._known]

    async def _root(self, type_id: Any) -> int:
        """Return the built-in or abstract type of namespace 0 that a type descends from, 0 if there is none."""
        for _ in range(32):
            known = (*_BUILT_IN, *_ABSTRACT_NUMBERS, _ENUMERATION)
            if type_id.NamespaceIndex == 0 and type_id.Identifier in known:
                return int(type_id.Identifier)
            parent = await self._supertype(type_id)
            if parent is None:
                return 0
            type_id = parent
        return 0

    async def _supertype(self, type_id: Any) -> Any:
        asked = ua.BrowseDescription(
            NodeId=type_id,
            BrowseDirection=ua.BrowseDirection.Inverse,
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasSubtype),
            IncludeSubtypes=True,
            NodeClassMask=ua.NodeClass.DataType,
            ResultMask=ua.BrowseResultMask.All,
        )
        parameters = ua.BrowseParameters(
            View=ua.ViewDescription(), RequestedMaxReferencesPerNode=1, NodesToBrowse=[asked]
        )
        (result,) = await self._services.browse(parameters)
        for reference in result.References or ():
            target = reference.NodeId
            return ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
        return None


def _value(data: Any) -> Any:
    return data.Value.Value if data.Value is not None else None


def _data_type(name: str, root: int, told: Any) -> DataType:
    if root == _STRUCTURE:
        definition = _value(told)
        if not isinstance(definition, ua.StructureDefinition):
            return DataType(name, "structure", _STRUCTURE)
        fields = tuple(FieldType(f.Name, f.DataType, f.ValueRank, bool(f.IsOptional)) for f in definition.Fields or ())
        layout = _LAYOUTS.get(int(definition.StructureType))
        return DataType(name, "structure", _STRUCTURE, fields, layout, definition.DefaultEncodingId)
    if root in _TEXTS:
        return DataType(name, "text", root)
    if root == _ENUMERATION:
        return DataType(name, "number", _INT32)
    if root in _ABSTRACT_NUMBERS:
        return DataType(name, "number", _VARIANT)
    return DataType(name, "number" if 1 <= root <= 11 else "other", root)
