"""When the next row of a recording may leave: not before its time at the wanted speed, not before there is room."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from resources.core.clock import Clock, SystemClock

_LOOK_EVERY_S = 0.005


class Pace:
    """Keeps the distances of the recording's times, divided by `speed`; infinity knows no other limit than room."""

    def __init__(self, first_us: int, speed: float = math.inf, clock: Clock | None = None) -> None:
        """Begin now with the row of `first_us`."""
        self._clock = clock or SystemClock()
        self._first_us = first_us
        self._speed = speed
        self._begun = self._clock.monotonic()

    async def wait(self, time_us: int, has_room: Callable[[], bool]) -> None:
        """Return when the row of `time_us` is due and `has_room`."""
        due_s = self._begun + (time_us - self._first_us) / 1e6 / self._speed
        while (left_s := due_s - self._clock.monotonic()) > 0:
            await asyncio.sleep(left_s)
        await until(has_room)


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds: what it asks of a server raises no event."""
    while not condition():
        await asyncio.sleep(_LOOK_EVERY_S)
