"""The Modbus connector: polls registers on a fixed grid; one refused register does not take the others with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from resources.core.clock import Clock, SystemClock, from_micros, to_micros
from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import Address, Emit, Health, SourceFacts, StatusSink
from resources.scada.endpoints import parse_address
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.connection import ModbusConnection, RefusedBlockError
from resources.scada.modbus.exceptions import PERMANENT, words
from resources.scada.modbus.planner import Block, halves, plan, seam
from resources.scada.modbus.poll import Poll, PollAssembler
from resources.scada.tls import peer_certificate

log = structlog.get_logger(__name__)

_NO_SUCH_FUNCTION = 1


class ModbusClient:
    """Reads one unit; kept between connections (see `resources.scada.connector`)."""

    kind = "modbus"

    def __init__(self, name: str, config: ModbusConfig, catalog: SensorCatalog, clock: Clock | None = None) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.name = name
        self._config, self._catalog = config, catalog
        self._clock = clock or SystemClock()
        self._assembler = PollAssembler(name, config.tags, catalog)
        self._positions = {tag.sensor_id: position for position, tag in enumerate(config.tags)}
        self._last_receive_us = 0
        self._failed: dict[int, int] = {}
        """Position of a tag that the device refuses -> the exception code last told."""
        self._addresses = (Address(config.host, config.port), *map(parse_address, config.other_endpoints))
        self._polling: ModbusConnection | None = None
        """The connection that `run` polls by, or has polled by: a closed one says so when it is asked."""

    def addresses(self) -> Sequence[Address]:
        """Return where the unit, or the gateways to it, are."""
        return self._addresses

    def use(self, position: int) -> None:
        """Let the next connection go to that address."""
        host, port = self._addresses[position].host, self._addresses[position].port
        self._config = self._config.model_copy(update={"host": host, "port": port})

    async def check_health(self) -> Health:
        """Read the first tag by the connection of `run`; a refusal is an answer too.

        Raises:
            SourceError: No connection, or no answer.
        """
        if self._polling is None:
            raise UnreachableError(f"source {self.name}: no connection to ask by", source=self.name)
        with suppress(RefusedBlockError):
            await self._polling.read(plan(self._config, [0])[0])
        return Health()

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect and poll until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        async with ModbusConnection(self.name, self._config) as connection:
            schedule = _Schedule(self._config)
            polls = 0
            due = time.monotonic()
            while True:
                poll, scheduled = Poll(), schedule.blocks(time.monotonic())
                tags = sum(len(block.tags) for block in scheduled)
                try:
                    for block in scheduled:
                        await self._read(connection, block, poll, status)
                except SourceError:
                    await self._finish(poll, tags, emit, status)
                    raise
                if polls == 0:
                    self._polling = connection
                    status.connected(
                        {"endpoint": connection.endpoint, "security": self._security(), "requests": str(len(scheduled))}
                    )
                polls += 1
                schedule.learn(poll, time.monotonic())
                await self._finish(poll, tags, emit, status)
                due = await self._wait(due, tags, status)

    async def _read(self, connection: ModbusConnection, block: Block, poll: Poll, status: StatusSink) -> None:
        """Read a block into `poll`; a refused one is halved until the tags that are to blame are alone."""
        try:
            read = await connection.read(block)
        except RefusedBlockError as refused:
            status.counted(failed_requests=1)
            if refused.code in PERMANENT and refused.code != _NO_SUCH_FUNCTION and len(block.tags) > 1:
                known = len(poll.cut)
                left, right = halves(self._config.tags, block)
                await self._read(connection, left, poll, status)
                await self._read(connection, right, poll, status)
                if len(poll.cut) == known and not poll.refused.keys() & set(block.tags):
                    # each half is fine: it is what lies between them, or the length
                    poll.cut.append(seam(block, left, right))
                return
            if refused.code in PERMANENT:
                poll.cut.append(block)
            received_us = self._receive_time()
            poll.refused.update(dict.fromkeys(block.tags, (refused.code, received_us)))
            return
        poll.read.append((block, read, self._receive_time()))

    async def _finish(self, poll: Poll, scheduled_tags: int, emit: Emit, status: StatusSink) -> None:
        """Count and emit what a poll, whole or broken off, has brought."""
        batch, unchanged = self._assembler.batch(poll)
        unread = scheduled_tags - poll.answered
        status.counted(sent=scheduled_tags - unchanged, in_gaps=unread, unchanged=unchanged)
        self._tell(poll, status)
        if batch.rows:
            await emit(batch)

    def _tell(self, poll: Poll, status: StatusSink) -> None:
        """Say once which tags the device refuses, and once that it gives them again."""
        tags = self._config.tags
        for position, (code, _) in poll.refused.items():
            if self._failed.get(position) != code:
                self._failed[position] = code
                status.item_failed(tags[position].sensor_id, words(code))
        if self._failed:
            back = [p for block, _, _ in poll.read for p in block.tags if p in self._failed]
            for position in back:
                del self._failed[position]
                status.item_recovered(tags[position].sensor_id)

    async def _wait(self, due: float, tags: int, status: StatusSink) -> float:
        """Sleep to the next point of the grid and return it; points that have passed are counted and left out."""
        interval = self._config.poll_interval.total_seconds()
        due += interval
        late = time.monotonic() - due
        if late >= interval:
            skipped = int(late // interval)
            due += skipped * interval
            until = self._clock.now()
            status.counted(sent=skipped * tags, in_gaps=skipped * tags, overruns=skipped)
            since = from_micros(self._last_receive_us) if self._last_receive_us else until - timedelta(seconds=late)
            status.missed(
                since,
                until,
                f"{skipped} polls were skipped: the device or the collector was too slow for poll_interval",
            )
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return due

    def _receive_time(self) -> int:
        # the wall clock may stand still or step back between two answers; a source's times may not
        self._last_receive_us = max(to_micros(self._clock.now()), self._last_receive_us + 1)
        return self._last_receive_us

    async def read(self, sensor_ids: Iterable[str] | None = None) -> ReadingBatch:
        """Return the present values of some sensors (all, if None), read once over a connection of its own.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: As `run`; ProtocolError if the device refuses one of them.
        """
        positions = range(len(self._config.tags)) if sensor_ids is None else [self._positions[s] for s in sensor_ids]
        poll = Poll()
        async with ModbusConnection(self.name, self._config) as connection:
            for block in plan(self._config, positions):
                try:
                    poll.read.append((block, await connection.read(block), self._receive_time()))
                except RefusedBlockError as refused:
                    raise ProtocolError(
                        f"source {self.name}: {connection.endpoint}: reading {block.count} of {block.table} "
                        f"from {block.address} on: {refused}",
                        source=self.name,
                    ) from refused
        return PollAssembler(self.name, self._config.tags, self._catalog).batch(poll)[0]

    async def probe(self) -> SourceFacts:
        """Return what a connection and one request find.

        Raises:
            SourceError: As `run`.
        """
        async with ModbusConnection(self.name, self._config) as connection:
            certificate = peer_certificate(connection.ssl_object)
            first = plan(self._config, [0])[0]
            try:
                await connection.read(first)
                said = "answers"
            except RefusedBlockError as refused:
                said = f"answers with {refused}"
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=connection.endpoint,
                security=self._security(),
                certificate_subject=certificate.subject.rfc4514_string() if certificate else None,
                certificate_expires_at=certificate.not_valid_after_utc if certificate else None,
                details={"unit": said, "requests per poll": str(len(plan(self._config, self._positions.values())))},
            )

    def _security(self) -> str:
        if not self._config.tls:
            return "plain TCP"
        mutual = " with client certificate" if self._config.client_certificate else ""
        return ("TLS 1.2 or 1.3" if self._config.allow_tls_1_2 else "TLS 1.3") + mutual


class _Schedule:
    """Which blocks the next poll reads: the plan, cut by what the device refused, and what is due for another try."""

    def __init__(self, config: ModbusConfig) -> None:
        self._config = config
        self._blocks = plan(config, range(len(config.tags)))
        self._retry_at: dict[int, float] = {}
        self._refused: set[Block] = set()

    def blocks(self, now: float) -> list[Block]:
        """Return the blocks to read now."""
        again = [position for position, at in self._retry_at.items() if at <= now]
        for position in again:
            del self._retry_at[position]
            # alone: merged with its neighbours it would take them with it again
            self._blocks += plan(self._config, [position])
        return list(self._blocks)

    def learn(self, poll: Poll, now: float) -> None:
        """Plan anew around what the device has refused for good, and leave its tags out for a while."""
        if not poll.cut:
            return
        self._refused |= set(poll.cut)
        for position, (code, _) in poll.refused.items():
            if code in PERMANENT:
                self._retry_at[position] = now + self._config.retry_bad_items_after.total_seconds()
        wanted = [position for position in range(len(self._config.tags)) if position not in self._retry_at]
        self._blocks = plan(self._config, wanted, self._refused)
