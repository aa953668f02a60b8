"""What the Modbus connector owes beyond the common contract: refused registers, device time, the grid."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pymodbus.constants import ExcCodes

from resources.core.errors import AuthError, ProtocolError, UnreachableError
from resources.scada.modbus.client import ModbusClient
from resources.scada.modbus.resource import ModbusResource
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import BAD, FLOW, TEMPERATURE, ModbusRig, Surroundings
from tests.contract.scada.test_every_connector import SECOND_US, START_US


class PlainRig(ModbusRig):
    tls = False


@pytest_asyncio.fixture
async def plain_rig(surroundings: Surroundings) -> AsyncIterator[PlainRig]:
    rig = PlainRig(surroundings)
    await rig.start()
    yield rig
    await rig.stop()


def _ready(rig: ModbusRig, **changes: Any) -> tuple[ModbusClient, Recorder]:
    config = rig.config(**changes)
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog)


def _tags(*tags: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"sensor_id": f"s{n}", "unit": "kW", "data_type": "uint16"} | tag for n, tag in enumerate(tags)]


async def test_run_when_one_register_is_refused_then_only_its_tag_is_and_the_rest_stays_merged(
    plain_rig: PlainRig,
) -> None:
    plain_rig.registers[20:40] = range(100, 120)
    plain_rig.refused = {27: ExcCodes.ILLEGAL_ADDRESS}
    client, recorder = _ready(plain_rig, tags=_tags(*({"address": 20 + n} for n in range(16))))
    async with running(client, recorder) as task:
        plain_rig.requests.clear()
        await until(lambda: len(plain_rig.requests) >= 12, "some polls", task)
    good = {row.sensor_id: row.value for row in recorder.rows()}
    assert good == {f"s{n}": 100.0 + n for n in range(16) if n != 7}
    (reject,) = recorder.rejects()
    assert reject["sensor_id"] == "s7"
    assert reject["reasons"][0].startswith("Modbus exception 2, illegal data address: ")
    assert recorder.failed == [("s7", reject["reasons"][0])]
    assert all(not address <= 27 < address + count for _, address, count in plain_rig.requests)
    assert {request[1:] for request in plain_rig.requests} == {(20, 7), (28, 8)}


async def test_run_when_a_hole_between_tags_is_refused_then_it_is_cut_around_once(plain_rig: PlainRig) -> None:
    plain_rig.refused = {22: ExcCodes.ILLEGAL_ADDRESS}
    client, recorder = _ready(plain_rig, tags=_tags({"address": 20}, {"address": 21}, {"address": 24}, {"address": 25}))
    async with running(client, recorder) as task:
        plain_rig.requests.clear()
        await until(lambda: len(plain_rig.requests) >= 10, "some polls", task)
    assert recorder.failed == []
    assert recorder.counts["failed_requests"] == 1
    assert {request[1:] for request in plain_rig.requests} == {(20, 2), (24, 2)}


async def test_run_when_a_refused_register_comes_back_then_it_is_read_again(plain_rig: PlainRig) -> None:
    plain_rig.refused = {20: ExcCodes.ILLEGAL_ADDRESS}
    client, recorder = _ready(plain_rig, tags=_tags({"address": 20}, {"address": 21}), retry_bad_items_after="100ms")
    async with running(client, recorder) as task:
        await until(lambda: recorder.failed != [], "the refusal", task)
        plain_rig.refused = {}
        await until(lambda: recorder.recovered == ["s0"], "the recovery", task)
        await until(lambda: any(row.sensor_id == "s0" for row in recorder.rows()), "its value", task)


async def test_run_when_the_device_is_busy_then_each_poll_has_its_rejects_and_others_go_on(plain_rig: PlainRig) -> None:
    plain_rig.refused = {100: ExcCodes.DEVICE_BUSY}
    client, recorder = _ready(plain_rig, tags=_tags({"address": 20}, {"address": 100}))
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rejects()) >= 3, "three rejects", task)
        plain_rig.refused = {}
        await until(lambda: recorder.recovered == ["s1"], "the recovery", task)
    assert {reject["reasons"][0] for reject in recorder.rejects()} == {"Modbus exception 6, server device busy"}
    assert len(recorder.failed) == 1
    rows = sum(batch.rows for batch in recorder.batches)
    assert recorder.counts["sent"] - recorder.counts["in_gaps"] == rows


async def test_run_when_a_table_is_not_there_then_its_tags_are_refused_without_search(plain_rig: PlainRig) -> None:
    plain_rig.refused = {20: ExcCodes.ILLEGAL_FUNCTION}
    client, recorder = _ready(plain_rig, tags=_tags({"address": 20}, {"address": 21}, {"address": 22}))
    async with running(client, recorder):
        pass
    assert {sensor for sensor, _ in recorder.failed} == {"s0", "s1", "s2"}
    assert recorder.counts["failed_requests"] == 1


async def test_run_when_the_device_time_stands_still_then_the_value_is_not_a_new_reading(plain_rig: PlainRig) -> None:
    await plain_rig.put(5.0, START_US)
    client, recorder = _ready(plain_rig)
    async with running(client, recorder) as task:
        await until(lambda: recorder.counts["unchanged"] >= 6, "polls of the same reading", task)
        assert [row.value for row in recorder.rows()] == [5.0, 11.0]
        await plain_rig.put(5.0, START_US + SECOND_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US + SECOND_US, 5.0), "the renewed value", task)
    rows = sum(batch.rows for batch in recorder.batches)
    assert recorder.counts["sent"] - recorder.counts["in_gaps"] == rows


async def test_run_when_the_device_has_no_time_yet_then_the_values_are_rejected(plain_rig: PlainRig) -> None:
    client, recorder = _ready(plain_rig)
    async with running(client, recorder) as task:
        await until(lambda: any(r["sensor_id"] == FLOW for r in recorder.rejects()), "the reject", task)
    reasons = {r["reasons"][0] for r in recorder.rejects() if r["sensor_id"] != BAD}
    assert reasons == {"time_register 4 holds 0, which is no time in microseconds since 1970"}


async def test_run_when_there_is_no_time_register_then_times_rise_strictly(plain_rig: PlainRig) -> None:
    client, recorder = _ready(plain_rig, tags=_tags({"address": 20}, {"address": 90}), poll_interval="5ms")
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 40, "twenty polls", task)
    times = [row.time_us for row in recorder.rows()]
    assert times == sorted(set(times))
    assert recorder.counts["sent"] - recorder.counts["in_gaps"] == len(times)


async def test_run_when_a_poll_takes_too_long_then_skipped_polls_are_counted_as_a_gap(plain_rig: PlainRig) -> None:
    client, recorder = _ready(plain_rig, tags=_tags({"address": 20}, {"address": 21}), poll_interval="20ms")
    async with running(client, recorder) as task:
        before = recorder.counts["overruns"]
        plain_rig.hold.clear()
        await asyncio.sleep(0.2)  # the device is slow: this is the fault, not a wait for something
        plain_rig.hold.set()
        await until(lambda: recorder.counts["overruns"] > before + 3, "overruns", task)
    since, until_at, reason = recorder.gaps[-1]
    assert since < until_at
    assert "polls were skipped" in reason
    assert recorder.counts["in_gaps"] == 2 * recorder.counts["overruns"]


async def test_run_when_the_device_does_not_answer_then_unreachable_error_and_the_poll_is_in_a_gap(
    plain_rig: PlainRig,
) -> None:
    client, recorder = _ready(plain_rig, timeout="200ms")
    async with running(client, recorder) as task:
        plain_rig.hold.clear()
        with pytest.raises(
            UnreachableError, match=r"no reply to read 8 of holding_register from 0 on in 0\.2 s: check unit_id"
        ):
            await asyncio.wait_for(asyncio.shield(task), 30)
    assert recorder.counts["in_gaps"] >= 2


async def test_run_when_tables_differ_then_each_is_read_by_its_function(plain_rig: PlainRig) -> None:
    plain_rig.registers[30] = 7
    tags = _tags(
        {"address": 30, "table": "input_register"},
        {"address": 30},
        {"address": 3, "table": "coil", "data_type": "bool"},
        {"address": 4, "table": "discrete_input", "data_type": "bool"},
    )
    client, recorder = _ready(plain_rig, tags=tags)
    async with running(client, recorder) as task:
        await until(lambda: {function for function, _, _ in plain_rig.requests} == {1, 2, 3, 4}, "all functions", task)
        await until(lambda: len(recorder.rows()) >= 4, "all values", task)
    values = {row.sensor_id: row.value for row in recorder.rows()}
    assert (values["s0"], values["s1"]) == (7.0, 7.0)


async def test_read_when_the_device_refuses_then_protocol_error_says_why(plain_rig: PlainRig) -> None:
    client, _ = _ready(plain_rig)
    with pytest.raises(ProtocolError, match=r"reading 2 of holding_register from 8 on: Modbus exception 2"):
        await client.read([BAD])


async def test_probe_when_the_first_register_is_refused_then_the_facts_say_so(plain_rig: PlainRig) -> None:
    plain_rig.refused = {0: ExcCodes.ILLEGAL_ADDRESS}
    client, _ = _ready(plain_rig)
    facts = await client.probe()
    assert facts.details["unit"].startswith("answers with Modbus exception 2")
    assert facts.security == "plain TCP"


async def test_resource_when_read_and_polled_then_values_come_with_names(plain_rig: PlainRig) -> None:
    await plain_rig.put(4.0, START_US)
    resource = ModbusResource.of("rig", plain_rig.config())
    value = await asyncio.to_thread(resource.read_sensor, FLOW)
    assert (value.sensor_id, value.value, value.unit, value.status) == (FLOW, 9.0, "kg/h", "good")
    values = await asyncio.to_thread(resource.poll_registers, 1.0)
    assert {v.sensor_id for v in values} == {TEMPERATURE, FLOW}


class ElsewhereRig(ModbusRig):
    server_hosts = ("elsewhere.example",)


async def test_run_when_the_server_certificate_is_for_another_host_then_auth_error(surroundings: Surroundings) -> None:
    rig = ElsewhereRig(surroundings)
    await rig.start()
    try:
        client, recorder = _ready(rig)
        with pytest.raises(AuthError, match="the server's certificate is for another host"):
            await asyncio.wait_for(client.run(recorder.emit, recorder), 30)
    finally:
        await rig.stop()
