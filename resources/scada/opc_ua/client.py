"""The OPC UA connector: a subscription to the configured nodes, secured, acknowledged once durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from typing import Any

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import PlatformError, ProtocolError, UnreachableError
from resources.core.readings import ReadingBatch, Reject, rejects_batch
from resources.core.tags import SensorCatalog
from resources.scada.connector import Address, Emit, Health, SourceFacts, StatusSink
from resources.scada.endpoints import parse_address
from resources.scada.opc_ua.codec import Columns, Published
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import status_words, translate
from resources.scada.opc_ua.nodes import UnknownNodeError, resolve
from resources.scada.opc_ua.readings import ReadingAssembler, overflowed
from resources.scada.opc_ua.security import Connected, connect
from resources.scada.opc_ua.subscription import Subscription
from resources.scada.rejects import raw_value

log = structlog.get_logger(__name__)

_NAMESPACES, _CURRENT_TIME, _PRODUCT_NAME, _MOST_ITEMS, _MOST_READS = 2255, 2258, 2261, 11714, 11705
_SERVICE_LEVEL = 2267
_GOODBYE_S = 3.0
"""Longest wait for a server to close a session that we no longer need."""


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
        self._failed: dict[int, str] = {}
        """Position of a tag that is not monitored -> the reason last told."""
        self._urls = (config.endpoint_url, *config.other_endpoints)
        self._reading: Any = None
        """The session that `run` reads by, None while there is none."""

    def addresses(self) -> Sequence[Address]:
        """Return where the configured endpoints are."""
        return [parse_address(url) for url in self._urls]

    def use(self, position: int) -> None:
        """Let the next session go to that endpoint."""
        self._config = self._config.model_copy(update={"endpoint_url": self._urls[position]})

    async def check_health(self) -> Health:
        """Return the ServiceLevel, read by the session of `run`.

        Raises:
            SourceError: No session, or no answer.
        """
        if self._reading is None:
            raise UnreachableError(f"source {self.name}: no session to ask by", source=self.name)
        try:
            level = await _read_standard(self._reading, _SERVICE_LEVEL)
        except (UaError, OSError) as error:
            raise translate(
                error, source=self.name, endpoint=self._config.endpoint_url, doing="asking for the service level"
            ) from error
        return Health(service_level=int(level) if level is not None else None)

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect, subscribe and emit until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        async with self._session() as connected:
            session = connected.client.uaclient.session
            subscription = Subscription(self.name, self._config, session)
            self._assembler.forget_first_values()
            await subscription.create()
            bad = await self._monitor(subscription, session, range(len(self._config.tags)), emit, status)
            self._reading = session
            status.connected(
                {
                    "endpoint": self._config.endpoint_url,
                    "security": self._security(),
                    "items": str(len(self._config.tags) - len(bad)),
                }
            )

            async def deliver(published: Published, durable: Callable[[], None]) -> None:
                await self._deliver(published, durable, emit, status)

            retrying = asyncio.ensure_future(self._retry(subscription, session, bad, emit, status))
            publishing = asyncio.ensure_future(subscription.publish(deliver))
            try:
                done, _ = await asyncio.wait({retrying, publishing}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                self._reading = None
                retrying.cancel()
                publishing.cancel()
                await asyncio.gather(retrying, publishing, return_exceptions=True)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connected]:
        """Connect, and close cleanly whatever happens; errors of asyncua leave as errors of the platform."""
        connected = await connect(self.name, self._config)
        try:
            yield connected
        except PlatformError:
            raise
        except (UaError, OSError) as error:
            raise translate(error, source=self.name, endpoint=self._config.endpoint_url, doing="reading") from error
        finally:
            try:
                # closes the session with its subscriptions; a dead connection must not hold us up
                await asyncio.wait_for(connected.client.disconnect(), _GOODBYE_S)
            except (TimeoutError, UaError, OSError):
                log.debug("session_not_closed", source=self.name)

    async def _monitor(
        self, subscription: Subscription, session: Any, positions: Iterable[int], emit: Emit, status: StatusSink
    ) -> set[int]:
        """Monitor the tags at `positions`; return those that cannot be, each reported once with its reason."""
        tags = self._config.tags
        namespaces, most = await _read_standard(session, _NAMESPACES), await _read_standard(session, _MOST_ITEMS)
        nodes, reasons, asked = dict[int, Any](), dict[int, str](), list(positions)
        for position in asked:
            try:
                nodes[position] = resolve(tags[position].node_id, namespaces or ())
            except UnknownNodeError as error:
                reasons[position] = str(error)
        refused = await subscription.add_items(nodes, most or 0)
        reasons.update({position: status_words(code) for position, code in refused.items()})
        for position in asked:
            if position not in reasons and self._failed.pop(position, None) is not None:
                status.item_recovered(tags[position].sensor_id)
        await self._report(reasons, emit, status)
        return set(reasons)

    async def _report(self, reasons: dict[int, str], emit: Emit, status: StatusSink) -> None:
        received_us = to_micros(self._clock.now())
        rejects = []
        for position, reason in reasons.items():
            if self._failed.get(position) == reason:
                continue
            self._failed[position] = reason
            tag = self._config.tags[position]
            status.item_failed(tag.sensor_id, reason)
            told = f"the node cannot be read: {reason}"
            rejects.append(
                Reject(self.name, raw_value(node_id=tag.node_id), (told,), received_us, sensor_id=tag.sensor_id)
            )
        if rejects:
            status.counted(sent=len(rejects))
            await emit(ReadingBatch(self.name, rejects=rejects_batch(rejects)))

    async def _retry(
        self, subscription: Subscription, session: Any, bad: set[int], emit: Emit, status: StatusSink
    ) -> None:
        while True:
            await asyncio.sleep(self._config.retry_bad_items_after.total_seconds())
            if bad:
                bad = await self._monitor(subscription, session, sorted(bad), emit, status)

    async def _deliver(self, published: Published, durable: Callable[[], None], emit: Emit, status: StatusSink) -> None:
        batches = self._assembler.batches(published.columns, to_micros(self._clock.now()))
        if lost := overflowed(published.columns):
            status.counted(overflows=lost)
        if not batches:
            durable()
            return
        # the buffer makes batches durable in order: the last one's acknowledgement stands for all
        for batch in (*batches[:-1], replace(batches[-1], acknowledge=durable)):
            if not batch.only_if_newer:
                status.counted(sent=batch.rows)
            await emit(batch)

    async def read(self, sensor_ids: Iterable[str] | None = None) -> ReadingBatch:
        """Return the present values of some sensors (all, if None), read once over a session of its own.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: As `run`; ProtocolError if a node cannot be read.
        """
        positions = list(
            range(len(self._config.tags)) if sensor_ids is None else map(self._positions.__getitem__, sensor_ids)
        )
        columns = Columns()
        async with self._session() as connected:
            session = connected.client.uaclient.session
            namespaces = await _read_standard(session, _NAMESPACES)
            try:
                nodes = [resolve(self._config.tags[p].node_id, namespaces or ()) for p in positions]
            except UnknownNodeError as error:
                raise ProtocolError(
                    f"source {self.name}: {self._config.endpoint_url}: {error}", source=self.name
                ) from error
            chunk = min(1000, await _read_standard(session, _MOST_READS) or 1000)
            for start in range(0, len(nodes), chunk):
                found = await session.read_attributes(nodes[start : start + chunk], AttributeIds.Value)
                for position, value in zip(positions[start : start + chunk], found, strict=True):
                    columns.add(position, value)
        assembler = ReadingAssembler(self.name, self._config.tags, self._catalog)
        batches = assembler.batches(columns, to_micros(self._clock.now()))
        readings = next((batch.readings for batch in batches if batch.readings is not None), None)
        rejects = next((batch.rejects for batch in batches if batch.rejects is not None), None)
        return ReadingBatch(self.name, readings=readings, rejects=rejects)

    async def probe(self) -> SourceFacts:
        """Return what a session finds: the certificate, the server's clock and product, how many nodes are there.

        Raises:
            SourceError: As `run`.
        """
        async with self._session() as connected:
            session = connected.client.uaclient.session
            before = self._clock.now()
            server_time = await _read_standard(session, _CURRENT_TIME)
            middle = before + (self._clock.now() - before) / 2
            if server_time is not None and server_time.tzinfo is None:
                server_time = server_time.replace(tzinfo=UTC)
            certificate = connected.certificate
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=self._config.endpoint_url,
                security=self._security(),
                certificate_subject=certificate.subject.rfc4514_string() if certificate else None,
                certificate_expires_at=certificate.not_valid_after_utc if certificate else None,
                clock_skew_s=(server_time - middle).total_seconds() if server_time is not None else None,
                details={"product": str(await _read_standard(session, _PRODUCT_NAME) or "not told")},
            )

    def _security(self) -> str:
        login = f"user {self._config.username}" if self._config.username else "anonymous"
        if self._config.insecure_no_security:
            return f"no security, {login}"
        return f"{self._config.security_policy} {self._config.security_mode}, {login}"


async def _read_standard(session: Any, identifier: int) -> Any:
    """Return the value of a standard node of namespace 0, None where the server does not have it."""
    found = await session.read_attributes([ua.NodeId.from_string(f"i={identifier}")], AttributeIds.Value)
    variant = found[0].Value
    return variant.Value if variant is not None else None
