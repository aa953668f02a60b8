"""A supervisor and real ports: circuit breaker, looks, health checks, several addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from resources.core.clock import SystemClock
from resources.scada.config import SourceOptions
from resources.scada.endpoints import EndpointLoads
from resources.transport.turns.circuit_breaker import Circuit
from sensors.collector.state import SourceState
from sensors.collector.supervision import lookout
from sensors.collector.supervision.backoff import Backoff
from sensors.collector.supervision.start_gate import StartGate
from sensors.collector.supervision.supervisor import SourceSupervisor, Surroundings
from tests.unit.sensors.collector.bench import until
from tests.unit.sensors.collector.devices import Device, LineClient
from tests.unit.sensors.collector.test_supervisor import NoJitter, Notebook

FOREVER = "1h"


class Eager(Backoff):
    """Without a pause of its own: what is left is the circuit breaker's."""

    def pause_after(self, error: Exception) -> float:
        asked = super().pause_after(error)
        return asked if asked >= 60.0 else 0.01


class Patient(Backoff):
    """Always the longest pause."""

    def pause_after(self, error: Exception) -> float:
        return max(3600.0, super().pause_after(error))


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    device = Device()
    await device.start()
    yield device
    await device.stop()


@pytest.fixture
async def second() -> AsyncIterator[Device]:
    device = Device()
    await device.start()
    yield device
    await device.stop()


class Bench:
    def __init__(
        self, *devices: Device, around: Surroundings | None = None, name: str = "line", **options: Any
    ) -> None:
        clock = SystemClock()
        self.port = Notebook()
        self.state = SourceState(name, "line", clock.monotonic())
        self.supervisor = SourceSupervisor(
            LineClient(name, *devices),
            self.port,
            self.state,
            clock=clock,
            options=SourceOptions.model_validate({"probe_interval": "10ms", **options}),
            around=around or Surroundings(backoff=lambda: Eager(NoJitter())),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.supervisor.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def opens(**changes: Any) -> dict[str, Any]:
    return {"circuit_breaker": {"failures": 2, "recovery": FOREVER, **changes}}


async def test_source_when_its_device_comes_back_then_an_open_circuit_ends_by_the_look_at_its_port(
    device: Device,
) -> None:
    bench = Bench(device, **opens())
    await device.stop()
    async with bench.running():
        await until(lambda: bench.state.circuit is Circuit.OPEN and bench.state.looks > 2)
        assert bench.state.failures_in_row == 2
        assert bench.state.next_attempt is not None
        await device.start()
        await until(lambda: bench.state.connected)
        assert (bench.state.circuit, bench.state.failures_in_row) == (Circuit.CLOSED, 0)
        assert bench.state.next_attempt is None
        assert device.logins == 1


async def test_source_when_its_device_comes_back_then_a_long_pause_ends_by_the_look_as_well(device: Device) -> None:
    bench = Bench(device, around=Surroundings(backoff=lambda: Patient(NoJitter())))
    await device.stop()
    async with bench.running():
        await until(lambda: bench.state.looks > 2)
        assert bench.state.circuit is Circuit.CLOSED
        await device.start()
        await until(lambda: bench.state.connected)


async def test_source_when_the_port_is_open_and_every_session_is_refused_then_it_is_not_flooded(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "FIRST_PATIENCE_S", 0.04)
    device.answer = b""  # then the connection is closed
    bench = Bench(device, **opens())

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        device.logins += bool(await reader.readline())
        writer.close()

    await device.stop()
    refusing = await asyncio.start_server(close, "127.0.0.1", device.port)
    async with refusing, bench.running():
        await until(lambda: bench.state.looks >= 30)
        # two until the circuit opens, then one each time that the patience, doubled each time, is over
        assert 3 <= device.logins <= 16


async def test_source_when_credentials_are_refused_then_no_look_shortens_the_pause(device: Device) -> None:
    device.answer = b"who are you\n"
    bench = Bench(device, **opens())
    async with bench.running():
        await until(lambda: bench.state.failures == {"auth": 1})
        await device.stop()
        await device.start()
        await asyncio.sleep(0.1)  # ten times the probe interval: nothing may happen
        assert device.logins == 1
        assert bench.state.looks == 0


async def test_source_when_half_open_and_failing_then_open_again(device: Device) -> None:
    bench = Bench(device, circuit_breaker={"failures": 2, "recovery": "50ms"})
    await device.stop()
    async with bench.running():
        await until(lambda: bench.state.failures_in_row >= 4)
        assert bench.state.circuit in (Circuit.OPEN, Circuit.HALF_OPEN)


async def test_source_when_restarted_again_and_again_then_never_more_than_one_session(device: Device) -> None:
    bench = Bench(device)
    async with bench.running():
        for number in range(10):
            await until(lambda number=number: bench.state.connections == number + 1)
            device.cut()
    assert device.most_sessions == 1
    await until(lambda: device.sessions == 0)


async def test_source_when_it_does_not_come_up_in_time_then_it_is_disconnected_and_tried_again(device: Device) -> None:
    device.answer = b"wait\n"
    bench = Bench(device, start_timeout="50ms", circuit_breaker={"failures": 100})
    async with bench.running():
        await until(lambda: bench.state.failures.get("unreachable", 0) >= 2)
        assert "could not be read within 0.05 s" in (bench.state.last_error or "")
        device.answer = b"welcome\n"
        await until(lambda: bench.state.connected)
    assert device.most_sessions == 1


async def test_source_when_quiet_then_it_is_asked_over_the_connection_it_has(device: Device) -> None:
    bench = Bench(device, health_interval="20ms")
    async with bench.running():
        await until(lambda: bench.state.health_at is not None)
        assert bench.state.service_level == 255
        assert (device.logins, device.most_sessions) == (1, 1)


async def test_source_when_it_does_not_answer_then_it_is_lost_and_connected_anew(device: Device) -> None:
    device.deaf = True
    bench = Bench(device, health_interval="20ms", connect_timeout="50ms")
    async with bench.running():
        await until(lambda: bench.state.failures.get("unreachable", 0) >= 1)
        device.deaf = False
        await until(lambda: bench.state.connected and bench.state.health_at is not None)
    assert "no answer to a health check in 0.05 s" in str(bench.port.notes)


async def test_ask_when_a_person_wants_to_know_then_the_answer_is_there_at_once(device: Device) -> None:
    bench = Bench(device, health_interval=FOREVER)
    await bench.supervisor.ask()  # not running: nothing to ask
    async with bench.running():
        await until(lambda: bench.state.connected)
        await asyncio.wait_for(bench.supervisor.ask(), 30)
        first = bench.state.health_at
        assert first is not None
        await asyncio.wait_for(bench.supervisor.ask(), 30)
        assert bench.state.health_at is not None
        assert bench.state.health_at > first


async def test_ask_when_the_connection_ends_meanwhile_then_it_returns(device: Device) -> None:
    device.deaf = True
    bench = Bench(device, health_interval=FOREVER)
    async with bench.running():
        await until(lambda: bench.state.connected)
        asking = asyncio.create_task(bench.supervisor.ask())
        await asyncio.sleep(0)
        device.cut()
        await asyncio.wait_for(asking, 30)


# -- several addresses -----------------------------------------------------------------------------------------------


async def test_endpoints_when_the_first_dies_then_the_second_at_once_and_the_outage_is_one_gap(
    device: Device, second: Device
) -> None:
    bench = Bench(device, second, around=Surroundings(backoff=lambda: Patient(NoJitter())))
    async with bench.running():
        await until(lambda: bench.state.connected)
        assert bench.state.endpoint == f"127.0.0.1:{device.port}"
        await device.stop()
        await until(lambda: bench.state.connected and bench.state.connections == 2)
        assert bench.state.endpoint == f"127.0.0.1:{second.port}"
    assert [note[0] for note in bench.port.notes].count("open") == 1


async def test_endpoints_when_both_are_dead_then_the_one_that_comes_back_is_used(
    device: Device, second: Device
) -> None:
    bench = Bench(device, second, **opens())
    await device.stop()
    await second.stop()
    async with bench.running():
        await until(lambda: bench.state.circuit is Circuit.OPEN and bench.state.looks > 2)
        await second.start()
        await until(lambda: bench.state.connected)
        assert bench.state.endpoint == f"127.0.0.1:{second.port}"


async def test_endpoints_when_the_server_is_degraded_then_the_healthy_one_is_read_and_no_failure_counted(
    device: Device, second: Device
) -> None:
    bench = Bench(device, second, health_interval="20ms")
    async with bench.running():
        await until(lambda: bench.state.service_level == 255)
        device.level = 100
        await until(lambda: bench.state.endpoint == f"127.0.0.1:{second.port}" and bench.state.connected)
        assert bench.state.failures == {}
    assert "ServiceLevel 100: moving to" in str(bench.port.notes)
    assert device.most_sessions == second.most_sessions == 1


async def test_endpoints_when_both_are_degraded_then_the_better_one_and_no_going_back_and_forth(
    device: Device, second: Device
) -> None:
    device.level, second.level = 150, 100
    bench = Bench(device, second, health_interval="20ms")
    async with bench.running():
        await until(lambda: bench.state.service_level == 150 and bench.state.connections == 3)
        heard = bench.state.health_at
        await until(lambda: bench.state.health_at not in (None, heard))
        assert bench.state.connections == 3
    assert second.logins == 1


async def test_endpoints_when_sources_share_gateways_then_they_are_spread_and_the_limit_holds(
    device: Device, second: Device
) -> None:
    around = Surroundings(loads=EndpointLoads(), gate=StartGate(), backoff=lambda: Eager(NoJitter()))
    benches = [
        Bench(device, second, around=around, name=f"unit{number}", connections_per_endpoint=2) for number in range(5)
    ]
    async with _all(benches):
        await until(lambda: sum(bench.state.connected for bench in benches) == 4)
        assert (device.sessions, second.sessions) == (2, 2)
        (waiting,) = [bench for bench in benches if not bench.state.connected]
        await until(lambda: "all 2 connections" in (waiting.state.last_error or ""))
        assert waiting.state.failures == {}
    assert device.most_sessions == second.most_sessions == 2


@asynccontextmanager
async def _all(benches: list[Bench]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(bench.supervisor.run()) for bench in benches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_sources_when_most_are_dead_then_the_others_connect_all_the_same(device: Device) -> None:
    silent = Device()
    silent.answer = b"wait\n"
    await silent.start()
    around = Surroundings(gate=StartGate(places=2, hold_s=0.02))
    dead = [Bench(silent, around=around, name=f"dead{number}") for number in range(20)]
    alive = [Bench(device, around=around, name=f"alive{number}") for number in range(3)]
    async with _all([*dead, *alive]):
        await until(lambda: all(bench.state.connected for bench in alive))
    await silent.stop()
