"""How a connector hands on its source's events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from resources.core.events import SourceEvent

TakeEvents = Callable[[Sequence[SourceEvent]], Awaitable[None]]
"""Takes events and returns once they are durable, also when it is cancelled meanwhile."""


@runtime_checkable
class TellsEvents(Protocol):
    """A connector that can hand on its source's events."""

    def tell_events(self, take: TakeEvents) -> bool:
        """Hand events to `take` from the next connection on; return whether the source is configured to tell any."""
        ...
