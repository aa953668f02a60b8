"""Node ids of the configuration, resolved against the namespaces a server has now. Pure.

`nsu=<namespace URI>;s=Boiler1.SteamFlow` names the namespace by URI, because its index may change when a server
restarts; a node id without nsu is in namespace 0. Source: OPC 10000-6, 5.3.1.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncua import ua
from asyncua.ua.uaerrors import UaError


class UnknownNodeError(ValueError):
    """A node id that cannot be resolved, and why."""


def resolve(node_id: str, namespaces: Sequence[str]) -> Any:
    """Return the `ua.NodeId` of `node_id` at a server with these namespaces.

    Raises:
        UnknownNodeError: The namespace is not there, or the text is not a node id.
    """
    index, rest = 0, node_id
    if node_id.startswith("nsu="):
        uri, _, rest = node_id[4:].partition(";")
        if uri not in namespaces:
            raise UnknownNodeError(
                f"the server has no namespace {uri}: check the URI in node_id against its NamespaceArray"
            )
        index = namespaces.index(uri)
    elif node_id.startswith("ns="):
        raise UnknownNodeError("node_id names its namespace by index, which may change: write nsu=<namespace URI>;...")
    try:
        return ua.NodeId.from_string(f"ns={index};{rest}")
    except (UaError, ValueError) as error:
        raise UnknownNodeError(
            f"{node_id} is not a node id: write nsu=<namespace URI>;s=<name> (or i=, g=, b=)"
        ) from error


def node_text(node_id: Any, namespaces: Sequence[str]) -> str:
    """Return a `ua.NodeId` as text with its namespace by URI: what `resolve` reads back."""
    index = node_id.NamespaceIndex
    text = str(node_id.to_string()).removeprefix(f"ns={index};")
    if not index:
        return text
    return f"nsu={namespaces[index]};{text}" if index < len(namespaces) else f"ns={index};{text}"
