"""The standard nodes of OPC UA servers in tests: filled in by asyncua once a process, then copied.

Filling them in takes two thirds of a second of processor time for each of hundreds of servers; the copies are equal.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.server.internal_server import InternalServer

_fill_in = InternalServer.load_standard_address_space
_filled_in: dict[ua.NodeId, NodeData] = {}


def copy_standard_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every server of this process start with a copy of the nodes that the first one was given."""

    async def load(server: InternalServer, shelf_file: Path | None = None) -> None:
        if shelf_file is not None:
            await _fill_in(server, shelf_file)
            return
        if not _filled_in:
            await _fill_in(server)
            _filled_in.update(_copied(server.aspace._nodes))
            return
        server.aspace._nodes = _copied(_filled_in)

    monkeypatch.setattr(InternalServer, "load_standard_address_space", load)


def _copied(nodes: dict[ua.NodeId, NodeData]) -> dict[ua.NodeId, NodeData]:
    return {node_id: _copy(node) for node_id, node in nodes.items()}


def _copy(node: NodeData) -> NodeData:
    copy = NodeData(node.nodeid)
    for name, attribute in node.attributes.items():
        held = copy.attributes[name] = AttributeValue(attribute.value)
        held.value_callback, held.value_setter = attribute.value_callback, attribute.value_setter
    # values and references are replaced as a whole, never changed in place
    copy.references, copy.call = list(node.references), node.call
    return copy
