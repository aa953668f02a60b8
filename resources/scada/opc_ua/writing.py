"""Writing a node's Value: the engineering value back to the node's own type, the server's answer in plain words.

Only the value is written: many servers refuse a status or a timestamp in a write. The type must be the node's exactly.
Source: OPC 10000-4, 5.11.4 (Write); OPC 10000-3, 5.6.2 (AccessLevel, DataType); OPC 10000-6, 5.1.2 (built-in types).
"""

from __future__ import annotations

import math
from typing import Any

import structlog
from asyncua import ua as opc_ua
from asyncua.ua.attribute_ids import AttributeIds

from resources.core.errors import ProtocolError
from resources.scada.opc_ua.address_space.paths import resolve_tags
from resources.scada.opc_ua.config import OpcUaTag
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.limits import read_in_parts
from resources.scada.opc_ua.sessions.session import Session

log = structlog.get_logger(__name__)
ua: Any = opc_ua
"""As `asyncua.ua`, which does not re-export its names in the way that a type checker follows."""

_WHOLE = {"Boolean": (0, 1), "SByte": (-(2**7), 2**7 - 1), "Byte": (0, 2**8 - 1)} | {
    f"{sign}Int{bits}": (low, high)
    for bits in (16, 32, 64)
    for sign, low, high in (("", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), ("U", 0, 2**bits - 1))
}
"""Built-in type -> least and greatest value."""
_MAY_WRITE = 0b10
"""AccessLevel, bit CurrentWrite."""
_LONGEST_DESCENT = 20
_CLOSE = 1e-9
"""Relative difference from a whole number that scale and offset may leave."""

_WORDS = {
    "BadNotWritable": "the node cannot be written",
    "BadUserAccessDenied": "this user may not write the node: have the server's administrator allow it",
    "BadWriteNotSupported": "the server does not let this be written in this way",
    "BadOutOfRange": "the server finds the value out of range",
    "BadTypeMismatch": "the server wants another type",
    "BadNodeIdUnknown": "the server does not know the node: check node_id",
    "BadInvalidState": "the equipment is in a state that does not allow it",
    "BadDeviceFailure": "the device behind the server failed",
    "BadNoCommunication": "the server has no connection to its device",
    "BadOutOfService": "the node is out of service",
    "BadTimeout": "the device behind the server did not answer in time: whether it took the value is not known",
}


async def write_value(source: str, session: Session, tag: OpcUaTag, value: float | str) -> None:
    """Write an engineering value of `tag`.

    Raises:
        ProtocolError: The node cannot be found or written, the value does not fit it, or the server refused it.
    """
    about = f"source {source}: writing {tag.sensor_id} ({tag.place}) at {session.endpoint}"
    if tag.element is not None or tag.field is not None:
        raise ProtocolError(f"{about}: only whole values can be written, not a part of one", source=source)
    nodes, reasons = await resolve_tags(session.services, {0: tag}, session.namespaces)
    if reasons:
        raise ProtocolError(f"{about}: {reasons[0]}", source=source)
    try:
        kind = await _type_of(session, nodes[0])
        variant = ua.Variant(_converted(kind, tag, value), kind)
    except ValueError as error:
        raise ProtocolError(f"{about}: {error}", source=source) from error
    (status,) = await session.services.write_attributes([nodes[0]], [ua.DataValue(variant)])
    if status.value >> 30:
        said = status_words(status.value)
        words = _WORDS.get(said.partition(":")[0], "the server refused the value")
        raise ProtocolError(f"{about}: {words} ({said})", source=source)
    log.info("value_written", source=source, sensor_id=tag.sensor_id, answer=status_words(status.value).split(":")[0])


async def _type_of(session: Session, node: Any) -> Any:
    """Return the built-in type (VariantType) that a write to `node` must have.

    Raises:
        ValueError: There is no such node, it is an array, or may not be written.
    """
    services = session.services
    wanted = (AttributeIds.Value, AttributeIds.DataType, AttributeIds.ValueRank, AttributeIds.UserAccessLevel)
    present, data_type, rank, access = [(await read_in_parts(services, [node], one, 1))[0] for one in wanted]
    if data_type.StatusCode is not None and data_type.StatusCode.value >> 30:
        raise ValueError(status_words(data_type.StatusCode.value))
    if access.Value is not None and access.Value.Value is not None and not access.Value.Value & _MAY_WRITE:
        raise ValueError(f"{_WORDS['BadNotWritable']}, or not by this user")
    variant = present.Value
    if (variant is not None and variant.is_array) or (rank.Value is not None and (rank.Value.Value or -1) >= 0):
        raise ValueError("the node is an array, and only single values can be written")
    if variant is not None and variant.VariantType is not ua.VariantType.Null:
        return variant.VariantType
    return await _built_in(services, data_type.Value.Value)


async def _built_in(services: Any, data_type: Any) -> Any:
    """Return the built-in type that a data type is derived from."""
    for _ in range(_LONGEST_DESCENT):
        if data_type.NamespaceIndex == 0 and data_type.Identifier == ua.ObjectIds.Enumeration:
            return ua.VariantType.Int32
        if data_type.NamespaceIndex == 0 and data_type.Identifier in _BUILT_IN:
            return _BUILT_IN[data_type.Identifier]
        description = ua.BrowseDescription(
            NodeId=data_type,
            BrowseDirection=ua.BrowseDirection.Inverse,
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasSubtype),
            IncludeSubtypes=False,
            NodeClassMask=0,
            ResultMask=0,
        )
        parents = await services.browse(ua.BrowseParameters(NodesToBrowse=[description]))
        if not parents or not parents[0].References:
            break
        data_type = parents[0].References[0].NodeId
    raise ValueError(f"its data type ({data_type}) is none that a single value can be written to")


_BUILT_IN = {kind.value: kind for kind in ua.VariantType if 1 <= kind.value <= 12}
"""Identifier of a data type in namespace 0 -> built-in type, Boolean to String."""


def _converted(kind: Any, tag: OpcUaTag, value: float | str) -> bool | int | float | str:
    """Return an engineering value as a raw value of `kind`.

    Raises:
        ValueError: It does not fit.
    """
    if isinstance(value, str) or kind is ua.VariantType.String:
        if isinstance(value, str) and kind is ua.VariantType.String:
            return value
        raise ValueError(f"the node holds a {kind.name}, and a {type(value).__name__} was given")
    raw = (value - tag.offset) / tag.scale
    if not math.isfinite(raw):
        raise ValueError(f"{value} is no number that can be written")
    if kind in (ua.VariantType.Double, ua.VariantType.Float):
        return raw
    nearest = round(raw)
    if abs(raw - nearest) > _CLOSE * max(1.0, abs(raw)):
        raise ValueError(f"the node holds a {kind.name}, and {raw:g} is no whole number")
    if kind is ua.VariantType.Boolean and nearest in (0, 1):
        return bool(nearest)
    if kind.name not in _WHOLE:
        raise ValueError(f"the node holds a {kind.name}, which cannot be written")
    low, high = _WHOLE[kind.name]
    if not low <= nearest <= high:
        raise ValueError(f"the node holds a {kind.name}: {low} to {high}, not {nearest}")
    return nearest
