"""What a server says of itself in namespace 0: its operation limits, and other standard variables.

0 or a missing node means that the server names no limit. Source: OPC 10000-5, 6.3.2 and 6.3.11 (OperationLimits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadEncodingLimitsExceeded, BadResponseTooLarge, BadTooManyOperations

NAMESPACES = 2255
"""Server_NamespaceArray."""
START_TIME = 2257
"""Server_ServerStatus_StartTime."""


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """The most that one request (or one subscription) may hold; 0: the server names no limit."""

    nodes_per_read: int = 0
    nodes_per_write: int = 0
    nodes_per_browse: int = 0
    paths_per_translate: int = 0
    items_per_call: int = 0
    nodes_per_history_read: int = 0
    items_per_subscription: int = 0


_NODES = {
    "nodes_per_read": 11705,
    "nodes_per_write": 11707,
    "nodes_per_browse": 11710,
    "paths_per_translate": 11712,
    "items_per_call": 11714,
    "nodes_per_history_read": 12165,
    "items_per_subscription": 24104,
}


async def read_standards(services: Any, *identifiers: int) -> tuple[Any, ...]:
    """Return the values of standard nodes of namespace 0, None where the server does not have one."""
    nodes = [ua.NodeId.from_string(f"i={number}") for number in identifiers]
    found = await read_in_parts(services, nodes, AttributeIds.Value, len(nodes))
    return tuple(data.Value.Value if data.Value is not None else None for data in found)


async def read_standard(services: Any, identifier: int) -> Any:
    """Return the value of a standard node of namespace 0, None where the server does not have it."""
    return (await read_standards(services, identifier))[0]


async def read_limits(services: Any) -> OperationLimits:
    """Return the server's limits."""
    identifiers = [_NODES[field.name] for field in fields(OperationLimits)]
    # the first alone: it says how many of the others may be asked for together
    values = [_number(await read_standard(services, identifiers[0]))]
    most = values[0] or len(identifiers)
    for start in range(1, len(identifiers), most):
        values += map(_number, await read_standards(services, *identifiers[start : start + most]))
    return OperationLimits(*values)


async def read_in_parts(services: Any, nodes: Sequence[Any], attribute: AttributeIds, most: int) -> list[Any]:
    """Return one attribute of `nodes` as DataValues, at most `most` a request, and fewer where that is too many."""
    found: list[Any] = []
    while len(found) < len(nodes):
        try:
            found += await services.read_attributes(list(nodes[len(found) : len(found) + most]), attribute)
        except (BadTooManyOperations, BadResponseTooLarge, BadEncodingLimitsExceeded):
            if most == 1:
                raise
            most = max(1, most // 2)
    return found


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int) and value > 0 else 0
