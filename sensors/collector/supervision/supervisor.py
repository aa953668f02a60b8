"""One task per source: connects, reads, and after a failure waits and connects again, as long as the collector runs.

There is never more than one connection of a source: the next attempt begins when the last one has ended. What goes
wrong in one source stays in its task. A loss is one line in the log and a row in the gaps, a recovery is one line with
the length of the outage; what repeats in between is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from resources.core.clock import Clock
from resources.core.errors import (
    AuthError,
    ConfigError,
    ProtocolError,
    SourceError,
    ThrottledError,
    UnreachableError,
)
from resources.core.process.logs import security_log
from resources.core.readings import ReadingBatch
from resources.scada.config import SourceOptions
from resources.scada.connector import HasAddress, HasEndpoints, ScadaClient
from resources.scada.endpoints import EndpointChoice, EndpointLoads
from resources.transport.tcp_look import PortLooker
from sensors.collector.state import SourceState
from sensors.collector.supervision.backoff import Backoff
from sensors.collector.supervision.pauses import Pauses
from sensors.collector.supervision.start_gate import StartGate
from sensors.collector.supervision.watch import BetterEndpointError, Watch, until_either

log = structlog.get_logger(__name__)

SLOW_FIRST_S = 1.0
"""A first connection that takes longer than this is a gap."""

STABLE_S = 30.0
"""A connection that lasted this long makes the next pause short again."""

_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (UnreachableError, "unreachable"),
    (ThrottledError, "throttled"),
    (AuthError, "auth"),
    (ProtocolError, "protocol"),
    (ConfigError, "config"),
)


class SourcePort(Protocol):
    """What a supervisor hands on: batches, gaps and counts. The pipeline is one."""

    async def emit(self, batch: ReadingBatch) -> None:
        """Take a batch; returns when the next one may come."""
        ...

    def open_gap(self, source: str, since: datetime, reason: str) -> None:
        """Note that nothing is received from `since` on."""
        ...

    def close_gap(self, source: str, until: datetime) -> None:
        """Note that readings come again from `until` on."""
        ...

    def add_gap(self, source: str, since: datetime, until: datetime, reason: str) -> None:
        """Note a gap that is over."""
        ...

    def add_counts(self, source: str, increments: Mapping[str, int]) -> None:
        """Add to the source's durable counters."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What the supervisors of one process share."""

    loads: EndpointLoads = field(default_factory=EndpointLoads)
    gate: StartGate = field(default_factory=StartGate)
    looker: PortLooker = field(default_factory=PortLooker)
    backoff: Callable[[], Backoff] = Backoff
    since: datetime | None = None
    """Up to when what is missing is noted as a gap by the buffer; None: the time a supervisor is made."""


class SourceSupervisor:
    """Keeps one source connected; it is the source's `StatusSink` as well."""

    def __init__(
        self,
        client: ScadaClient,
        port: SourcePort,
        state: SourceState,
        *,
        clock: Clock,
        options: SourceOptions | None = None,
        around: Surroundings | None = None,
    ) -> None:
        """Drive `client`, hand its batches to `port`, keep `state` up to date."""
        self.state = state
        self._client = client
        self._port = port
        self._clock = clock
        self._options = options or SourceOptions()
        self._around = around or Surroundings()
        addresses = client.addresses() if isinstance(client, HasAddress) else ()
        self._choice = (
            EndpointChoice(addresses, self._around.loads, clock.monotonic, self._options.connections_per_endpoint)
            if addresses
            else None
        )
        self._pauses = Pauses(client, self._options, state, clock=clock, backoff=self._around.backoff())
        self._watch: Watch | None = None
        self._leave_gate: Callable[[], None] = _nothing
        self._emitting = 0
        self._position = 0
        self._last_good = self._around.since or clock.now()
        self._gap_since: datetime | None = None
        self._logged: set[str] = set()
        self._attempts = 0
        self._log = log.bind(source=client.name, kind=client.kind)

    async def run(self) -> None:
        """Connect and read until cancelled, whatever the source does."""
        try:
            while True:
                try:
                    await self._attempt()
                    raise UnreachableError(f"{self._client.kind} {self._client.name}: the connection ended by itself")
                except BetterEndpointError as reason:
                    self._moves(str(reason))
                except (SourceError, ConfigError) as error:
                    await self._pause(error, self._lost(error))
                except Exception as error:  # noqa: BLE001  # a supervisor: no fault of one source may end the process
                    await self._pause(error, self._lost(error, fault="internal"))
        finally:
            self.state.went_down(self._clock.monotonic())

    async def ask(self) -> None:
        """Have the peer asked whether it is well; returns when it has answered, at once if it is not connected."""
        if self._watch is not None:
            await self._watch.ask()

    async def _attempt(self) -> None:
        """Connect once, at the best address, and read until it fails."""
        if self._choice is None:
            await self._connect()
            return
        if self._choice.pick() is None:
            self.state.last_error = (
                f"all {self._options.connections_per_endpoint} connections that connections_per_endpoint allows are in "
                "use by other sources"
            )
            self._log.warning("source_waits_for_a_connection", reason=self.state.last_error)
        self._position = await self._choice.take()
        address = self._choice.addresses[self._position]
        self.state.endpoint = f"{address.host}:{address.port}"
        try:
            if isinstance(self._client, HasEndpoints):
                self._client.use(self._position)
            await self._connect()
        finally:
            await self._choice.give_back(self._position)

    async def _connect(self) -> None:
        self._leave_gate = await self._around.gate.enter()
        self._pauses.attempt()
        self._watch = Watch(
            self._client, self._options, self.state, clock=self._clock, is_waiting=lambda: self._emitting > 0
        )
        try:
            await until_either(self._client.run(self._emit, self), self._watch.run(self._choice, self._position))
        finally:
            self._watch = None
            self._leave_gate()

    async def _pause(self, error: Exception, pause_s: float) -> None:
        back_at = await self._pauses.wait(error, pause_s, self._around.looker)
        if back_at is not None and self._choice is not None:
            self._choice.worked(back_at)
            self._log.debug("source_seen_again", endpoint=self._choice.addresses[back_at])

    async def _emit(self, batch: ReadingBatch) -> None:
        self._emitting += 1
        try:
            await self._port.emit(batch)
        finally:
            self._emitting -= 1
        # after the pipeline took it: an instant before which everything received is on its way to the disk
        self._last_good = self._clock.now()
        self.state.received(batch.rows, self._last_good, self._clock.monotonic())

    # -- what the connector says of itself (StatusSink) --------------------------------------------------------------

    def connected(self, facts: Mapping[str, str], *, unbroken: bool = False) -> None:
        """Close the outage, if there was one; one in which nothing was missed leaves no gap."""
        mark, now = self._clock.monotonic(), self._clock.now()
        self._leave_gate()
        self._pauses.connected()
        if self._choice is not None:
            self._choice.worked(self._position)
        if self._watch is not None:
            self._watch.connected()
        outage_s = mark - (self.state.down_since if self.state.down_since is not None else self.state.started)
        self.state.went_up(mark, dict(facts))
        peer = ", ".join(f"{key}={value}" for key, value in facts.items())
        if self._gap_since is None and outage_s > SLOW_FIRST_S:
            # the buffer notes the time without a collector up to its start, not up to the first connection
            self._port.open_gap(self._client.name, self._last_good, "the first connection took this long")
        # also one that a collector which was killed has left open; one that ends where it began is removed
        end = now if self._gap_since is None else self._gap_since if unbroken else max(now, self._gap_since)
        self._port.close_gap(self._client.name, end)
        self._gap_since, self._last_good = None, now
        if self._logged:
            self._log.info("source_recovered", outage_s=round(outage_s, 1), attempts=self._attempts, peer=peer)
        else:
            self._log.info("source_connected", peer=peer)
        self._logged.clear()
        self._attempts = 0

    def item_failed(self, sensor_id: str, reason: str) -> None:
        """Log it once for each reason."""
        self.state.failed_items[sensor_id] = reason
        self._log.warning("item_failed", sensor_id=sensor_id, reason=reason)

    def item_recovered(self, sensor_id: str) -> None:
        """Log it."""
        if self.state.failed_items.pop(sensor_id, None) is not None:
            self._log.info("item_recovered", sensor_id=sensor_id)

    def missed(self, since: datetime, until: datetime, reason: str) -> None:
        """Keep it as a gap."""
        self.state.missed_s += max(0.0, (until - since).total_seconds())
        self._port.add_gap(self._client.name, since, until, reason)
        self._log.debug("readings_missed", since=since.isoformat(), until=until.isoformat(), reason=reason)

    def counted(self, **increments: int) -> None:
        """Add to the durable counters."""
        self._port.add_counts(self._client.name, increments)

    # -- failures ----------------------------------------------------------------------------------------------------

    def _lost(self, error: Exception, fault: str | None = None) -> float:
        """Note a failure; return how long to wait."""
        kind = fault or next((name for cls, name in _KINDS if isinstance(error, cls)), "source")
        if self.state.connected_since is not None and self._clock.monotonic() - self.state.connected_since >= STABLE_S:
            self._pauses.proved()
        self.state.went_down(self._clock.monotonic())
        self.state.failed(kind, str(error))
        self._attempts += 1
        self._open_gap(f"{kind}: {error}")
        elsewhere = False
        if self._choice is not None:
            self._choice.failed(self._position)
            elsewhere = self._choice.untried()
        pause = self._pauses.failed(error, elsewhere=elsewhere)
        self._report(kind, error, pause)
        return pause

    def _moves(self, reason: str) -> None:
        """Note that the connection was given up for a better one."""
        self.state.went_down(self._clock.monotonic())
        self._open_gap(f"failover: {reason}")
        self._log.info("source_moves", reason=reason)

    def _open_gap(self, reason: str) -> None:
        if self._gap_since is None:
            # a wall clock that was stepped back must not make a gap that begins in the future
            self._gap_since = min(self._last_good, self._clock.now())
            self._port.open_gap(self._client.name, self._gap_since, reason)

    def _report(self, kind: str, error: Exception, pause: float) -> None:
        if kind in self._logged:
            self._log.debug("source_still_lost", fault=kind, error=str(error), attempts=self._attempts)
            return
        self._logged.add(kind)
        if kind == "auth":
            security_log().warning(
                "source_refused_us", source=self._client.name, error=str(error), next_attempt_s=round(pause, 1)
            )
        elif kind == "internal":
            self._log.error(
                "source_lost", fault=kind, error=repr(error), next_attempt_s=round(pause, 1), exc_info=error
            )
        else:
            self._log.warning("source_lost", fault=kind, error=str(error), next_attempt_s=round(pause, 1))


def _nothing() -> None:
    return None
