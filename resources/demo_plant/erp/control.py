"""How a fake ERP is told to misbehave, request by request, and what it counted: what all of them share."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour; `retry_after` goes into the header as it stands, `seconds` is the delay of `slow`."""

    kind: str
    retry_after: str | None = None
    seconds: float = 0.0

    async def delay(self) -> None:
        """Wait as long as the fault says."""
        if self.kind == "slow":
            await asyncio.sleep(self.seconds)


@dataclass(slots=True)
class Control:
    """Tells a fake what to do next and counts what it did; safe to use from another thread."""

    KINDS: ClassVar[tuple[str, ...]] = ()
    """The misbehaviours there are; those of the token endpoint begin with `token_`."""

    denied: set[str] = field(default_factory=set)
    """What the user behind the client may not read, by the name that the system has for it."""
    requests: int = 0
    """Requests for data."""
    records_sent: int = 0
    """Records in the answers sent."""
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    """What the last requests for data asked for, decoded."""
    _queue: deque[Fault | None] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def misbehave(
        self, kind: str, *, times: int = 1, after: int = 0, retry_after: str | None = None, seconds: float = 0.0
    ) -> None:
        """Let `after` requests pass and then `times` requests meet the fault `kind`; further calls queue behind.

        Raises:
            ValueError: There is no such kind.
        """
        if kind not in self.KINDS:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(self.KINDS)}")
        with self._lock:
            self._queue.extend([None] * after)
            self._queue.extend([Fault(kind, retry_after, seconds)] * times)

    def reset(self) -> None:
        """Behave: forget what was told to go wrong, and what was denied."""
        with self._lock:
            self._queue.clear()
        self.denied.clear()

    def next_fault(self, *, token: bool = False) -> Fault | None:
        """Return the fault of this request: of the token endpoint, or of the data service."""
        with self._lock:
            if not self._queue:
                return None
            due = self._queue[0]
            if (due is not None and due.kind.startswith("token_")) != token:
                return None
            return self._queue.popleft()


@dataclass(slots=True)
class TokenControl(Control):
    """Of a fake whose token endpoint numbers the tokens it gives out."""

    token_requests: int = 0
    """Requests to the token endpoint."""
    _expired_before: int = 0

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""
        with self._lock:
            self._expired_before = self.token_requests

    def token_is_current(self, number: int) -> bool:
        """Return whether the token of the `number`th token request still counts."""
        return number > self._expired_before
