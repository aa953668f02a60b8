"""What the registers of a Modbus device may hold: texts, scale factors, "not implemented"; and when they are read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from pymodbus.constants import ExcCodes

from resources.core.readings import STATUS_NAMES
from tests.contract.scada.modbus_rigs import TcpUnits
from tests.contract.scada.recorder import Recorder, running, until


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[TcpUnits]:
    units = TcpUnits((1, 2))
    await units.start()
    yield units
    await units.stop()


def _texts(recorder: Recorder) -> list[tuple[str, str | None, str]]:
    return [
        (recorder.catalog.sensors[row["sensor_key"]].sensor_id, row["value"], STATUS_NAMES[row["status"]])
        for batch in recorder.batches
        if batch.texts is not None
        for row in batch.texts.to_pylist()
    ]


def _balance(recorder: Recorder) -> bool:
    return recorder.counts["sent"] - recorder.counts["in_gaps"] == sum(batch.rows for batch in recorder.batches)


async def test_run_when_a_text_is_configured_then_it_is_read_beside_the_numbers(rig: TcpUnits) -> None:
    rig.units[1].registers[30:33] = [0x5374, 0x6565, 0x6C00]
    text = {"data_type": "string", "length": 3, "address": 30}
    client, recorder = rig.ready(
        text,
        {"address": 29},
        text | {"data": "number", "states": {"Steel": 2}},
        {"address": 40, "data_type": "string", "length": 2, "not_implemented": "sunspec"},
    )
    async with running(client, recorder) as task:
        await until(lambda: len(_texts(recorder)) >= 6, "three polls", task)
    assert set(_texts(recorder)) == {("s0", "Steel", "good"), ("s3", None, "bad")}
    assert {(row.sensor_id, row.value) for row in recorder.rows()} == {("s1", 0.0), ("s2", 2.0)}
    assert [sensor for sensor, _ in recorder.failed] == ["s3"]
    assert _balance(recorder)


async def test_run_when_a_text_cannot_be_read_then_it_is_rejected_with_its_bytes(rig: TcpUnits) -> None:
    rig.units[1].registers[30:32] = [0xC3A4, 0x4100]
    text = {"data_type": "string", "length": 2, "address": 30}
    client, recorder = rig.ready(text, text | {"encoding": "utf-8", "states": {"on": 1}}, text | {"encoding": "utf-8"})
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rejects()) >= 4, "two polls", task)
    reasons = {reject["sensor_id"]: reject["reasons"][0] for reject in recorder.rejects()}
    assert reasons == {
        "s0": "its registers hold no text (encoding ascii)",
        "s1": "its registers hold a text that is none of the states (encoding utf-8)",
    }
    assert '"c3a44100"' in recorder.rejects()[0]["raw"]
    assert set(_texts(recorder)) == {("s2", "äA", "good")}
    assert _balance(recorder)


async def test_run_when_a_text_has_a_device_time_then_the_same_again_is_no_new_reading(rig: TcpUnits) -> None:
    unit = rig.units[1]
    unit.registers[30:36] = [0x4142, 0x4344, 0, 5, 0, 7]
    client, recorder = rig.ready({"data_type": "string", "length": 2, "address": 30, "time_register": 32})
    async with running(client, recorder) as task:
        await until(lambda: recorder.counts["unchanged"] >= 5, "the same again and again", task)
        unit.registers[30] = 0x5142
        await until(lambda: len(_texts(recorder)) == 2, "another text at the same time", task)
    assert [text for _, text, _ in _texts(recorder)] == ["ABCD", "QBCD"]
    assert _balance(recorder)


async def test_run_when_the_device_has_no_such_value_then_it_is_bad_and_null_and_told_once(rig: TcpUnits) -> None:
    unit = rig.units[1]
    unit.registers[10:13] = [215, 0xFFFF, 0x8000]
    sunspec = {"data_type": "int16", "scale_register": 11, "not_implemented": "sunspec"}
    client, recorder = rig.ready({"address": 10} | sunspec, {"address": 12} | sunspec)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 6, "three polls", task)
        assert {(row.sensor_id, row.value, row.status) for row in recorder.rows()} == {
            ("s0", 21.5, "good"), ("s1", None, "bad"),
        }  # fmt: skip
        ((sensor, reason),) = recorder.failed
        assert (sensor, '"not implemented"' in reason) == ("s1", True)
        unit.registers[12] = 30
        await until(lambda: recorder.recovered == ["s1"], "its value", task)
        unit.registers[11] = 0x8000
        await until(lambda: len(recorder.failed) == 3, "both without a scale factor", task)
    assert _balance(recorder)


async def test_run_when_a_scale_factor_is_refused_then_its_tags_are_and_nobody_else(rig: TcpUnits) -> None:
    unit = rig.units[1]
    unit.registers[10:13] = [215, 216, 217]
    unit.registers[60] = 1
    unit.refused = {60: ExcCodes.ILLEGAL_ADDRESS}
    tags = ({"address": 10, "scale_register": 60}, {"address": 11, "scale_register": 60}, {"address": 12})
    client, recorder = rig.ready(*tags, retry_bad_items_after="200ms")
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 5, "polls of the other", task)
        assert {row.sensor_id for row in recorder.rows()} == {"s2"}
        assert {sensor for sensor, _ in recorder.failed} == {"s0", "s1"}
        assert recorder.failed[0][1].startswith("its scale_register: Modbus exception 2")
        unit.refused = {}
        await until(lambda: set(recorder.recovered) == {"s0", "s1"}, "the recovery", task)
        unit.registers[60] = 99
        await until(lambda: any("power of ten" in r["reasons"][0] for r in recorder.rejects()), "the wild one", task)
    values = {row.sensor_id: row.value for row in recorder.rows()}
    assert values == {"s0": 2150.0, "s1": 2160.0, "s2": 217.0}
    assert recorder.rejects()[0]["reasons"][0].startswith("its scale_register 60: Modbus exception 2")
    assert _balance(recorder)


async def test_run_when_digits_are_none_then_the_reading_is_rejected_and_comes_back(rig: TcpUnits) -> None:
    rig.units[1].registers[10] = 0x12A4
    client, recorder = rig.ready({"address": 10, "data_type": "bcd16"})
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rejects()) >= 2, "rejects", task)
        rig.units[1].registers[10] = 0x1234
        await until(lambda: any(row.value == 1234 for row in recorder.rows()), "the value", task)
    reject = recorder.rejects()[0]
    assert reject["reasons"] == ["its registers hold no bcd16: a digit above 9"]
    assert reject["time"] is not None
    assert _balance(recorder)


async def test_run_when_tags_have_intervals_of_their_own_then_each_is_read_so_often_and_together_where_due(
    rig: TcpUnits,
) -> None:
    client, recorder = rig.ready(
        {"address": 1}, {"address": 2, "poll_interval": "100ms"}, {"address": 200, "poll_interval": "1h"}
    )
    async with running(client, recorder) as task:
        await until(lambda: sum(row.sensor_id == "s1" for row in recorder.rows()) >= 4, "four of the slower", task)
    times: dict[str, list[int]] = {}
    for row in recorder.rows():
        times.setdefault(row.sensor_id, []).append(row.time_us)
    assert len(times["s0"]) > len(times["s1"]) > len(times["s2"]) == 1
    kinds = {request[1:] for request in rig.units[1].requests}
    assert kinds == {(1, 1), (1, 2), (200, 1)}
    assert _balance(recorder)


async def test_run_when_polls_are_late_for_long_then_it_is_one_gap(rig: TcpUnits) -> None:
    client, recorder = rig.ready({"address": 1}, {"address": 2, "unit_id": 2}, poll_interval="1ms")
    async with running(client, recorder) as task:
        await until(lambda: recorder.counts["overruns"] >= 200, "overruns", task)
    assert len(recorder.gaps) < 20
    assert _balance(recorder)


async def test_run_when_unit_limits_differ_then_no_request_breaks_them(rig: TcpUnits) -> None:
    tags: list[dict[str, Any]] = [{"address": n, "unit_id": unit} for unit in (1, 2) for n in range(30)]
    client, recorder = rig.ready(
        *tags,
        units={2: {"max_registers": 8, "forbidden_addresses": [{"first": 100, "last": 110}]}},
        forbidden_addresses=[{"first": 300, "last": 310}],
    )
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 60, "a poll", task)
    assert {count for _, _, count in rig.units[1].requests} == {30}
    assert max(count for _, _, count in rig.units[2].requests) <= 8


async def test_run_when_a_device_closes_between_rare_polls_then_it_is_noticed_at_once(rig: TcpUnits) -> None:
    client, recorder = rig.ready({"address": 1}, poll_interval="1h")
    async with running(client, recorder) as task:
        rig.cut()
        done, _ = await asyncio.wait([task], timeout=30)
    assert done
