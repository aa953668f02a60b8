"""Reading what a server has kept: HistoryRead of raw values, page by page, many nodes in one request.

Servers differ in how they end a page. A continuation point is followed until there is none; a page that is full but
carries none (some servers cut there and say nothing) is followed by a read from its last value on; what comes twice by
that is the same reading, which is stored once. Source: OPC 10000-4, 5.11.3; OPC 10000-11, 6.5.3 (raw data).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadEncodingLimitsExceeded, BadResponseTooLarge, BadTooManyOperations

from resources.core.clock import from_micros
from resources.core.errors import ProtocolError
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.wire.codec import EPOCH_TICKS, Columns
from resources.scada.opc_ua.wire.history_codec import HistoryPage, read_history_response

log = structlog.get_logger(__name__)

NODES_PER_CALL = 100
"""Most nodes asked for by one request, where the server names no lower limit: their values come in one answer."""

_TRY_AGAIN = frozenset({StatusCodes.BadNoContinuationPoints, StatusCodes.BadContinuationPointInvalid})
"""The server holds too few continuation points, or has dropped ours: fewer nodes at a time, from the last value on."""
_REFUSALS = 8
"""How often a node is tried again for want of continuation points, without a value in between."""
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of source time that is wanted, `[since, until)`, and the most values of a node in one page."""

    since: datetime
    until: datetime
    values_per_node: int = 1000


@dataclass(frozen=True, slots=True)
class _Read:
    """One node that is being read."""

    handle: int
    node: Any
    start: datetime
    """As asked for first: a continuation point goes with the request it came from."""
    seen: datetime
    """Time of the last value that came."""
    continuation: bytes = b""
    refusals: int = 0

    def anew(self, start: datetime) -> _Read:
        """Return it as a read of its own from `start` on."""
        return replace(self, start=start, continuation=b"")


class HistoryReader:
    """Reads the history of nodes over a session; `pages` once, then `refused` says which nodes have none.

    Args:
        source: Name of the source, for messages.
        services: asyncua's services of an active session.
        nodes_per_call: The server's limit (MaxNodesPerHistoryReadData), 0 if it names none.
    """

    def __init__(self, source: str, services: Any, *, nodes_per_call: int = 0) -> None:
        self.refused: dict[int, str] = {}
        """Handle of a node whose history cannot be read -> why."""
        self._source, self._services = source, services
        self._chunk = min(nodes_per_call or NODES_PER_CALL, NODES_PER_CALL)
        self._values = 0

    async def pages(self, nodes: Mapping[int, Any], span: Span) -> AsyncIterator[Columns]:
        """Yield the values of each answer; those outside the span are for the caller to leave out.

        Args:
            nodes: Handle, which the rows are known by -> node id.
            span: What is wanted.

        Raises:
            ProtocolError: The answer is none.
            UaError, OSError: As asyncua.
        """
        self._values = span.values_per_node
        waiting = deque(_Read(handle, node, span.since, span.since) for handle, node in nodes.items())
        while waiting:
            some = self._next(waiting)
            columns = Columns()
            try:
                pages = await self._ask(some, span.until, columns)
            except (BadTooManyOperations, BadEncodingLimitsExceeded, BadResponseTooLarge):
                if not self._can_ask_for_less(len(some)):
                    raise
                waiting.extendleft(reversed(some))
                continue
            unfinished = [
                more for read, page in zip(some, pages, strict=True) if (more := self._judge(read, page, len(some)))
            ]
            # first those that have begun: the server keeps a continuation point for each of them
            waiting.extendleft(reversed(unfinished))
            if columns.handles:
                yield columns

    def _next(self, waiting: deque[_Read]) -> list[_Read]:
        """Take nodes that can be asked for together: one request has one start."""
        some = [waiting.popleft()]
        while waiting and len(some) < self._chunk and waiting[0].start == some[0].start:
            some.append(waiting.popleft())
        return some

    async def _ask(self, some: list[_Read], until: datetime, columns: Columns) -> list[HistoryPage]:
        request = ua.HistoryReadRequest()
        request.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails(
            IsReadModified=False,
            StartTime=some[0].start,
            EndTime=until,
            NumValuesPerNode=self._values,
            ReturnBounds=False,
        )
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [
            ua.HistoryReadValueId(NodeId=read.node, ContinuationPoint=read.continuation or None) for read in some
        ]
        answer = await self._services._send_request(request)
        try:
            return read_history_response(bytes(answer), [read.handle for read in some], columns)
        except ValueError as error:
            raise ProtocolError(
                f"source {self._source}: reading history: {error}: see the server's log", source=self._source
            ) from error

    def _can_ask_for_less(self, asked: int) -> bool:
        if asked > 1:
            self._chunk = asked // 2
            return True
        self._values //= 2
        return self._values >= 1

    def _judge(self, read: _Read, page: HistoryPage, asked: int) -> _Read | None:
        """Return what is left to read of a node, one of `asked`; None if nothing is."""
        code = page.status & 0xFFFF_0000
        if code in _TRY_AGAIN and read.refusals < _REFUSALS:
            self._chunk = max(1, min(self._chunk, asked // 2))
            return replace(read.anew(read.seen), refusals=read.refusals + 1)
        if page.status >> 31:
            self.refused[read.handle] = status_words(page.status)
            return None
        before = read.seen
        if page.last_ticks:
            read = replace(read, seen=max(before, _instant(page.last_ticks)), refusals=0)
        if page.continuation:
            return replace(read, continuation=page.continuation)
        if not page.last_ticks or page.values < self._values:
            return None
        # full, and no word of more: on from the last value, or past it where nothing newer came
        return read.anew(read.seen if read.seen > before else read.seen + _TICK)


def _instant(ticks: int) -> datetime:
    return from_micros((ticks - EPOCH_TICKS) // 10)
