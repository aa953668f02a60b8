"""How long a source is left alone after a failure, and what ends that early: back-off, circuit breaker, looks."""

from __future__ import annotations

import asyncio

from resources.core.clock import Clock
from resources.core.errors import ProtocolError, UnreachableError
from resources.scada.config import SourceOptions
from resources.scada.connector import CanLook, HasAddress, HasGreeting, ScadaClient
from resources.transport.tcp_look import PortLooker
from resources.transport.turns.circuit_breaker import CircuitBreaker
from sensors.collector.state import SourceState
from sensors.collector.supervision.backoff import Backoff
from sensors.collector.supervision.lookout import Lookout


class Pauses:
    """The pauses of one source."""

    def __init__(
        self,
        client: ScadaClient,
        options: SourceOptions,
        state: SourceState,
        *,
        clock: Clock,
        backoff: Backoff,
    ) -> None:
        """Leave a source alone as `options` say; keep what is to be seen in `state`."""
        self._client = client
        self._addresses = client.addresses() if isinstance(client, HasAddress) else ()
        self._state = state
        self._clock = clock
        self._backoff = backoff
        self._probe_interval_s = options.probe_interval.total_seconds()
        self._breaker = CircuitBreaker(
            failures=options.circuit_breaker.failures,
            recovery_s=options.circuit_breaker.recovery.total_seconds(),
            monotonic=clock.monotonic,
        )
        looks_at = len(self._addresses) or int(isinstance(client, CanLook))
        self._lookouts = [Lookout() for _ in range(looks_at)]

    def attempt(self) -> None:
        """Note that an attempt begins."""
        self._breaker.attempt()
        self._state.next_attempt = None
        self._show()

    def connected(self) -> None:
        """Note that it succeeded."""
        self._breaker.succeeded()
        self._show()

    def proved(self) -> None:
        """Note that the connection had lasted: the next pauses are short again."""
        self._backoff.reset()
        for lookout in self._lookouts:
            lookout.proved()

    def failed(self, error: Exception, *, elsewhere: bool) -> float:
        """Note a failure; return how long to wait, not at all if there is an address `elsewhere` to try."""
        self._breaker.failed()
        self._show()
        pause = self._backoff.pause_after(error)
        if elsewhere and _looking_helps(error):
            return 0.0
        return max(pause, self._breaker.wait_s())

    async def wait(self, error: Exception, pause_s: float, looker: PortLooker) -> int | None:
        """Sleep for `pause_s`, or until a look says that the source is back; return the address it is back at."""
        self._state.next_attempt = self._clock.monotonic() + pause_s
        loop = asyncio.get_running_loop()
        began = now = loop.time()
        ends = began + pause_s
        while _looking_helps(error) and now + self._probe_interval_s < ends:
            await asyncio.sleep(now + self._probe_interval_s - loop.time())
            now = loop.time()
            if (position := await self._look(looker, now - began)) is not None:
                return position
        await asyncio.sleep(ends - loop.time())
        return None

    async def _look(self, looker: PortLooker, waited_s: float) -> int | None:
        """Return the position of an address that is worth trying now."""
        if not self._lookouts:
            return None
        self._state.looks += 1
        alive = await self._alive(looker)
        worth = [
            lookout.worth_trying(is_open, waited_s) for lookout, is_open in zip(self._lookouts, alive, strict=True)
        ]
        return worth.index(True) if True in worth else None

    async def _alive(self, looker: PortLooker) -> list[bool]:
        """Return for each address, or for the peer itself where there is none, whether somebody answers."""
        if not self._addresses and isinstance(self._client, CanLook):
            return [await self._client.is_alive(self._probe_interval_s)]
        return await asyncio.gather(
            *(
                looker.is_alive(address.host, address.port, self._probe_interval_s, self._greeting(position))
                for position, address in enumerate(self._addresses)
            )
        )

    def _greeting(self, position: int) -> bytes:
        return self._client.greeting(position) if isinstance(self._client, HasGreeting) else b""

    def _show(self) -> None:
        self._state.circuit = self._breaker.state
        self._state.failures_in_row = self._breaker.failures


def _looking_helps(error: Exception) -> bool:
    """Return whether an open port could mean that `error` is over: refused credentials stay refused."""
    return isinstance(error, UnreachableError | ProtocolError)
