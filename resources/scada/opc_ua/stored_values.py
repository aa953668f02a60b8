"""History of a source's tags as batches of readings: what `OpcUaClient.history` yields."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from resources.core.clock import Clock, to_micros
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.opc_ua.address_space.parts import TagParts
from resources.scada.opc_ua.address_space.paths import resolve_tags
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.history import HistoryReader, Span
from resources.scada.opc_ua.readings import ReadingAssembler
from resources.scada.opc_ua.sessions.session import Session, session_of

log = structlog.get_logger(__name__)

_HISTORY_READ = 0x04
"""Bit of AccessLevel: the node's history may be read. Source: OPC 10000-3, 8.57."""
_NO_SUCH_NODE = frozenset({StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid})
_NODES_PER_READ = 1000


class StoredValues:
    """Reads the history of one source's tags; `without` says which have none, as the last `read` found."""

    def __init__(self, name: str, config: OpcUaConfig, catalog: SensorCatalog, clock: Clock) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.without: dict[str, str] = {}
        """sensor_id -> why its history cannot be read."""
        self._name, self._config, self._clock = name, config, clock
        self._assembler = ReadingAssembler(name, config.tags, catalog)
        self._parts = TagParts(config.tags)
        self._positions = {tag.sensor_id: position for position, tag in enumerate(config.tags)}

    async def read(
        self, sensor_ids: Sequence[str], since: datetime, until: datetime
    ) -> AsyncGenerator[ReadingBatch, None]:
        """Yield the stored readings of `[since, until)`, over a session of its own.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError, ConfigError: As `OpcUaClient.run`.
        """
        self.without = {}
        tags = {self._positions[sensor_id]: sensor_id for sensor_id in sensor_ids}
        async with session_of(self._name, self._config) as session:
            nodes, reasons = await resolve_tags(
                session.services, {p: self._config.tags[p] for p in tags}, session.namespaces
            )
            reasons |= await _without_history(session, nodes)
            await self._parts.learn(session.services, nodes)
            asked = {position: node for position, node in nodes.items() if position not in reasons}
            reader = HistoryReader(self._name, session.services, nodes_per_call=session.limits.nodes_per_history_read)
            async for columns in reader.pages(asked, Span(since, until, self._config.history_values_per_node)):
                received_us = to_micros(self._clock.now())
                apart = self._parts.taken_apart(columns, shared=False)
                for batch in self._assembler.batches(apart, received_us, of_subscription=False):
                    inside = _inside(batch, since, until)
                    if inside.rows:
                        yield inside
        self.without = {tags[position]: reason for position, reason in (reasons | reader.refused).items()}
        if self.without:
            first, why = next(iter(self.without.items()))
            log.warning("tags_without_history", source=self._name, tags=len(self.without), first=first, reason=why)


async def _without_history(session: Session, nodes: Mapping[int, Any]) -> dict[int, str]:
    """Return position -> reason of the nodes that say of themselves that their history cannot be read."""
    found, positions = dict[int, str](), list(nodes)
    chunk = min(session.limits.nodes_per_read or _NODES_PER_READ, _NODES_PER_READ)
    for start in range(0, len(positions), chunk):
        some = positions[start : start + chunk]
        levels = await session.services.read_attributes([nodes[p] for p in some], AttributeIds.AccessLevel)
        for position, level in zip(some, levels, strict=True):
            code = level.StatusCode.value if level.StatusCode is not None else 0
            value = level.Value.Value if level.Value is not None else None
            if code in _NO_SUCH_NODE:
                found[position] = status_words(code)
            elif value is not None and not int(value) & _HISTORY_READ:
                # a node that does not tell is asked for its history: the answer tells
                found[position] = "the server keeps no history of this node (AccessLevel without HistoryRead)"
    return found


def _inside(batch: ReadingBatch, since: datetime, until: datetime) -> ReadingBatch:
    """Return the rows of `[since, until)`: servers give the end too, and some more than was asked for."""
    return replace(
        batch,
        readings=_within(batch.readings, since, until),
        texts=_within(batch.texts, since, until),
        rejects=_within(batch.rejects, since, until),
    )


def _within(part: pa.RecordBatch | None, since: datetime, until: datetime) -> pa.RecordBatch | None:
    if part is None:
        return None
    time = part.column("time")
    return part.filter(pc.and_(pc.greater_equal(time, since), pc.less(time, until)))
