"""From tags to node ids at the server we are connected to: by id, or by a path of browse names (node_path).

`nsu=<namespace URI>;Boiler1/{<other URI>}Drum/Level` is read from the Objects folder down, along every kind of
hierarchical reference. Source: OPC 10000-4, 5.9.4 (TranslateBrowsePathsToNodeIds); OPC 10000-4, 7.30 (RelativePath).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncua import ua as opc_ua
from asyncua.ua.uaerrors import BadTooManyOperations

from resources.scada.opc_ua.data_config import NodeTag
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.limits import read_standard
from resources.scada.opc_ua.wire.nodes import UnknownNodeError, resolve

ua: Any = opc_ua
"""asyncua's generated types accept plain Python values, which their annotations do not say."""

_MOST_PATHS = 11712
"""MaxNodesPerTranslateBrowsePathsToNodeIds."""
_PATHS_PER_CALL = 500
_NAME = re.compile(r"(?:\{(?P<uri>[^}]*)\})?(?P<name>(?:&.|[^/&])+)")
OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)


def parse_path(node_path: str, namespaces: Sequence[str]) -> list[Any]:
    """Return the browse names (`ua.QualifiedName`) of a path at a server with these namespaces.

    Raises:
        UnknownNodeError: A namespace is not there, or the text is not a path.
    """
    index, rest = 0, node_path
    if node_path.startswith("nsu="):
        uri, _, rest = node_path[4:].partition(";")
        index = _index(uri, namespaces)
    names, position = [], 0
    while position < len(rest):
        match = _NAME.match(rest, position)
        if match is None or (match.end() < len(rest) and rest[match.end()] != "/"):
            break
        own = index if match["uri"] is None else _index(match["uri"], namespaces)
        names.append(ua.QualifiedName(re.sub("&(.)", r"\1", match["name"]), own))
        position = match.end() + 1
    if not names or position != len(rest) + 1:
        raise UnknownNodeError(
            f"{node_path} is not a path: write nsu=<namespace URI>;<name>/<name>, &/ for a / in a name"
        )
    return names


def path_text(names: Iterable[Any], namespaces: Sequence[str]) -> str:
    """Return the `node_path` of browse names: what `parse_path` reads back."""
    found = list(names)
    main = found[-1].NamespaceIndex
    parts = []
    for name in found:
        own = "" if name.NamespaceIndex == main else f"{{{namespaces[name.NamespaceIndex]}}}"
        parts.append(own + escaped(name.Name))
    return (f"nsu={namespaces[main]};" if main else "") + "/".join(parts)


def escaped(name: str) -> str:
    """Return a browse name as it stands in a path."""
    return re.sub(r"([/&{}])", r"&\1", name)


def _index(uri: str, namespaces: Sequence[str]) -> int:
    if uri not in namespaces:
        raise UnknownNodeError(
            f"the server has no namespace {uri}: check the URI in node_path against its NamespaceArray"
        )
    return namespaces.index(uri)


async def resolve_tags(
    session: Any, tags: Mapping[int, NodeTag], namespaces: Sequence[str]
) -> tuple[dict[int, Any], dict[int, str]]:
    """Return key -> node id of the tags whose node is there, and key -> reason of the others.

    Only paths are asked for at the server; whether a node that is named by its id exists shows when it is read.
    """
    nodes, reasons, paths = dict[int, Any](), dict[int, str](), dict[int, list[Any]]()
    for key, tag in tags.items():
        try:
            if tag.node_id is not None:
                nodes[key] = resolve(tag.node_id, namespaces)
            else:
                paths[key] = parse_path(tag.node_path or "", namespaces)
        except UnknownNodeError as error:
            reasons[key] = str(error)
    if paths:
        await _translate(session, paths, nodes, reasons)
    return nodes, reasons


async def _translate(
    session: Any, paths: Mapping[int, list[Any]], nodes: dict[int, Any], reasons: dict[int, str]
) -> None:
    waiting = list(paths)
    chunk = min(_PATHS_PER_CALL, await read_standard(session, _MOST_PATHS) or _PATHS_PER_CALL)
    while waiting:
        some = waiting[:chunk]
        try:
            results = await session.translate_browsepaths_to_nodeids([_browse_path(paths[key]) for key in some])
        except BadTooManyOperations:
            if chunk == 1:
                raise
            chunk = max(1, chunk // 2)
            continue
        for key, result in zip(some, results, strict=True):
            # a target that is not reached to the end lies in another server
            found = [t.TargetId for t in result.Targets or () if t.RemainingPathIndex == 0xFFFF_FFFF]
            if result.StatusCode.value >> 30 or not found:
                reasons[key] = f"no node at this path: {status_words(result.StatusCode.value)}"
            elif len(found) > 1:
                reasons[key] = f"the path leads to {len(found)} nodes: give node_id in its place"
            else:
                nodes[key] = ua.NodeId(found[0].Identifier, found[0].NamespaceIndex, found[0].NodeIdType)
        waiting = waiting[chunk:]


def _browse_path(names: Sequence[Any]) -> Any:
    path = ua.RelativePath()
    path.Elements = [
        ua.RelativePathElement(ReferenceTypeId=HIERARCHICAL, IsInverse=False, IncludeSubtypes=True, TargetName=name)
        for name in names
    ]
    return ua.BrowsePath(StartingNode=OBJECTS, RelativePath=path)
