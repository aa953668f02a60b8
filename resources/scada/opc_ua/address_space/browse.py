"""Walking a server's address space from the Objects folder down, many nodes in one request.

Servers end a long answer with a continuation point, allow so many of them, and so many nodes in a request: all of that
is followed. A node that is reached twice is walked once, so circles end.
Source: OPC 10000-4, 5.9.2 (Browse), 5.9.3 (BrowseNext).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from asyncua import ua as opc_ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadEncodingLimitsExceeded, BadResponseTooLarge, BadTooManyOperations

from resources.scada.opc_ua.address_space.paths import HIERARCHICAL, OBJECTS
from resources.scada.opc_ua.errors import status_words

log = structlog.get_logger(__name__)

ua: Any = opc_ua

NODES_PER_CALL = 200
"""Most nodes browsed by one request, where the server names no lower limit."""

DEEPEST = 64
"""Levels below the Objects folder that are walked: deeper ones are a server that makes up nodes as it is asked."""

_SERVER = ua.NodeId(ua.ObjectIds.Server)
_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_REFERENCES_PER_NODE = 1000
_REFUSALS = 9
"""How often a node is tried again for want of continuation points: each time fewer nodes are asked for at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node that was reached, and how."""

    node: Any
    names: tuple[Any, ...]
    """Browse names (`ua.QualifiedName`) from below the Objects folder down to it."""
    parent: Any
    is_variable: bool
    is_property: bool

    @property
    def path(self) -> str:
        """The names alone, joined by `/`."""
        return "/".join(name.Name for name in self.names)


@dataclass(slots=True)
class _Open:
    """A node whose children are being read."""

    place: Place
    continuation: bytes = b""
    refusals: int = 0


class Walk:
    """One walk over the address space of a session's server.

    Args:
        source: Name of the source, for messages.
        services: asyncua's services of an active session.
        nodes_per_call: The server's limit (MaxNodesPerBrowse), 0 if it names none.
    """

    def __init__(self, source: str, services: Any, *, nodes_per_call: int = 0) -> None:
        self._source, self._services = source, services
        self._chunk = min(nodes_per_call or NODES_PER_CALL, NODES_PER_CALL)
        self._seen = {OBJECTS, _SERVER}
        """The Server object is left out: it tells of the server, not of the plant."""

    async def places(self) -> AsyncIterator[Place]:
        """Yield every object and variable once, by the shortest path, parents before children.

        Raises:
            UaError, OSError: As asyncua.
        """
        waiting = deque([_Open(Place(OBJECTS, (), None, False, False))])
        while waiting:
            some = [waiting.popleft()]
            # one request is either a Browse or a BrowseNext
            while waiting and len(some) < self._chunk and bool(waiting[0].continuation) == bool(some[0].continuation):
                some.append(waiting.popleft())
            try:
                results = await self._browse(some)
            except (BadTooManyOperations, BadResponseTooLarge, BadEncodingLimitsExceeded):
                if len(some) == 1:
                    raise
                self._chunk = len(some) // 2
                waiting.extendleft(reversed(some))
                continue
            unfinished = []
            for one, result in zip(some, results, strict=True):
                if self._goes_on(one, result, len(some)):
                    unfinished.append(one)
                for place in self._new(one.place, result.References or ()):
                    yield place
                    if not place.is_property and len(place.names) < DEEPEST:
                        waiting.append(_Open(place))
            # what has begun comes first: the server keeps a continuation point for each
            waiting.extendleft(reversed(unfinished))

    async def _browse(self, some: Sequence[_Open]) -> Sequence[Any]:
        if some[0].continuation:
            parameters = ua.BrowseNextParameters(
                ReleaseContinuationPoints=False, ContinuationPoints=[one.continuation for one in some]
            )
            return list(await self._services.browse_next(parameters))
        asked = [
            ua.BrowseDescription(
                NodeId=one.place.node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=HIERARCHICAL,
                IncludeSubtypes=True,
                NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable,
                ResultMask=ua.BrowseResultMask.All,
            )
            for one in some
        ]
        parameters = ua.BrowseParameters(
            View=ua.ViewDescription(), RequestedMaxReferencesPerNode=_REFERENCES_PER_NODE, NodesToBrowse=asked
        )
        return list(await self._services.browse(parameters))

    def _goes_on(self, one: _Open, result: Any, asked: int) -> bool:
        """Return whether a node, one of `asked`, has to be asked for more, or once more."""
        code = result.StatusCode.value
        if code == StatusCodes.BadNoContinuationPoints and one.refusals < _REFUSALS:
            # fewer nodes at a time need fewer continuation points
            self._chunk = max(1, min(self._chunk, asked // 2))
            one.continuation, one.refusals = b"", one.refusals + 1
            return True
        if code >> 31:
            log.warning("node_not_browsed", source=self._source, path=one.place.path, answer=status_words(code))
            return False
        one.continuation = result.ContinuationPoint or b""
        return bool(one.continuation)

    def _new(self, parent: Place, references: Sequence[Any]) -> list[Place]:
        found = []
        for reference in references:
            target = reference.NodeId
            if getattr(target, "ServerIndex", None):
                continue  # it lies in another server
            node = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
            is_property = reference.ReferenceTypeId == _PROPERTY
            if node in self._seen:
                continue
            self._seen.add(node)
            is_variable = reference.NodeClass == ua.NodeClass.Variable
            names = (*parent.names, reference.BrowseName)
            found.append(Place(node, names, parent.node, is_variable, is_property))
        return found
