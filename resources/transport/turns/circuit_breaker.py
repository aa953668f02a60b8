"""A circuit breaker: after some failures in a row a peer is left alone for a while, then tried once.

::

    CLOSED ── `failures` in a row ──► OPEN ── recovery over, or ended early ──► HALF_OPEN ── success ──► CLOSED
                                        ▲                                           │
                                        └───────────────── failure ─────────────────┘

Pure: no task, no sleep; whoever drives it asks how long to wait and says how an attempt went.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Circuit(StrEnum):
    """The state of a circuit breaker."""

    CLOSED = "closed"
    """Attempts are made."""
    OPEN = "open"
    """No attempt is made."""
    HALF_OPEN = "half_open"
    """One attempt decides."""


class CircuitBreaker:
    """Counts failures in a row; time is seconds of a monotonic clock."""

    def __init__(self, *, failures: int, recovery_s: float, monotonic: Callable[[], float]) -> None:
        """Begin closed; open after `failures` in a row, for `recovery_s`."""
        self._limit, self._recovery_s, self._monotonic = failures, recovery_s, monotonic
        self._state = Circuit.CLOSED
        self._open_until = 0.0
        self.failures = 0
        """Failures since the last success."""

    @property
    def state(self) -> Circuit:
        """The state now."""
        return self._state

    def wait_s(self) -> float:
        """Return how long to wait before the next attempt; 0 if it may be made now."""
        return max(0.0, self._open_until - self._monotonic()) if self._state is Circuit.OPEN else 0.0

    def attempt(self) -> None:
        """Note that an attempt begins; it is the one that decides if the circuit was open."""
        if self._state is Circuit.OPEN:
            self._state = Circuit.HALF_OPEN

    def succeeded(self) -> None:
        """Note that an attempt succeeded: close."""
        self._state, self.failures = Circuit.CLOSED, 0

    def failed(self) -> None:
        """Note that an attempt failed: open, if it was the one that decides or one too many."""
        self.failures += 1
        if self._state is Circuit.HALF_OPEN or self.failures >= self._limit:
            self._state = Circuit.OPEN
            self._open_until = self._monotonic() + self._recovery_s
