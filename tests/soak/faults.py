"""One fault after the other, drawn from a seed: which device, what happens to it, for how long."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.scada.devices import Fleet
from resources.embedded.broker import EmbeddedBroker
from tests.soak.faulty_proxy import FaultyProxy

KINDS = ("cut", "restart", "black_hole", "slow", "garbage")
SHORT_S, LONG_S = (0.0, 6.0), (5.0, 40.0)


@dataclass
class Place:
    """One device: its process, its number there, and the proxy before it."""

    name: str
    fleet: Fleet
    number: int
    proxy: FaultyProxy
    broken: int = 0
    """Faults that are on."""


@dataclass
class Faults:
    """What befalls the devices."""

    places: list[Place]
    broker: EmbeddedBroker
    chance: random.Random
    every_s: float = 10.0
    done: Counter[str] = field(default_factory=Counter)
    healed: list[tuple[float, Place]] = field(default_factory=list)
    """Loop time and place of each fault that is over and was not looked at yet."""
    _on: set[asyncio.Task[None]] = field(default_factory=set)
    _restarting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, seconds: float) -> None:
        """Begin a fault every `every_s` for `seconds`, and return when the last one is healed."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while loop.time() + self.every_s < ends:
            await asyncio.sleep(self.every_s)
            kind, place = self.chance.choice(KINDS), self.chance.choice(self.places)
            for_s = self.chance.uniform(*(LONG_S if kind == "black_hole" else SHORT_S))
            task = asyncio.create_task(self._befall(kind, place, for_s))
            self._on.add(task)
            task.add_done_callback(self._on.discard)
        await asyncio.gather(*self._on)

    async def _befall(self, kind: str, place: Place, for_s: float) -> None:
        self.done[f"{place.fleet.kind}.{kind}"] += 1
        struck = self._struck(kind, place)
        for one in struck:
            one.broken += 1
        cut_when_healed = self.chance.random() < 0.5
        match kind:
            case "cut":
                place.proxy.cut()
                for_s = 0.0
            case "restart":
                await self._restart(place, for_s)
            case "black_hole":
                place.proxy.go_silent()
            case "slow":
                place.proxy.go_slow(self.chance.uniform(0.05, 0.8))
            case "garbage":
                place.proxy.add_garbage()
                for_s = 0.0
        if kind != "restart":
            await asyncio.sleep(for_s)
            if kind == "black_hole" and cut_when_healed:
                place.proxy.cut()
            await place.proxy.heal()
        for one in struck:
            one.broken -= 1
            self.healed.append((asyncio.get_running_loop().time(), one))

    def _struck(self, kind: str, place: Place) -> list[Place]:
        """Return who suffers: a broker takes all its devices along."""
        if kind == "restart" and place.fleet.kind == "mqtt":
            return [one for one in self.places if one.fleet.kind == "mqtt"]
        return [place]

    async def _restart(self, place: Place, for_s: float) -> None:
        """Stop the server of a device and start it again; one at a time, for the broker is one for all."""
        if place.fleet.kind == "mqtt":
            async with self._restarting:
                await asyncio.to_thread(self.broker.stop)
                await asyncio.sleep(for_s)
                await asyncio.to_thread(self.broker.start)
            return
        async with self._restarting:
            await place.fleet.ask("stop", device=place.number)
            await asyncio.sleep(for_s)
            await place.fleet.ask("start", device=place.number)
