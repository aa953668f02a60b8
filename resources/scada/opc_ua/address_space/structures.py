"""Structures as mappings of their fields: decoded by what the server says of their types.

Encodings (little-endian), fields one after the other: a plain structure as it is; one with optional fields begins with
a UInt32 whose bits say which of them follow; a union with a UInt32 that numbers the one that follows, 0 for none.
Example, plain, Speed Double 1480 and Running Boolean true: `00 00 00 00 00 20 97 40 | 01`.
Source: OPC 10000-6, 5.2.6 (Structures), 5.2.7 (with optional fields), 5.2.8 (Unions), 5.2.5 (arrays).
"""

from __future__ import annotations

import struct
from typing import Any

from asyncua import ua as opc_ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua.ua_binary import extensionobject_from_binary, unpack_uatype, variant_from_binary
from asyncua.ua.uaerrors import UaError

from resources.scada.opc_ua.address_space.data_types import DataType, DataTypes, FieldType

ua: Any = opc_ua

_STRUCTURE, _VARIANT = 22, 24
_MOST_ELEMENTS = 10_000_000


class UndecodableError(ValueError):
    """A structure that cannot be taken apart, and why."""


def decode_structure(value: Any, types: DataTypes) -> Any:
    """Return a structure as a mapping, name of field -> value; what asyncua has decoded is returned as it is.

    Raises:
        UndecodableError: The server does not tell how it is made, or its bytes are not as it says.
    """
    if not isinstance(value, ua.ExtensionObject):
        return value
    kind = types.by_encoding.get(value.TypeId)
    if kind is None or kind.layout is None:
        raise UndecodableError(
            f"the server does not tell the fields of this structure (encoding {value.TypeId.to_string()}): it has no "
            "DataTypeDefinition"
        )
    try:
        return _structure(kind, Buffer(value.Body or b""), types)
    except (struct.error, IndexError, UaError, NotEnoughData, ValueError) as error:
        raise UndecodableError(f"the structure {kind.name} is not as the server says: {error}") from error


def _structure(kind: DataType, buffer: Any, types: DataTypes) -> dict[str, Any]:
    if kind.layout == "union":
        number = _uint32(buffer)
        chosen = kind.fields[number - 1 : number] if number else ()
        return {field.name: _field(field, buffer, types) for field in chosen}
    mask = _uint32(buffer) if kind.layout == "optional" else 0
    found, bit = dict[str, Any](), 0
    for field in kind.fields:
        if field.is_optional and kind.layout == "optional":
            bit, there = bit + 1, mask >> bit & 1
            if not there:
                continue
        found[field.name] = _field(field, buffer, types)
    return found


def _field(field: FieldType, buffer: Any, types: DataTypes) -> Any:
    if field.rank < 1:
        return _scalar(types[field.type_id], buffer, types)
    if field.rank > 1:
        raise ValueError(f"field {field.name} is an array of {field.rank} dimensions")
    count = int.from_bytes(buffer.read(4), "little", signed=True)
    if count > _MOST_ELEMENTS:
        raise ValueError(f"field {field.name} has {count} elements")
    return [_scalar(types[field.type_id], buffer, types) for _ in range(max(0, count))]


def _scalar(kind: DataType, buffer: Any, types: DataTypes) -> Any:
    if kind.built_in == _STRUCTURE:
        if kind.layout is not None:
            return _structure(kind, buffer, types)
        return decode_structure(extensionobject_from_binary(buffer), types)
    if kind.built_in == _VARIANT:
        return variant_from_binary(buffer).Value
    if not kind.built_in:
        raise ValueError(f"type {kind.name} is unknown")
    return unpack_uatype(ua.VariantType(kind.built_in), buffer)


def _uint32(buffer: Any) -> int:
    return int.from_bytes(buffer.read(4), "little")
