"""The Modbus connector: polls registers on a fixed grid; a refused register or a silent unit takes nobody along."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import ConfigError, ProtocolError, SourceError, UnreachableError
from resources.core.readings import ReadingBatch
from resources.core.receive_times import ReceiveTimes
from resources.core.tags import SensorCatalog
from resources.scada.connector import Address, Emit, Exchange, Health, SourceFacts, StatusSink
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.connection import ModbusConnection, SilentUnitError, addresses
from resources.scada.modbus.greeting import read_request
from resources.scada.modbus.planner import block_of, plan
from resources.scada.modbus.poll import Poll, PollAssembler
from resources.scada.modbus.polling import Memory, Poller
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.units import Roster
from resources.scada.modbus.wire.exceptions import RefusedError
from resources.scada.modbus.writer import Writer
from resources.scada.tls import certificate_facts, peer_certificate
from resources.transport.trust.pinning import fingerprint

_RECENT_S = 5.0
"""An answer this fresh says that the peer is well."""


class ModbusClient:
    """Reads the units of one source; kept between connections (see `resources.scada.connector`)."""

    kind = "modbus"

    def __init__(self, name: str, config: ModbusConfig, catalog: SensorCatalog, clock: Clock | None = None) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.name = name
        self._config, self._catalog = config, catalog
        self._clock = clock or SystemClock()
        self._registers = RegisterMap(config)
        assembler = PollAssembler(name, self._registers, catalog)
        units = {item.unit_id for item in self._registers.items}
        roster = Roster(units, config.retry_silent_units_within.total_seconds())
        self._memory = Memory(config, self._registers, assembler, self._receive_time, roster)
        self._positions = {tag.sensor_id: position for position, tag in enumerate(config.tags)}
        self._receive_times = ReceiveTimes()
        self._endpoint = 0
        self._connection: ModbusConnection | None = None
        self._poller: Poller | None = None

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect and poll until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        async with ModbusConnection(self.name, self._config, self._endpoint) as connection:
            self._connection, self._poller = connection, Poller(self._memory, connection, emit, status)
            told = False

            def connected(requests: int) -> None:
                nonlocal told
                if not told:
                    told = True
                    facts = {"endpoint": connection.endpoint, "security": self._security(), "requests": str(requests)}
                    status.connected(facts | certificate_facts(peer_certificate(connection.ssl_object)))

            try:
                await self._poller.run(connected)
            finally:
                self._connection = self._poller = None

    def addresses(self) -> Sequence[Address]:
        """Return where the source may be reached; nothing for a serial line."""
        return addresses(self._config)

    def use(self, position: int) -> None:
        """Let the next connection go to `addresses()[position]`."""
        self._endpoint = position

    def greeting(self, position: int) -> bytes:
        """Return a request that a live device answers, where one unit speaks plain Modbus TCP."""
        del position
        if self._config.medium != "tcp" or len({item.unit_id for item in self._registers.items}) != 1:
            return b""
        return read_request(block_of(self._registers, [0]))

    async def check_health(self) -> Health:
        """Return nothing but that the peer answers: lately, or now when it is asked.

        Raises:
            SourceError: It does not, or there is no connection.
        """
        connection, poller = self._connection, self._poller
        if connection is None or poller is None:
            raise UnreachableError(f"source {self.name}: there is no connection", source=self.name)
        if asyncio.get_running_loop().time() - connection.answered_at > _RECENT_S:
            well = [
                p for p in self._positions.values() if not poller.roster.is_silent(self._registers.items[p].unit_id)
            ]
            with contextlib.suppress(RefusedError):
                await connection.read(block_of(self._registers, well[:1] or [0]))
        return Health()

    def last_exchange(self) -> Exchange | None:
        """Return how the latest request over the connection of `run` fared."""
        return self._connection.last_exchange if self._connection is not None else None

    def _receive_time(self) -> int:
        return self._receive_times.take(to_micros(self._clock.now()))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[ModbusConnection]:
        """Yield the connection that `run` holds, else one for the occasion: a line or a small device has only one."""
        if self._connection is not None:
            yield self._connection
            return
        async with ModbusConnection(self.name, self._config, self._endpoint) as connection:
            yield connection

    async def read(self, sensor_ids: Iterable[str] | None = None) -> ReadingBatch:
        """Return the present values of some sensors (all, if None), read once.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: As `run`; ProtocolError if the device refuses one of them.
        """
        positions = range(len(self._config.tags)) if sensor_ids is None else [self._positions[s] for s in sensor_ids]
        poll = Poll(frozenset(positions))
        async with self._connected() as connection:
            for block in plan(self._config, self._registers, self._registers.needed(positions)):
                try:
                    poll.read.append((block, await connection.read(block), self._receive_time()))
                except RefusedError as refused:
                    raise ProtocolError(
                        f"source {self.name}: {connection.endpoint} unit {block.unit_id}: reading {block.count} of "
                        f"{block.table} from {block.address} on: {refused}",
                        source=self.name,
                    ) from refused
        return PollAssembler(self.name, self._registers, self._catalog).outcome(poll).batch

    async def is_alive(self, timeout_s: float) -> bool:
        """Return whether a unit on the line says anything to its first tag's request within `timeout_s`."""
        first = block_of(self._registers, [0])
        try:
            async with asyncio.timeout(timeout_s):
                async with ModbusConnection(self.name, self._config, self._endpoint) as connection:
                    await connection.read(first)
        except RefusedError:
            return True
        except (SourceError, ConfigError, SilentUnitError, TimeoutError):
            return False
        return True

    async def probe(self) -> SourceFacts:
        """Return what a connection and one request to each unit find.

        Raises:
            SourceError: As `run`.
        """
        details: dict[str, str] = {}
        first = {item.unit_id: position for position, item in reversed(list(enumerate(self._registers.items)))}
        async with ModbusConnection(self.name, self._config, self._endpoint) as connection:
            certificate = peer_certificate(connection.ssl_object)
            for unit, position in sorted(first.items()):
                name = "unit" if len(first) == 1 else f"unit {unit}"
                try:
                    await connection.read(block_of(self._registers, [position]))
                    details[name] = "answers"
                except RefusedError as refused:
                    details[name] = f"answers with {refused}"
                except SilentUnitError as silent:
                    if len(first) == 1:
                        raise
                    details[name] = str(silent)
            requests = plan(self._config, self._registers, self._registers.needed(self._positions.values()))
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=connection.endpoint,
                security=self._security(),
                certificate_subject=certificate.subject.rfc4514_string() if certificate else None,
                certificate_expires_at=certificate.not_valid_after_utc if certificate else None,
                certificate_sha256=fingerprint(certificate) if certificate else None,
                details=details | {"requests per poll": str(len(requests))},
            )

    def _security(self) -> str:
        if self._config.medium == "rtu":
            return "serial line"
        if self._config.medium != "tls":
            return "plain TCP"
        mutual = " with client certificate" if self._config.client_certificate else ""
        return ("TLS 1.2 or 1.3" if self._config.allow_tls_1_2 else "TLS 1.3") + mutual

    # -- writing: called by the guarded write path only (`resources.scada.writes`) -------------------------------------

    async def write(self, sensor_id: str, value: float | str) -> None:
        """Write one engineering value; the tag's table and type decide by which function (see `writing`).

        Raises:
            KeyError: The sensor is not one of this source.
            ProtocolError: The value does not fit the tag, or the device refused it.
            SourceError: As `run`; nothing is sent a second time.
        """
        async with self._connected() as connection:
            await Writer(self.name, self._registers, connection).write(self._positions[sensor_id], value)

    async def read_write_registers(
        self, unit_id: int, read_address: int, count: int, write_address: int, registers: Sequence[int]
    ) -> list[int]:
        """Write holding registers and return others, in one request (function 23); addresses are zero-based.

        For devices that answer a written command in other registers; no tag is written like this.

        Raises:
            ValueError: More than 125 registers read, 121 written, or none.
            ProtocolError: The device refused it.
            SourceError: As `run`; nothing is sent a second time.
        """
        async with self._connected() as connection:
            writer = Writer(self.name, self._registers, connection)
            return await writer.read_write(unit_id, (read_address, count), (write_address, registers))
