"""One slot of every source: how soon it answers, what had to be tried again, what was not read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resources.core.clock import Clock
from resources.core.errors import PlatformError
from resources.scada.connector import HasHealth, ScadaClient, TellsExchanges
from sensors.collector.connection_health.history import Floats, Slots
from sensors.collector.state import SourceState

_SHARE_FOR_ASKING = 0.5
"""Part of a slot over which the questions are spread, so that a hundred sources are not asked at once."""


@dataclass(slots=True)
class _Seen:
    """What a source's counters said at the end of the last slot."""

    mark: float
    up_s: float
    failures: int
    missed_s: float
    retries: int = 0


class Sampler:
    """Asks, and reads the counters."""

    def __init__(
        self, clients: Sequence[ScadaClient], states: Sequence[SourceState], limits_s: Sequence[float], clock: Clock
    ) -> None:
        """Sample these sources; `limits_s`: how long each one's answers are waited for."""
        self.names = tuple(client.name for client in clients)
        self._clients, self._states, self._clock = clients, states, clock
        self.limit_s: Floats = np.array(limits_s, dtype=np.float64)
        """Per source; a connector that knows better tells its own."""
        mark = clock.monotonic()
        self._seen = [_seen(state, mark) for state in states]

    async def sample(self, slot_s: float) -> Slots:
        """Return the slot that begins now, at its end."""
        ends = asyncio.get_running_loop().time() + slot_s
        pause_s = _SHARE_FOR_ASKING * slot_s / max(1, len(self._clients))
        patience_s = (1.0 - _SHARE_FOR_ASKING) * slot_s
        asked = [
            asyncio.create_task(self._ask(position, position * pause_s, patience_s))
            for position in range(len(self._clients))
        ]
        try:
            await asyncio.sleep(ends - asyncio.get_running_loop().time())
        finally:
            for task in asked:
                task.cancel()
            answers = await asyncio.gather(*asked, return_exceptions=True)
        latency = np.array([answer if isinstance(answer, float) else np.nan for answer in answers])
        return self._slot(latency)

    async def _ask(self, position: int, after_s: float, patience_s: float) -> float:
        """Return how long an answer of a connected source took; NaN if there is nothing to say."""
        client, state = self._clients[position], self._states[position]
        if isinstance(client, TellsExchanges) or not isinstance(client, HasHealth):
            return float("nan")
        await asyncio.sleep(after_s)
        if not state.connected:
            return float("nan")
        limit_s, began = float(self.limit_s[position]), self._clock.monotonic()
        try:
            async with asyncio.timeout(min(limit_s, patience_s)):
                await client.check_health()
        except TimeoutError:
            # longer than that, and nobody knows how much longer
            return limit_s
        except PlatformError:
            # the connection ends, and whoever drives it says why
            return float("nan")
        return self._clock.monotonic() - began

    def _slot(self, latency_s: Floats) -> Slots:
        mark, now = self._clock.monotonic(), self._clock.now().timestamp()
        retried = np.zeros(len(self._states), dtype=np.bool_)
        unread_s, down_s = np.zeros(len(self._states)), np.zeros(len(self._states))
        for position, (client, state, before) in enumerate(zip(self._clients, self._states, self._seen, strict=True)):
            seen = _seen(state, mark)
            if isinstance(client, TellsExchanges) and (last := client.last_exchange()) is not None:
                latency_s[position], self.limit_s[position] = last.seconds, last.limit_s
                seen.retries = last.retries
            length_s = mark - before.mark
            down_s[position] = _above_noise(length_s - (seen.up_s - before.up_s))
            unread_s[position] = min(length_s, down_s[position] + seen.missed_s - before.missed_s)
            retried[position] = seen.failures > before.failures or seen.retries > before.retries
            self._seen[position] = seen
        row = (None, slice(None))
        return Slots(np.array([now]), latency_s[row], retried[row], unread_s[row], down_s[row])


def _seen(state: SourceState, mark: float) -> _Seen:
    current_s = mark - state.connected_since if state.connected_since is not None else 0.0
    return _Seen(mark, state.connected_before_s + current_s, sum(state.failures.values()), state.missed_s)


def _above_noise(seconds: float) -> float:
    """Return a difference of marks, 0 where it is none but for rounding."""
    return seconds if seconds > 1e-6 else 0.0
