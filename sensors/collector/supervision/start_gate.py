"""Lets sources connect a few at a time: a hundred handshakes at once would make each of them slow.

A place is held until the source is connected or has failed, but never for longer than `hold_s`: a device that does not
answer keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PLACES = 12
"""Sources that may be in their first moments of connecting at once."""

HOLD_S = 0.25
"""Longest time that a place is held: longer than a connection takes within a plant."""


class StartGate:
    """Hands out places in the order they are asked for."""

    def __init__(self, places: int = PLACES, hold_s: float = HOLD_S) -> None:
        """Hand out `places` at a time."""
        self._places = asyncio.Semaphore(places)
        self._hold_s = hold_s

    async def enter(self) -> Callable[[], None]:
        """Wait for a place; return what gives it back, which happens by itself after `hold_s`."""
        await self._places.acquire()
        held = True

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                timer.cancel()
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._hold_s, leave)
        return leave
