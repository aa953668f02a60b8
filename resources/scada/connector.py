"""What every SCADA connector is, and what drives it: the protocol between a connector and the collector.

A connector reads one configured source. Its `run` is one connection: it connects, reads until it is cancelled or the
source fails, and leaves nothing open. Whoever drives it decides when to call `run` again (back-off, circuit breaker);
the object is kept between calls, because it remembers what must outlive a connection (the last poll's time, say).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from resources.core.readings import ReadingBatch

Emit = Callable[[ReadingBatch], Awaitable[None]]
"""Takes a batch, also when cancelled while it waits for room, and returns when the next one may come (back-pressure).

That keeps counts exact: a connector counts `sent` and calls without a pause in between.
"""


class StatusSink(Protocol):
    """Where a connector says how it fares; every method returns at once and never raises."""

    def connected(self, facts: Mapping[str, str], *, unbroken: bool = False) -> None:
        """Note that the connection is up and reading; `facts` are for logs and people (endpoint, security, session).

        `unbroken`: the peer has kept for us everything since the connection before, and delivers it: the time in
        between is no gap.
        """
        ...

    def item_failed(self, sensor_id: str, reason: str) -> None:
        """Note that one item cannot be read while others go on; called once for each new reason."""
        ...

    def item_recovered(self, sensor_id: str) -> None:
        """Note that an item that had failed is read again."""
        ...

    def missed(self, since: datetime, until: datetime, reason: str) -> None:
        """Note a stretch of source time that was not read although the connection was up; it becomes a gap."""
        ...

    def counted(self, **increments: int) -> None:
        """Add to the source's counters.

        `sent`: rows the source owed us. A subscribed source owes what arrived (readings, texts and rejects); a polled
        one owes scheduled polls x tags, less `unchanged`. Rows of an `only_if_newer` batch are not counted here:
        whoever decides that one of them becomes a reading counts it.
        `in_gaps`: those of `sent` that were scheduled but not read; `missed` or a raised error names the stretch.
        `unchanged`: values of a device with its own clock that were read again before the device had renewed them.
        `overruns`: polls that could not start on time. `overflows`: values whose queue had overflowed at the server.
        `failed_requests`: requests answered with an error.
        """
        ...


class ScadaClient(Protocol):
    """A connector of one source."""

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        ...

    @property
    def kind(self) -> str:
        """The protocol, as `kind` in the configuration."""
        ...

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect once, and emit batches until cancelled or until the source fails; never returns normally.

        Raises:
            UnreachableError: No connection, or the connection broke.
            AuthError: Credentials, certificate or permission refused.
            ProtocolError: The peer does not speak the protocol as configured.
            ConfigError: A file or an environment variable that the source needs is missing.
        """
        ...

    async def probe(self) -> SourceFacts:
        """Return what a short connection finds, for `gl doctor`; raises as `run`, and does not disturb it."""
        ...


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a look at a source found: it is reachable and lets us in, otherwise the look raised."""

    source: str
    kind: str
    endpoint: str
    security: str
    certificate_subject: str | None = None
    certificate_expires_at: datetime | None = None
    certificate_sha256: str | None = None
    """Fingerprint of the peer's certificate: what `pinned_sha256` takes."""
    clock_skew_s: float | None = None
    """The peer's clock less ours; None where the protocol does not tell."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Anything else worth a line: server product, number of nodes found, session kept."""


# -- what a connector may be able to do beyond reading; each is a protocol of its own, asked for by isinstance ---------


@dataclass(frozen=True, slots=True)
class Address:
    """Where a source listens: enough for a cheap look whether anybody is there."""

    host: str
    port: int


@runtime_checkable
class HasAddress(Protocol):
    """A connector whose peer can be looked for by opening a TCP connection and closing it again."""

    def addresses(self) -> Sequence[Address]:
        """Return every address that the source may be reached at, the preferred one first."""
        ...


@runtime_checkable
class HasGreeting(HasAddress, Protocol):
    """A connector whose peer answers a few bytes before any session or login: an open port alone may be a dead one."""

    def greeting(self, position: int) -> bytes:
        """Return what a live peer at `addresses()[position]` answers to at once; empty where there is no such thing."""
        ...


@runtime_checkable
class CanLook(Protocol):
    """A connector whose peer has no port to look at (datagrams, a serial line), but can be asked a trifle."""

    async def is_alive(self, timeout_s: float) -> bool:
        """Return whether the peer answers within `timeout_s`; only called while `run` is not running, never raises."""
        ...


@runtime_checkable
class HasEndpoints(HasAddress, Protocol):
    """A connector of a source that can be reached at several addresses."""

    def use(self, position: int) -> None:
        """Let the next connection go to `addresses()[position]`; the one that is open stays."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """What a connected peer said when it was asked whether it is well."""

    service_level: int | None = None
    """OPC UA ServiceLevel, 0 to 255; None where the protocol has none."""


@runtime_checkable
class HasHealth(Protocol):
    """A connector that can ask its peer over the connection that `run` holds, beside reading and cheaply."""

    async def check_health(self) -> Health:
        """Return what the peer answers; the caller sets the time limit.

        Raises:
            SourceError: The peer does not answer as it should, or there is no connection.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """How the latest request of a connection fared."""

    seconds: float
    """How long its answer took; the limit, if none came in time."""
    limit_s: float
    """How long an answer is waited for."""
    retries: int
    """Requests of this connection that had to be made again, since it was opened."""


@runtime_checkable
class TellsExchanges(Protocol):
    """A connector that asks its peer all the time: how soon that answers need not be asked for."""

    def last_exchange(self) -> Exchange | None:
        """Return how the latest request fared; None while there is no connection, or nothing was asked yet."""
        ...


@dataclass(frozen=True, slots=True)
class FoundItem:
    """Something that a source offers and that could become a tag."""

    address: Mapping[str, str]
    """The tag's own keys in `integrations.yaml` (`{"node_id": "nsu=...;s=..."}`), enough to read it."""
    path: str
    """Names from the root of the source down to the item, joined by `/`: what include and exclude match."""
    data_type: str
    """The protocol's name of its type."""
    unit: str | None = None
    """UCUM code, where the source tells."""
    is_text: bool = False
    writable: bool = False
    description: str = ""


@runtime_checkable
class KeepsState(Protocol):
    """A connector that knows something beside readings that must outlive the process."""

    def keep_state_in(self, folder: Path) -> None:
        """Take a folder of its own, which need not exist yet; called once, before the first `run`."""
        ...


@runtime_checkable
class RecallsCounts(Protocol):
    """A connector that goes by counters of its own which became durable together with the rows they speak of."""

    def recall(self, counts: Mapping[str, int]) -> None:
        """Take the source's counters that were added by name; called once, before the first `run`."""
        ...


@runtime_checkable
class CanDiscover(Protocol):
    """A connector that can list what its source offers."""

    async def discover(self) -> Sequence[FoundItem]:
        """Return everything readable, over a connection of its own; raises as `ScadaClient.run`."""
        ...


@runtime_checkable
class CanDiscoverInSession(Protocol):
    """A connector that can do so over the connection that `run` has open: what a collector that runs asks for."""

    async def discover_in_session(self) -> Sequence[FoundItem]:
        """Return what `CanDiscover.discover` does; raises UnreachableError while there is no connection."""
        ...


@runtime_checkable
class HasHistory(Protocol):
    """A connector whose source keeps history."""

    @property
    def no_history(self) -> Mapping[str, str]:
        """sensor_id -> why its history cannot be read, as the last `history` found once it had ended."""
        ...

    def history(
        self, sensor_ids: Sequence[str], since: datetime, until: datetime
    ) -> AsyncGenerator[ReadingBatch, None]:
        """Yield the stored readings of `[since, until)`, over a connection of its own; raises as `ScadaClient.run`."""
        ...


@runtime_checkable
class CanWrite(Protocol):
    """A connector that can write; who may write what is decided before it is called (`resources.scada.writes`)."""

    async def write(self, sensor_id: str, value: float | str) -> None:
        """Write one engineering value, over a connection of its own.

        Raises:
            ProtocolError: The source refused the value; the message has its own word for why.
            SourceError: As `ScadaClient.run`.
        """
        ...

    async def read(self, sensor_ids: Iterable[str] | None = None) -> ReadingBatch:
        """Read the present values once, over a connection of its own; raises as `ScadaClient.run`."""
        ...
