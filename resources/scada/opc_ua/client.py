"""The OPC UA connector: a subscription to the configured nodes, secured, acknowledged once durable."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyarrow as pa
from asyncua.ua.attribute_ids import AttributeIds

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import ProtocolError, UnreachableError
from resources.core.readings import ReadingBatch, Reject, rejects_batch
from resources.core.tags import SensorCatalog
from resources.scada.connector import Address, Emit, FoundItem, Health, SourceFacts, StatusSink
from resources.scada.endpoints import parse_address
from resources.scada.events import TakeEvents
from resources.scada.opc_ua.address_space.offers import offers
from resources.scada.opc_ua.address_space.parts import TagParts
from resources.scada.opc_ua.address_space.paths import resolve_tags
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.events import EventTap
from resources.scada.opc_ua.limits import read_in_parts, read_standard
from resources.scada.opc_ua.line import Line
from resources.scada.opc_ua.readings import ReadingAssembler
from resources.scada.opc_ua.sessions.security import login_words
from resources.scada.opc_ua.sessions.session import Session, session_of, translated
from resources.scada.opc_ua.stored_values import StoredValues
from resources.scada.opc_ua.wire.codec import Columns
from resources.scada.opc_ua.wire.greeting import hello
from resources.scada.opc_ua.writing import write_value
from resources.scada.rejects import raw_value
from resources.transport.trust.pinning import fingerprint

_CURRENT_TIME, _PRODUCT_NAME, _SERVICE_LEVEL = 2258, 2261, 2267


class OpcUaClient:
    """Reads one server; kept between connections (see `resources.scada.connector`)."""

    kind = "opc_ua"

    def __init__(self, name: str, config: OpcUaConfig, catalog: SensorCatalog, clock: Clock | None = None) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.name = name
        self._config, self._catalog = config, catalog
        self._clock = clock or SystemClock()
        self._assembler = ReadingAssembler(name, config.tags, catalog)
        self._positions = {tag.sensor_id: position for position, tag in enumerate(config.tags)}
        self._without_history: dict[str, str] = {}
        self._line = Line(name, self._assembler, TagParts(config.tags), self._clock)
        self._urls = (config.endpoint_url, *(_url_at(place, config.endpoint_url) for place in config.other_endpoints))

    def addresses(self) -> Sequence[Address]:
        """Return where the configured endpoints are."""
        return [parse_address(url) for url in self._urls]

    def use(self, position: int) -> None:
        """Let the next session go to that endpoint."""
        self._config = self._config.model_copy(update={"endpoint_url": self._urls[position]})

    def greeting(self, position: int) -> bytes:
        """Return the Hello that a live server at that endpoint acknowledges."""
        return hello(self._urls[position])

    async def check_health(self) -> Health:
        """Return the ServiceLevel, read by the session of `run`.

        Raises:
            SourceError: No session, or no answer.
        """
        session = self._line.session
        if session is None:
            raise UnreachableError(f"source {self.name}: no session to ask by", source=self.name)
        async with translated(self.name, self._config, "asking for the service level"):
            level = await read_standard(session.services, _SERVICE_LEVEL)
        return Health(service_level=int(level) if level is not None else None)

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect, subscribe and emit until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        await self._line.run(self._config, emit, status)

    def tell_events(self, take: TakeEvents) -> bool:
        """Hand events to `take` from the next connection on; return whether the configuration asks for any."""
        if self._config.events is None:
            return False
        self._line.events = EventTap(self.name, self._config.events, take, self._clock)
        return True

    def _session(self) -> AbstractAsyncContextManager[Session]:
        """Return a session of its own, for a block; it is closed whatever happens."""
        return session_of(self.name, self._config)

    async def read(self, sensor_ids: Iterable[str] | None = None) -> ReadingBatch:
        """Return the present values of some sensors (all, if None), read once over a session of its own.

        Of several nodes, those that cannot be found are rejected rows of the batch.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: As `run`; ProtocolError if no node can be found.
        """
        positions = list(
            range(len(self._config.tags)) if sensor_ids is None else map(self._positions.__getitem__, sensor_ids)
        )
        columns = Columns()
        async with self._session() as session:
            tags = {position: self._config.tags[position] for position in positions}
            nodes, reasons = await resolve_tags(session.services, tags, session.namespaces)
            if positions and not nodes:
                said = next(iter(reasons.values()))
                raise ProtocolError(f"source {self.name}: {self._config.endpoint_url}: {said}", source=self.name)
            most = min(self._config.max_items_per_call, session.limits.nodes_per_read or 2**31)
            found = await read_in_parts(session.services, list(nodes.values()), AttributeIds.Value, most)
            for position, value in zip(nodes, found, strict=True):
                columns.add(position, value)
            parts = TagParts(self._config.tags)
            await parts.learn(session.services, nodes)
            columns = parts.taken_apart(columns, shared=False)
        assembler = ReadingAssembler(self.name, self._config.tags, self._catalog)
        received_us = to_micros(self._clock.now())
        batches = assembler.batches(columns, received_us)
        refused = [batch.rejects for batch in batches if batch.rejects is not None]
        if reasons:
            refused.append(rejects_batch([self._not_found(p, why, received_us) for p, why in reasons.items()]))
        return ReadingBatch(
            self.name,
            readings=next((batch.readings for batch in batches if batch.readings is not None), None),
            texts=next((batch.texts for batch in batches if batch.texts is not None), None),
            rejects=pa.Table.from_batches(refused).combine_chunks().to_batches()[0] if refused else None,
        )

    async def discover(self) -> Sequence[FoundItem]:
        """Return every readable value below the Objects folder, over a session of its own, by path.

        Raises:
            SourceError: As `run`.
        """
        async with self._session() as session:
            return await offers(self.name, session)

    async def discover_in_session(self) -> Sequence[FoundItem]:
        """Return the same, over the session of `run`.

        Raises:
            SourceError: No session, or no answer.
        """
        session = self._line.session
        if session is None:
            raise UnreachableError(f"source {self.name}: no session to browse by", source=self.name)
        async with translated(self.name, self._config, "browsing"):
            return await offers(self.name, session)

    @property
    def no_history(self) -> Mapping[str, str]:
        """sensor_id -> why its history cannot be read, as the last `history` found once it had ended."""
        return self._without_history

    async def history(
        self, sensor_ids: Sequence[str], since: datetime, until: datetime
    ) -> AsyncGenerator[ReadingBatch, None]:
        """Yield the stored readings of `[since, until)`, over a session of its own (HistoryRead, raw).

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: As `run`.
        """
        stored = StoredValues(self.name, self._config, self._catalog, self._clock)
        async with aclosing(stored.read(sensor_ids, since, until)) as batches:
            async for batch in batches:
                yield batch
        self._without_history = stored.without

    def _not_found(self, position: int, reason: str, received_us: int) -> Reject:
        tag = self._config.tags[position]
        told = f"the node cannot be read: {reason}"
        return Reject(self.name, raw_value(node_id=tag.place), (told,), received_us, sensor_id=tag.sensor_id)

    async def write(self, sensor_id: str, value: float | str) -> None:
        """Write one engineering value, over a session of its own; the node's own type decides how it is sent.

        Raises:
            KeyError: The sensor is not one of this source.
            ProtocolError: The value does not fit the node, or the server refused it; the message says why.
            SourceError: As `run`.
        """
        tag = self._config.tags[self._positions[sensor_id]]
        async with session_of(self.name, self._config, f"writing {sensor_id}") as session:
            await write_value(self.name, session, tag, value)

    async def probe(self) -> SourceFacts:
        """Return what a session finds: the certificate, the server's clock and product, how many nodes are there.

        Raises:
            SourceError: As `run`.
        """
        async with self._session() as connected:
            session = connected.services
            before = self._clock.now()
            server_time = await read_standard(session, _CURRENT_TIME)
            middle = before + (self._clock.now() - before) / 2
            if server_time is not None and server_time.tzinfo is None:
                server_time = server_time.replace(tzinfo=UTC)
            certificate = connected.certificate
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=self._config.endpoint_url,
                security=login_words(self._config),
                certificate_subject=certificate.subject.rfc4514_string() if certificate else None,
                certificate_expires_at=certificate.not_valid_after_utc if certificate else None,
                certificate_sha256=fingerprint(certificate) if certificate else None,
                clock_skew_s=(server_time - middle).total_seconds() if server_time is not None else None,
                details={"product": str(await read_standard(session, _PRODUCT_NAME) or "not told")},
            )


def _url_at(place: str, url: str) -> str:
    """Return another endpoint's URL: as it is, or `url` with `host:port` in place of its own."""
    return place if "://" in place else urlsplit(url)._replace(netloc=place).geturl()
