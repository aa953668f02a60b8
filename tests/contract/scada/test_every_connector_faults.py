"""What every SCADA connector owes when its peer misbehaves: restarts, silence, garbage, items that come and go."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from resources.core.clock import to_micros
from resources.core.errors import SourceError, UnreachableError
from resources.scada.connector import CanDiscover, CanWrite, FoundItem, ScadaClient
from resources.scada.values import sensor_values
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import BAD, FLOW, TEMPERATURE, Rig

START_US = to_micros(datetime(2026, 11, 22, 10, 15, 0, 123456, tzinfo=UTC))
SECOND_US = 1_000_000


def ready(rig: Rig, config: Any = None) -> tuple[ScadaClient, Recorder]:
    config = config or rig.config()
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog)


async def put_and_see(rig: Rig, recorder: Recorder, task: asyncio.Task[None], number: int) -> None:
    at = START_US + number * SECOND_US
    await rig.put(10.0 + number, at)
    await until(lambda: rig.seen(recorder, TEMPERATURE, at, 10.0 + number), f"value {number}", task)


async def lost(task: asyncio.Task[None]) -> None:
    with pytest.raises(UnreachableError, match="source rig"):
        await asyncio.wait_for(asyncio.shield(task), 60)


async def works_again(rig: Rig, client: ScadaClient, recorder: Recorder, number: int) -> None:
    """Run as often as the source asks for, as a supervisor does, until a new value comes."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        try:
            async with running(client, recorder) as task:
                await put_and_see(rig, recorder, task, number)
                return
        except SourceError:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)


async def test_run_when_the_server_restarts_then_unreachable_error_and_the_next_run_reads(any_rig: Rig) -> None:
    client, recorder = ready(any_rig, any_rig.impatient())
    async with running(client, recorder) as task:
        await put_and_see(any_rig, recorder, task, 1)
        if any_rig.kind == "bacnet":
            # a device that is back at once was never away: datagrams have no connection to lose
            await any_rig.stop_server()
            await lost(task)
            await any_rig.start_server()
        else:
            await any_rig.restart()
            await lost(task)
    await works_again(any_rig, client, recorder, 2)


async def test_run_when_the_connection_is_half_open_then_it_is_noticed_and_the_next_run_reads(any_rig: Rig) -> None:
    client, recorder = ready(any_rig, any_rig.impatient())
    async with running(client, recorder) as task:
        await put_and_see(any_rig, recorder, task, 1)
        any_rig.proxy.deaf = True
        await lost(task)
    any_rig.proxy.cut()
    any_rig.proxy.deaf = False
    await works_again(any_rig, client, recorder, 2)


GARBAGE = (b"\x00" * 64, b"\xff" * 3000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_run_when_garbage_comes_then_nothing_of_it_is_read_and_it_works_on_or_again(any_rig: Rig) -> None:
    client, recorder = ready(any_rig, any_rig.impatient())
    await any_rig.put(9.0, START_US - SECOND_US)
    for number, garbage in enumerate(GARBAGE):
        async with running(client, recorder) as task:
            await put_and_see(any_rig, recorder, task, 3 * number)
            any_rig.proxy.inject(garbage)
            try:
                await put_and_see(any_rig, recorder, task, 3 * number + 1)
            except SourceError:
                await works_again(any_rig, client, recorder, 3 * number + 2)
    values = {row.value for row in recorder.rows() if row.sensor_id == TEMPERATURE}
    # beside ours what the servers hold before the first
    assert values <= {0.0, 9.0, 60.5, *(10.0 + number for number in range(9))}
    assert {reject["sensor_id"] for reject in recorder.rejects()} <= {BAD}


async def test_run_when_it_is_lost_again_and_again_then_nothing_piles_up(any_rig: Rig) -> None:
    client, recorder = ready(any_rig, any_rig.impatient())
    tasks = asyncio.all_tasks()
    for number in range(4):
        async with running(client, recorder) as task:
            await put_and_see(any_rig, recorder, task, number)
            any_rig.proxy.cut()
            if any_rig.kind != "bacnet":
                await lost(task)
        await until(lambda: any_rig.proxy.connections == 0, "the end of the connection")
    await until(lambda: not [t for t in asyncio.all_tasks() - tasks if "resources/scada" in str(t.get_coro())], "idle")
    told = [reject for reject in recorder.rejects() if reject["sensor_id"] == BAD]
    assert len(told) <= 4


async def test_read_when_a_run_goes_on_then_neither_disturbs_the_other(any_rig: Rig) -> None:
    await any_rig.show(20.0)
    client, recorder = ready(any_rig, any_rig.writable())
    assert isinstance(client, CanWrite)
    async with running(client, recorder) as task:
        await put_and_see(any_rig, recorder, task, 1)
        looks = await asyncio.gather(*(client.read([FLOW]) for _ in range(3)))
        for batch in looks:
            (value,) = sensor_values(batch.readings, recorder.catalog)
            assert value.sensor_id == FLOW
            assert value.status == "good"
        await put_and_see(any_rig, recorder, task, 2)
        assert len(recorder.facts) == 1


async def test_write_when_a_run_goes_on_then_the_new_value_is_a_reading(any_rig: Rig) -> None:
    await any_rig.show(20.0)
    client, recorder = ready(any_rig, any_rig.writable())
    assert isinstance(client, CanWrite)
    async with running(client, recorder) as task:
        await put_and_see(any_rig, recorder, task, 1)
        await any_rig.show(20.0)
        await client.write(FLOW, 51.0)
        await until(lambda: any(row.sensor_id == FLOW and row.value == 51.0 for row in recorder.rows()), "it", task)
        assert await any_rig.at_device() == 25.0


@pytest.mark.parametrize("any_rig", ["opc_ua", "mqtt", "bacnet"], indirect=True)
async def test_discover_when_asked_then_what_is_found_can_be_read_as_it_is_told(any_rig: Rig) -> None:
    await any_rig.show(20.0)
    config = any_rig.writable()
    client = any_rig.build(config, any_rig.catalog(config))
    assert isinstance(client, CanDiscover)
    # a broker tells what is there by publishing it: how long that is listened to is the caller's choice
    looking = client.discover(seconds=2.0) if any_rig.kind == "mqtt" else client.discover()  # type: ignore[call-arg]
    found: list[FoundItem] = list(await asyncio.wait_for(looking, 60))
    flow = next(tag for tag in config.tags if tag.sensor_id == FLOW)
    (item,) = [one for one in found if all(getattr(flow, key, None) == value for key, value in one.address.items())]
    tag = {"sensor_id": "found", "unit": item.unit or "1", **item.address}
    again = config.model_validate(config.model_dump() | {"tags": [tag]})
    batch = await any_rig.build(again, any_rig.catalog(again)).read(["found"])
    (value,) = sensor_values(batch.readings, any_rig.catalog(again))
    assert value.value == 20.0


@pytest.mark.parametrize("any_rig", ["modbus", "bacnet"], indirect=True)
async def test_run_when_an_item_vanishes_then_it_is_reported_and_others_go_on(any_rig: Rig) -> None:
    # an OPC UA node that vanishes: test_opc_ua_items.py; a topic that falls silent is no fault of MQTT
    client, recorder = ready(any_rig)
    async with running(client, recorder) as task:
        await put_and_see(any_rig, recorder, task, 1)
        any_rig.remove_temperature()
        await until(lambda: TEMPERATURE in [sensor for sensor, _ in recorder.failed], "the report", task)
        at = START_US + 2 * SECOND_US
        await any_rig.put(30.0, at)
        await until(lambda: any_rig.seen(recorder, FLOW, at, 61.0), "the other sensor", task)
    assert any(reject["sensor_id"] == TEMPERATURE for reject in recorder.rejects())
