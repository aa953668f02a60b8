"""What values of a data type are: a number, a text, a structure of fields; asked of the server once for each type.

Source: OPC 10000-3, 8.49 (StructureDefinition), 8.50 (EnumDefinition); OPC 10000-6, 5.1.2 (built-in types).
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

_NUMBERS = frozenset(range(1, 12)) | {26, 27, 28, 29, 50}
"""Boolean, SByte ... Double, Number, Integer, UInteger, Enumeration, Decimal."""
_TEXTS = frozenset({12, 21})
"""String, LocalizedText."""
_STRUCTURE = 22
_NODES_PER_CALL = 100


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of a structure."""

    name: str
    type_id: Any
    rank: int
    """-1: scalar; 1 and more: dimensions of an array."""


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of a server."""

    name: str
    kind: Kind
    fields: tuple[FieldType, ...] = ()


class DataTypes:
    """The data types of a session's server, as far as they have been asked for."""

    def __init__(self, services: Any) -> None:
        """Ask by `services`, asyncua's of an active session."""
        self._services = services
        self._known: dict[Any, DataType] = {}

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
                kind = await self._kind(type_id)
                fields = _fields(_value(definition)) if kind == "structure" else ()
                told = _value(name)
                self._known[type_id] = DataType(told.Name if told is not None else "unknown", kind, fields)
            inside = [field.type_id for type_id in wanted for field in self._known[type_id].fields]
            wanted = [type_id for type_id in dict.fromkeys(inside) if type_id not in self._known]

    async def _kind(self, type_id: Any) -> Kind:
        """Return what a type is by its nearest ancestor in namespace 0 that tells."""
        for _ in range(32):
            if type_id.NamespaceIndex == 0:
                number = type_id.Identifier
                if number in _NUMBERS:
                    return "number"
                if number in _TEXTS:
                    return "text"
                if number == _STRUCTURE:
                    return "structure"
            parent = await self._supertype(type_id)
            if parent is None:
                return "other"
            type_id = parent
        return "other"

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


def _fields(definition: Any) -> tuple[FieldType, ...]:
    if not isinstance(definition, ua.StructureDefinition):
        return ()
    return tuple(FieldType(field.Name, field.DataType, field.ValueRank) for field in definition.Fields or ())
