"""Which of several addresses a source is read from: balanced by load, failed over by ServiceLevel and health.

A source names its addresses in order of preference. One that answers is better than one that has just failed, a higher
ServiceLevel better than a lower one, one with fewer connections of this collector better than a busier one; the order
of the configuration decides what is left. A source stays where it is until that address fails, or tells a ServiceLevel
below "healthy" while another may be better: moving costs a gap.
Source: OPC 10000-4, 6.6.2.4.2 (ServiceLevel: 0 maintenance, 1 no data, 2 to 199 degraded, 200 to 255 healthy).
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from resources.scada.connector import Address

HEALTHY_LEVEL = 200
"""The least ServiceLevel of a server that works as it should."""

FAILURE_REMEMBERED_S = 300.0
"""A failure counts against an address for this long: then it may have been mended."""

LEVEL_REMEMBERED_S = 1800.0
"""A ServiceLevel is believed for this long: asking the other server anew means moving there, which costs a gap."""


def parse_address(text: str) -> Address:
    """Return host and port of `host:port`, `[::1]:port` or a URL.

    Raises:
        ValueError: Host or port is missing, or the port is none.
    """
    parts = urlsplit(text if "://" in text else f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port:
        raise ValueError(f"{text!r} names no host and port: write host:port, or the whole URL")
    return Address(parts.hostname, port)


class EndpointLoads:
    """How many connections this process has to each address, over all sources."""

    def __init__(self) -> None:
        """Begin with none."""
        self._taken: Counter[Address] = Counter()
        self._freed = asyncio.Condition()

    def of(self, address: Address) -> int:
        """Return the connections to an address."""
        return self._taken[address]

    def take(self, address: Address) -> None:
        """Count one more."""
        self._taken[address] += 1

    async def give_back(self, address: Address) -> None:
        """Count one less, and wake who waits for a free one."""
        self._taken[address] -= 1
        async with self._freed:
            self._freed.notify_all()

    async def wait(self) -> None:
        """Return when a connection was given back."""
        async with self._freed:
            await self._freed.wait()


@dataclass(slots=True)
class _Known:
    """What is known of one address."""

    failed_at: float | None = None
    level: int | None = None
    level_at: float = 0.0


class EndpointChoice:
    """The addresses of one source, and which to use next; marks are seconds of the monotonic clock."""

    def __init__(
        self,
        addresses: Sequence[Address],
        loads: EndpointLoads,
        monotonic: Callable[[], float],
        limit: int | None = None,
    ) -> None:
        """Choose among `addresses`; `limit` connections to one at most."""
        self.addresses = tuple(addresses)
        self._loads, self._monotonic, self._limit = loads, monotonic, limit
        self._known = [_Known() for _ in self.addresses]

    def pick(self) -> int | None:
        """Return the position of the best address with a free connection, None if there is none."""
        free = [position for position in range(len(self.addresses)) if self._has_room(position)]
        return min(free, key=self._rank) if free else None

    async def take(self) -> int:
        """Wait for a free connection, count it as ours and return its position; `give_back` it."""
        while (position := self.pick()) is None:
            await self._loads.wait()
        self._loads.take(self.addresses[position])
        return position

    async def give_back(self, position: int) -> None:
        """Count the connection as closed."""
        await self._loads.give_back(self.addresses[position])

    def failed(self, position: int) -> None:
        """Note that an attempt failed or the connection broke."""
        self._known[position] = _Known(failed_at=self._monotonic())

    def worked(self, position: int) -> None:
        """Note that a connection came up, or that the port takes connections again."""
        self._known[position].failed_at = None

    def told_level(self, position: int, level: int) -> None:
        """Note the ServiceLevel that a server told."""
        known = self._known[position]
        known.level, known.level_at = level, self._monotonic()

    def untried(self) -> bool:
        """Return whether an address is left that has not failed lately."""
        return any(not self._has_failed(position) for position in range(len(self.addresses)))

    def better_than(self, position: int) -> int | None:
        """Return an address that deserves to be preferred to the one in use because its server is not healthy."""
        mine = self._level(position)
        if mine >= HEALTHY_LEVEL:
            return None
        others = [p for p in range(len(self.addresses)) if p != position and self._has_room(p)]
        best = min(others, key=self._rank, default=None)
        if best is None or self._has_failed(best) or self._level(best) <= mine:
            return None
        return best

    def _has_room(self, position: int) -> bool:
        return self._limit is None or self._loads.of(self.addresses[position]) < self._limit

    def _rank(self, position: int) -> tuple[float, int, int, int]:
        # of those that have failed the one that failed first: else the same dead one would be tried for ever
        failed_at = self._known[position].failed_at
        failure = failed_at if failed_at is not None and self._has_failed(position) else -math.inf
        # healthy is healthy: 255 is not to draw everything away from 240
        level = min(self._level(position), HEALTHY_LEVEL)
        return failure, -level, self._loads.of(self.addresses[position]), position

    def _has_failed(self, position: int) -> bool:
        failed_at = self._known[position].failed_at
        return failed_at is not None and self._monotonic() - failed_at < FAILURE_REMEMBERED_S

    def _level(self, position: int) -> int:
        known = self._known[position]
        if known.level is None or self._monotonic() - known.level_at >= LEVEL_REMEMBERED_S:
            return HEALTHY_LEVEL
        return known.level
