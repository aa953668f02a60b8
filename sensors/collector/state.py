"""What the collector knows about each source at this moment: written by its supervisor, read by health and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from resources.transport.turns.circuit_breaker import Circuit


@dataclass(slots=True)
class SourceState:
    """One source. All instants are aware UTC, all marks are seconds of the monotonic clock."""

    name: str
    kind: str
    started: float
    """Mark: when its supervisor began."""
    connected: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    """What the connector said of the connection: endpoint, security, session."""
    connected_since: float | None = None
    """Mark: since when the connection is up; None while it is down."""
    connected_before_s: float = 0.0
    """Seconds of all earlier connections."""
    down_since: float | None = None
    """Mark: since when the connection is down; None while it is up."""
    last_received_at: datetime | None = None
    """Wall time of the last batch."""
    last_received: float | None = None
    """Mark of the last batch."""
    rows: int = 0
    """Rows received since the start, rejects included."""
    failures: dict[str, int] = field(default_factory=dict)
    """Kind of error -> how often since the start."""
    connections: int = 0
    """How often a connection came up."""
    last_error: str | None = None
    """Message of the outage that goes on; None while the connection is up."""
    failed_items: dict[str, str] = field(default_factory=dict)
    """sensor_id -> why it cannot be read while the rest of the source can."""
    circuit: Circuit = Circuit.CLOSED
    """State of the circuit breaker."""
    failures_in_row: int = 0
    """Failed attempts since the last connection."""
    next_attempt: float | None = None
    """Mark: when the next attempt is due; None while one is made or the connection is up."""
    missed_s: float = 0.0
    """Seconds of source time that were not read although the connection was up, since the start."""
    looks: int = 0
    """How often the port was looked at while the source was left alone."""
    endpoint: str | None = None
    """`host:port` that is in use or was tried last; None where the source has no address."""
    service_level: int | None = None
    """OPC UA ServiceLevel that the server told last."""
    health_s: float | None = None
    """How long the last answer to a health check took."""
    health_at: datetime | None = None
    """Wall time of the last answer to a health check."""

    def uptime_share(self, mark: float) -> float:
        """Return the share of the time since the start in which the connection was up, 0 to 1."""
        current = mark - self.connected_since if self.connected_since is not None else 0.0
        total = mark - self.started
        return min(1.0, (self.connected_before_s + current) / total) if total > 0 else 0.0

    def went_up(self, mark: float, facts: dict[str, str]) -> None:
        """Note that the connection is up."""
        self.connected = True
        self.facts = facts
        self.connected_since = mark
        self.down_since = None
        self.last_error = None
        self.connections += 1

    def went_down(self, mark: float) -> None:
        """Note that the connection is down; a second time in a row changes nothing."""
        if self.connected_since is not None:
            self.connected_before_s += mark - self.connected_since
        self.connected = False
        self.connected_since = None
        self.failed_items.clear()
        self.service_level = self.health_s = self.health_at = None
        if self.down_since is None:
            self.down_since = mark

    def received(self, rows: int, at: datetime, mark: float) -> None:
        """Note a batch."""
        self.rows += rows
        self.last_received_at = at
        self.last_received = mark

    def failed(self, kind: str, message: str) -> None:
        """Count a failure and keep its message."""
        self.failures[kind] = self.failures.get(kind, 0) + 1
        self.last_error = message
