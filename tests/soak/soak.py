"""The soak: devices of all protocols, a fault every ten seconds, one collector; at the end every number is accounted for.

`python -m tests.soak.soak --seconds 3600 --devices 100 --seed 7 --out soak.json` runs the long one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from benchmarks.scada.devices import Fleet
from resources.core.configuration.settings import load_yaml
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import find_programs
from resources.integrations import Integrations
from resources.window_buffer.reader import BufferReader
from sensors.collector.connection_health.history import HISTORY_FILE
from tests.soak.faults import Faults, Place
from tests.soak.faulty_proxy import FaultyProxy
from tests.soak.verdict import Verdict, read_gaps, read_rows, slope_per_hour, summary, verdict, write

REPOSITORY = Path(__file__).resolve().parents[2]
TAGS, INTERVAL_S = 5, 1.0
SHARES = {"modbus": 0.4, "opc_ua": 0.4, "mqtt": 0.2}
_PATIENCE_S = 240.0
_LOOK_EVERY_S = 0.5
_WARM_SHARE = 0.25
"""The first part of the run does not count for the slope of the memory: caches fill."""


@dataclass(frozen=True)
class Plan:
    """How long, how many, and which faults."""

    seconds: float
    devices: int = 100
    seed: int = 7
    every_s: float = 10.0


@dataclass
class Collecting:
    """`gl collect` as a process of its own, seen through its pages."""

    home: Path
    process: subprocess.Popen[bytes]
    client: httpx.AsyncClient
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, MB)."""
    back_after_s: list[float] = field(default_factory=list)
    """How long each broken source took to be connected once its fault was over."""
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.home / "collect.log"

    async def look(self) -> dict[str, dict[str, Any]]:
        """Return the findings of /healthz by name; none while the page is not there."""
        if self.process.poll() is not None:
            raise AssertionError(f"the collector has ended: {self.log.read_text()[-4000:]}")
        try:
            url = json.loads((self.home / "collector.json").read_text())["url"]
            page = await self.client.get(f"{url}/healthz")
            self.findings = {finding["name"]: finding for finding in page.json()["findings"]}
        except (OSError, ValueError, httpx.HTTPError):
            self.findings = {}
        return self.findings

    def is_connected(self, name: str) -> bool:
        return str(self.findings.get(f"source.{name}", {}).get("detail", "")).startswith("connected")

    async def until_connected(self, names: list[str]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not (await self.look() and all(map(self.is_connected, names))):
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            away = [name for name in names if not self.is_connected(name)]
            raise AssertionError(f"not connected: {away}; {self.log.read_text()[-4000:]}") from None

    async def watch(self, faults: Faults) -> None:
        """Sample the memory, and how soon healed devices are read again."""
        loop, process = asyncio.get_running_loop(), psutil.Process(self.process.pid)
        began, waiting = loop.time(), dict[str, float]()
        while True:
            await self.look()
            for healed_at, place in faults.healed:
                waiting.setdefault(place.name, healed_at)
            faults.healed.clear()
            broken = {place.name for place in faults.places if place.broken}
            for name, since in list(waiting.items()):
                if name in broken:
                    del waiting[name]
                elif self.is_connected(name):
                    self.back_after_s.append(loop.time() - since)
                    del waiting[name]
            self.memory.append((loop.time() - began, process.memory_info().rss / 1_048_576))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, 120)
        assert code == 0, self.log.read_text()[-4000:]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


async def soak(plan: Plan, folder: Path, broker: EmbeddedBroker) -> tuple[dict[str, Any], list[Verdict]]:
    """Run `plan` in `folder`; return the figures, and what became of every device's numbers."""
    chance = random.Random(plan.seed)
    async with AsyncExitStack() as ending:
        places = await _devices(plan, broker, chance, ending)
        fleets = list({id(place.fleet): place.fleet for place in places}.values())
        config_path, config = _configuration(folder, places)
        collecting = Collecting(folder, _collector(folder, config_path), httpx.AsyncClient(timeout=30))
        ending.push_async_callback(collecting.client.aclose)
        ending.callback(collecting.kill)
        names = [place.name for place in places]
        await collecting.until_connected(names)
        for fleet in fleets:
            await fleet.ask("work")
        faults = Faults(places, broker, chance, plan.every_s)
        watching = asyncio.create_task(collecting.watch(faults))
        try:
            await faults.run(plan.seconds)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await collecting.until_connected(names)
        times = await _rested(fleets, folder)
        await collecting.end()
        sessions = max(place.proxy.most_sessions for place in places)
    gaps = read_gaps(folder / "buffer")
    counts = BufferReader(folder / "buffer").counts()
    rows, deduplicated = await asyncio.to_thread(read_rows, folder / "buffer", config)
    verdicts = [
        verdict(
            place.name,
            place.fleet.kind,
            times[place.name],
            {f"{place.name}.{n}": rows[f"{place.name}.{n}"] for n in range(TAGS)},
            gaps.get(place.name, []),
        )
        for place in places
    ]
    unaccounted = sum(c.sent - c.buffered - c.rejected - c.in_gaps for c in counts.values())
    return _figures(plan, faults, collecting, summary(verdicts)) | {
        "deduplicated": deduplicated, "most_sessions_of_a_source": sessions, "unaccounted_by_the_counters": unaccounted,
    }, verdicts  # fmt: skip


async def _devices(plan: Plan, broker: EmbeddedBroker, chance: random.Random, ending: AsyncExitStack) -> list[Place]:
    """Start the devices and a proxy before each."""
    places = []
    for kind, share in SHARES.items():
        count = max(1, round(plan.devices * share))
        fleet = Fleet(kind, count, tags=TAGS, interval_s=INTERVAL_S, broker_port=broker.port)
        ending.push_async_callback(fleet.stop)
        await fleet.start()
        for number, (name, port) in enumerate(zip(fleet.names, fleet.ports, strict=True)):
            proxy = FaultyProxy(port, chance)
            await proxy.start()
            ending.push_async_callback(proxy.stop)
            places.append(Place(name, fleet, number, proxy))
    return places


def _configuration(folder: Path, places: list[Place]) -> tuple[Path, Integrations]:
    sources = {place.name: place.fleet.source(place.number, port=place.proxy.port) for place in places}
    start = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    path = folder / "integrations.yaml"
    content = {"site": "soak", "start": start, "window": "15m", "collector": {"port": 0}, "sources": sources}
    path.write_text(yaml.safe_dump(content))
    return path, load_yaml(path, Integrations)


def _collector(folder: Path, config_path: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "GL_DATABASE_URL"}
    with (folder / "collect.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "gl_assets.cli.main", "collect"],
            cwd=REPOSITORY,
            env=environment | {"GL_CONFIG": str(config_path), "GL_HOME": str(folder)},
            stdout=log,
            stderr=log,
        )


async def _rested(fleets: list[Fleet], folder: Path) -> dict[str, list[int]]:
    """Stop the devices, wait until all they counted has left them; return when each number was counted."""
    times: dict[str, list[int]] = {}
    for fleet in fleets:
        await fleet.ask("rest")
        if fleet.kind == "modbus":
            # what is polled counts with every poll: only out of reach it rests
            for number in range(fleet.count):
                await fleet.ask("stop", device=number)
    for fleet in fleets:
        await fleet.drained()
    # a message that left its device may still be on its way through the broker and the proxies
    await asyncio.sleep(5.0)
    for fleet in fleets:
        path = folder / f"{fleet.kind}.json"
        await fleet.ask("dump", path=str(path))
        times.update(zip(fleet.names, json.loads(path.read_text()), strict=True))
    return times


def _figures(plan: Plan, faults: Faults, collecting: Collecting, protocols: dict[str, Any]) -> dict[str, Any]:
    back = sorted(collecting.back_after_s)
    memory = collecting.memory
    warm = [sample for sample in memory if sample[0] >= _WARM_SHARE * memory[-1][0]] if memory else []
    return {
        "seconds": plan.seconds,
        "devices_in_all": sum(int(one["devices"]) for one in protocols.values()),
        "seed": plan.seed,
        "fault_every_s": plan.every_s,
        "faults": dict(sorted(faults.done.items())),
        "protocols": protocols,
        "back_after_s": {
            "count": len(back),
            "p50": round(back[len(back) // 2], 2) if back else None,
            "p95": round(back[int(len(back) * 0.95)], 2) if back else None,
            "max": round(back[-1], 2) if back else None,
        },
        "memory_mb": {
            "first": round(memory[0][1], 1) if memory else None,
            "last": round(memory[-1][1], 1) if memory else None,
            "most": round(max((mb for _, mb in memory), default=0.0), 1),
            "slope_mb_per_hour": round(slope_per_hour(warm), 2),
        },
    }


def main() -> None:
    """Run a soak and keep its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = EmbeddedBroker(folder / "broker", find_programs(print), BrokerOptions(insecure_anonymous=True))
        broker.start()
        try:
            plan = Plan(given.seconds, given.devices, given.seed, given.every)
            result, verdicts = asyncio.run(soak(plan, _made(folder / "gl"), broker))
        finally:
            broker.stop()
            log = folder / "gl" / "collect.log"
            if log.exists():
                given.out.with_suffix(".log").write_bytes(log.read_bytes())
            history = folder / "gl" / HISTORY_FILE
            if history.exists():
                # what `gl bench connections` measures the false alarms on
                given.out.with_suffix(".connections.npz").write_bytes(history.read_bytes())
    write(given.out, result, verdicts, datetime.now(UTC))
    print(json.dumps(result))  # noqa: T201


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
