"""How fast the Modbus connector reads, against hand-written block reads, and by how many requests, against the fewest.

Both read the same registers of the same server, a pymodbus server in a process of its own, one request at a time and
without a pause. The collector decodes, buffers and syncs; the other side, pymodbus' client, reads and counts.
`python -m benchmarks.scada.modbus`
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from benchmarks.scada.collected import collected_per_s
from resources.core.tags import Sensor, SensorCatalog
from resources.embedded.ports import free_port
from resources.scada.modbus.client import ModbusClient
from resources.scada.modbus.config import ModbusConfig
from resources.scada.values import collect

TAGS = 1_000
"""float32, one after the other: 2,000 registers, 17 requests of at most 124."""
SECONDS = 4.0
MAPS = 12
_WORDS = 2
_LARGEST = 125
_LIMIT_S = 60.0


def measure(repeats: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Return ratios and rates, medians of `repeats` runs in turns.

    `modbus_vs_bare`: values/s from the device into the buffer over those of pymodbus' client with the fewest block
    reads that a person would write by hand. `modbus_requests_vs_optimum`: the worst of some register maps with holes,
    forbidden and refused registers: requests a poll at the server over the fewest that can be.
    """
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as name, _Server() as server:
        for number in range(repeats):
            progress(f"modbus: run {number + 1} of {repeats}")
            bare.append(asyncio.run(_bare(server.port)))
            ours.append(asyncio.run(_collected(server.port, Path(name) / f"n{number}")))
    progress(f"modbus: requests for {MAPS} register maps")
    requests = asyncio.run(_requests_vs_optimum())
    return {
        "modbus_vs_bare": round(statistics.median(ours) / statistics.median(bare), 2),
        "modbus_values_per_s": round(statistics.median(ours)),
        "modbus_bare_values_per_s": round(statistics.median(bare)),
        "modbus_requests_vs_optimum": round(requests, 3),
    }


# -- the server, in a process of its own -------------------------------------------------------------------------------


class _Server:
    """Serves registers until the block ends."""

    def __enter__(self) -> _Server:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scada.modbus", "serve", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the Modbus server did not come up")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=_LIMIT_S)


async def _serve(port: int) -> None:
    data = [SimData(0, count=_WORDS * TAGS, values=17_000, datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(1, simdata=data), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.shutdown()  # type: ignore[no-untyped-call]


# -- speed -------------------------------------------------------------------------------------------------------------


async def _bare(port: int) -> float:
    """Return values/s of block reads as large as they may be, whose values are counted and nothing else."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    size = _LARGEST // _WORDS * _WORDS
    blocks = [(start, min(size, _WORDS * TAGS - start)) for start in range(0, _WORDS * TAGS, size)]
    values, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < SECONDS:
        for start, count in blocks:
            answer = await client.read_holding_registers(start, count=count, device_id=1)
            values += len(answer.registers) // _WORDS
    client.close()
    return values / seconds


async def _collected(port: int, home: Path) -> float:
    """Return values/s of the collector, from its first reading on; every one is in its buffer."""
    tags = [{"sensor_id": f"s{n}", "unit": "bar", "address": _WORDS * n} for n in range(TAGS)]
    # an interval that cannot be kept: poll after poll without a pause
    source = {"kind": "modbus", "host": "127.0.0.1", "port": port, "poll_interval": "1ms", "tags": tags}
    return await collected_per_s(source, home, seconds=SECONDS, limit_s=_LIMIT_S)


# -- number of requests ------------------------------------------------------------------------------------------------


class _Map:
    """A register map with holes, registers that must not be read, and some that the device refuses."""

    def __init__(self, chance: random.Random) -> None:
        self.width = chance.choice([1, 2])
        self.longest, self.max_gap = chance.choice([20, 60, 125]), chance.choice([0, 4, 8, 30])
        self.tags: list[int] = []
        self.forbidden: set[int] = set()
        self.refused: set[int] = set()
        address = 0
        while address < 1_500:
            run = chance.randrange(1, 40)
            self.tags += range(address, address + run * self.width, self.width)
            address += run * self.width
            hole = chance.choice([0, 1, 3, 7, 9, 33])
            kind = chance.random()
            if hole and kind < 0.2:
                self.forbidden.add(address + hole // 2)
            elif hole and kind < 0.4:
                self.refused.add(address + hole // 2)
            address += hole
        self.refused |= {tag for tag in self.tags if chance.random() < 0.01}

    def config(self, port: int) -> ModbusConfig:
        """Return a source that reads it."""
        kind = "int16" if self.width == 1 else "float32"
        return ModbusConfig.model_validate(
            {
                "kind": "modbus",
                "host": "127.0.0.1",
                "port": port,
                "poll_interval": "10ms",
                "max_registers": self.longest,
                "max_gap": self.max_gap,
                "forbidden_addresses": [{"first": a, "last": a} for a in sorted(self.forbidden)],
                "tags": [
                    {"sensor_id": f"s{n}", "unit": "1", "address": a, "data_type": kind}
                    for n, a in enumerate(self.tags)
                ],
            }
        )

    def optimum(self) -> int:
        """Return the fewest requests that read every tag the device gives, by trying every request there could be."""
        wanted = [tag for tag in self.tags if tag not in self.refused]
        closed = self.forbidden | self.refused
        used = {address for tag in wanted for address in range(tag, tag + self.width)}
        fewest = [0] * (len(wanted) + 1)
        for first in range(len(wanted) - 1, -1, -1):
            # any request that reads this tag begins here or before; what it reads before is read already
            begins = range(max(0, wanted[first] + self.width - self.longest), wanted[first] + 1)
            reaches = [_reach(begin, wanted, first, self, used, closed) for begin in begins]
            fewest[first] = 1 + min(fewest[reach] for reach in reaches if reach > first)
        return fewest[0]


def _reach(
    begin: int, wanted: Sequence[int], first: int, places: _Map, used: Collection[int], closed: Collection[int]
) -> int:
    """Return the position after the last tag that a request from `begin` on may hold with all from `first` on."""
    unused, reach, address = 0, first, begin
    while address < begin + places.longest and reach < len(wanted):
        unused = 0 if address in used else unused + 1
        if address in closed or unused > places.max_gap:
            break
        address += 1
        if address == wanted[reach] + places.width:
            reach += 1
    return reach


async def _requests_vs_optimum() -> float:
    chance = random.Random(22)
    worst = 0.0
    for _ in range(MAPS):
        places = _Map(chance)
        polled = await _requests_per_poll(places)
        worst = max(worst, polled / places.optimum())
    return worst


async def _requests_per_poll(places: _Map) -> float:
    """Return requests a poll as the server counts them, once the refused registers are known."""
    requests: list[int] = []

    async def answer(
        _function: int, _start: int, address: int, count: int, _current: list[int], _new: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        requests.append(address)
        refused = not places.refused.isdisjoint(range(address, address + count))
        return ExcCodes.ILLEGAL_ADDRESS if refused else None

    port = free_port()
    data = [SimData(0, count=2_000, values=0, datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(1, simdata=data, action=answer), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    config = places.config(port)
    catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, "bench") for tag in config.tags)
    polling = asyncio.create_task(collect(ModbusClient("bench", config, catalog), _LIMIT_S))
    first = min(tag for tag in places.tags if tag not in places.refused)
    async with asyncio.timeout(_LIMIT_S):
        while requests.count(first) < 10:  # a figure is waited for
            await asyncio.sleep(0.01)
    polling.cancel()
    with suppress(asyncio.CancelledError):
        await polling
    await server.shutdown()  # type: ignore[no-untyped-call]
    # between two reads of the first register lies one poll
    marks = [position for position, address in enumerate(requests) if address == first]
    return float(marks[-1] - marks[-2])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(_serve(int(sys.argv[2])))
    else:
        result: dict[str, Any] = measure(3, lambda step: print(step, file=sys.stderr))  # noqa: T201
        sys.stdout.write(json.dumps(result) + "\n")
