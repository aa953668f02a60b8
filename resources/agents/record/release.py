"""Which targets of a message may have it now: slots, turns, silence and enough answers. Pure; no clock, no I/O.

The deliveries of a message are rows from the start; this only says when each is sent. It is kept with the message, so
that the next orchestrator goes on in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Release:
    """How a message is let go to its targets, in their order."""

    concurrency: int | None = None
    """Most agents that are being waited for at a time; None: all at once."""
    needed: int | None = None
    """Good answers after which the message is done; None: every target is waited for."""
    patience_s: float | None = None
    """Silence after which an agent is sent the message again, or its place given to the next; None: never."""
    retries: int = 0
    """Sendings to a silent agent beyond the first."""

    @property
    def plain(self) -> bool:
        """Whether there is nothing to look after: all at once, everyone waited for, nothing sent again."""
        return self.concurrency is None and self.needed is None and self.patience_s is None

    def to_json(self) -> dict[str, Any]:
        """Return the column `agents.messages.release`."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Release:
        """Return what `to_json` has written; keys of later versions are ignored."""
        return cls(**{name: stored[name] for name in cls.__slots__ if name in stored})


class Turns:
    """The targets of one message while it is open; times are seconds of a monotonic clock."""

    def __init__(self, release: Release, attempts: dict[str, int], good: int = 0) -> None:
        """Begin, or go on where another orchestrator ended.

        Args:
            release: How the message is let go.
            attempts: Open targets in their order, and how often each was sent the message already.
            good: Good answers that are there already.
        """
        self._release = release
        self._good = good
        self._waiting = deque(agent for agent, count in attempts.items() if not count)
        self._held = set(self._waiting)
        self._tries = {agent: 0 for agent, count in attempts.items() if count}
        """Agents that hold a place, and how often this process sent them the message."""
        self._silent_at: dict[str, float] = {}

    @property
    def enough(self) -> bool:
        """Whether the good answers suffice."""
        return self._release.needed is not None and self._good >= self._release.needed

    @property
    def holds_any(self) -> bool:
        """Whether there are agents whose turn has not come yet."""
        return bool(self._held)

    def holds(self, agent_id: str) -> bool:
        """Return whether an agent's turn has not come yet."""
        return agent_id in self._held

    def take(self, now: float) -> list[str]:
        """Return who is to be sent the message now: the silent once more, and the next in the free places."""
        again = []
        for agent_id in [agent for agent, at in self._silent_at.items() if at <= now]:
            del self._silent_at[agent_id]
            if self._tries[agent_id] <= self._release.retries:
                again.append(agent_id)
            else:
                # it may still answer, but nobody waits behind it any longer
                del self._tries[agent_id]
        return [*again, *self._next()]

    def sent(self, agent_id: str, now: float) -> None:
        """Note that an agent is being sent the message."""
        if agent_id in self._tries:
            self._tries[agent_id] += 1
            if self._release.patience_s is not None:
                self._silent_at[agent_id] = now + self._release.patience_s

    def closed(self, agent_id: str, *, good: bool) -> None:
        """Note an agent's answer: its place is free."""
        self._good += good
        self._tries.pop(agent_id, None)
        self._silent_at.pop(agent_id, None)
        self._held.discard(agent_id)

    def due_at(self, now: float) -> float | None:
        """Return when `take` will have something to say; None while only answers can change that."""
        if self._held and self._places():
            return now
        return min(self._silent_at.values(), default=None)

    def _places(self) -> int:
        if self._release.concurrency is None:
            return len(self._held)
        return max(0, self._release.concurrency - len(self._tries))

    def _next(self) -> Sequence[str]:
        released: list[str] = []
        places = self._places()
        while self._waiting and len(released) < places:
            agent_id = self._waiting.popleft()
            if agent_id in self._held:
                self._held.discard(agent_id)
                self._tries[agent_id] = 0
                released.append(agent_id)
        return released
