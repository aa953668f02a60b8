"""The running plant: one tick a second for all sources, and what its control may ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import ConfigError
from resources.demo_plant.misbehaviour import Plans, is_reading, refuse_impossible
from resources.demo_plant.plant import Plant
from resources.demo_plant.sources import Measurements, Source, report

log = structlog.get_logger(__name__)

_SECOND_US = 1_000_000
_MOST_BEHIND_S = 60


class RunningPlant:
    """All sources of one plant.

    `held` starts it frozen: servers answer, nothing changes, until `go_on`. A frozen plant makes no values, so that
    whoever reads it can drain what was sent.
    """

    def __init__(
        self, plant: Plant, sources: Mapping[str, Source], *, clock: Clock | None = None, held: bool = False
    ) -> None:
        """Take the plant and its sources; `start` opens them."""
        self.plant = plant
        self.sources = dict(sources)
        self.frozen = held
        self._clock = clock or SystemClock()
        self._plans = Plans()
        self._measurements = Measurements(plant)
        self._ended = asyncio.Event()
        self._restarting: set[asyncio.Task[None]] = set()
        self._next_us = self._second() + _SECOND_US

    def _second(self) -> int:
        now = to_micros(self._clock.now())
        return now - now % _SECOND_US

    async def start(self) -> None:
        """Open all sources; every node and register has a value before anyone can look."""
        first = self._second()
        self._next_us = first + _SECOND_US
        for name, source in self.sources.items():
            # a message is an event, not a state: the broker need not hear of the second before the start
            if source.counts.kind != "mqtt":
                await source.send(first, self._measurements.at(name, first), lambda: None)
            await source.start()

    async def run(self) -> None:
        """Tick until `end`; a second that came too late is made up for, with its own time."""
        while not self._ended.is_set():
            wait_s = (self._next_us - to_micros(self._clock.now())) / 1e6
            if wait_s > 0:
                await self._wait(wait_s)
            elif wait_s < -_MOST_BEHIND_S:
                log.warning("plant_slept", missed_s=round(-wait_s))
                self._next_us = self._second() + _SECOND_US
            else:
                await self.tick(self._next_us)
                self._next_us += _SECOND_US
                await asyncio.sleep(0)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return

    async def tick(self, time_us: int) -> None:
        """Send the measurements of one second, unless frozen."""
        if self.frozen:
            return
        for name, source in self.sources.items():
            await source.send(time_us, self._measurements.at(name, time_us), partial(self._plans.take, name))

    def end(self) -> None:
        """Let `run` return."""
        self._ended.set()

    async def stop(self) -> None:
        """Close all sources."""
        self.end()
        for task in self._restarting:
            task.cancel()
        await asyncio.gather(*self._restarting, return_exceptions=True)
        for source in self.sources.values():
            await source.stop()

    def go_on(self) -> None:
        """Make values again, from now on."""
        if self.frozen:
            self._next_us = self._second() + _SECOND_US
            self.frozen = False

    async def freeze(self, *, drain_s: float) -> bool:
        """Make no more values, and wait until what was made has been taken over; return whether all of it was."""
        self.frozen = True
        deadline = self._clock.monotonic() + drain_s
        while any(source.pending() for source in self.sources.values()):
            if self._clock.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def misbehave(self, kind: str, source: str, *, count: int = 1, seconds: float = 2.0) -> None:
        """Do something wrong.

        Raises:
            ConfigError: There is no such source or kind, or the protocol cannot do it.
        """
        refuse_impossible(source, kind)
        if count < 1 or seconds < 0:
            raise ConfigError(f"demo plant: count {count} and seconds {seconds} must be at least 1 and 0")
        log.info("plant_misbehaves", kind=kind, source=source, count=count)
        target = self.sources[source]
        if kind == "drop_connection":
            target.counts.misbehaved[kind] += 1
            target.counts.extra["connections_cut"] += target.drop()
        elif kind == "restart":
            task = asyncio.create_task(self._restart(target, seconds))
            self._restarting.add(task)
            task.add_done_callback(self._restarting.discard)
        elif is_reading(kind):
            target.misbehave(kind, count)
            if target.counts.kind != "modbus":
                self._plans.add(source, kind, count)

    @staticmethod
    async def _restart(target: Source, seconds: float) -> None:
        target.counts.misbehaved["restart"] += 1
        await target.stop()
        await asyncio.sleep(seconds)
        await target.start()

    def counts(self) -> dict[str, Any]:
        """Return what was sent, by source."""
        return {
            "seed": self.plant.seed,
            "frozen": self.frozen,
            "planned": self._plans.waiting(),
            "sources": report(self.sources),
        }

    def sent_between(self, source: str, since: datetime, until: datetime) -> int:
        """Return how many values a source sent with source times in `[since, until)`.

        Raises:
            ConfigError: There is no such source.
        """
        if source not in self.sources:
            raise ConfigError(f"demo plant: no source {source!r}; there are {', '.join(self.sources)}")
        return self.sources[source].counts.sent_between(to_micros(since), to_micros(until))
