"""What every SCADA connector owes its driver, shown against a real server of its protocol."""

import asyncio
from datetime import UTC, datetime

import pytest

from resources.core.clock import to_micros
from resources.core.errors import AuthError, UnreachableError
from resources.embedded.ports import free_port
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import BAD, FLOW, TEMPERATURE, Rig

START_US = to_micros(datetime(2026, 11, 22, 10, 15, 0, 123456, tzinfo=UTC))
SECOND_US = 1_000_000


def _ready(rig: Rig, config: object = None, *, durable: bool = True) -> tuple[object, Recorder]:
    config = config or rig.config()
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog, durable=durable)


async def test_run_when_values_change_then_readings_have_key_value_time_and_status(rig: Rig) -> None:
    client, recorder = _ready(rig)
    async with running(client, recorder) as task:
        for number in range(3):
            at = START_US + number * SECOND_US
            await rig.put(1.5 + number, at)
            await until(lambda at=at, number=number: recorder.has(FLOW, at, 2 * (1.5 + number) + 1), "flow", task)
            await until(lambda at=at, number=number: recorder.has(TEMPERATURE, at, 1.5 + number), "temperature", task)
    assert {row.status for row in recorder.rows()} == {"good"}
    assert all(batch.source == "rig" for batch in recorder.batches)


async def test_run_when_a_value_repeats_with_a_new_time_then_both_arrive(rig: Rig) -> None:
    client, recorder = _ready(rig)
    async with running(client, recorder) as task:
        for number in range(3):
            at = START_US + number * SECOND_US
            await rig.put(7.0, at)
            await until(lambda at=at: recorder.has(TEMPERATURE, at, 7.0), "the same value again", task)


async def test_run_when_one_item_is_bad_then_it_is_rejected_with_a_reason_and_others_go_on(rig: Rig) -> None:
    client, recorder = _ready(rig)
    async with running(client, recorder) as task:
        await rig.show_bad_item()
        await until(lambda: any(r["sensor_id"] == BAD for r in recorder.rejects()), "the reject", task)
        await rig.put(3.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "the good sensor", task)
    rejects = [r for r in recorder.rejects() if r["sensor_id"] == BAD]
    assert len(rejects) == 1
    assert len(rejects[0]["reasons"][0]) > 10
    assert rejects[0]["raw"].startswith("{")
    assert rejects[0]["source"] == "rig"


async def test_run_when_rows_arrive_then_sent_counts_them(rig: Rig) -> None:
    client, recorder = _ready(rig)
    async with running(client, recorder) as task:
        await rig.put(3.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "the reading", task)
    rows = sum(batch.rows for batch in recorder.batches if not batch.only_if_newer)
    assert recorder.counts["sent"] - recorder.counts["in_gaps"] == rows


async def test_run_when_the_login_is_wrong_then_auth_error_names_source_and_remedy(rig: Rig) -> None:
    client, recorder = _ready(rig, rig.wrong_login())
    with pytest.raises(AuthError, match=r"source rig: .*(check|set|have)") as caught:
        await asyncio.wait_for(client.run(recorder.emit, recorder), 30)
    assert caught.value.source == "rig"
    assert "correct horse" not in str(caught.value)


async def test_run_when_nobody_listens_then_unreachable_error_names_source_and_remedy(rig: Rig) -> None:
    await rig.proxy.stop()
    client, recorder = _ready(rig)
    with pytest.raises(UnreachableError, match=r"source rig: .*refused.*check"):
        await asyncio.wait_for(client.run(recorder.emit, recorder), 30)


async def test_run_when_the_host_name_does_not_resolve_then_unreachable_error_says_so(rig: Rig) -> None:
    name = "no-such-host.invalid"
    port = free_port()
    changes = {
        "opc_ua": {"endpoint_url": f"opc.tcp://{name}:{port}"},
        "modbus": {"host": name},
        "mqtt": {"broker": {"host": name}},
    }
    client, recorder = _ready(rig, rig.config(**changes[rig.kind]))
    with pytest.raises(UnreachableError, match="does not resolve"):
        await asyncio.wait_for(client.run(recorder.emit, recorder), 60)


async def test_run_when_the_connection_is_cut_then_unreachable_error_and_the_next_run_works(rig: Rig) -> None:
    client, recorder = _ready(rig)
    async with running(client, recorder) as task:
        await rig.put(3.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "the reading", task)
        rig.proxy.cut()
        with pytest.raises(UnreachableError, match="source rig"):
            await asyncio.wait_for(asyncio.shield(task), 30)
    async with running(client, recorder) as task:
        at = START_US + SECOND_US
        await rig.put(4.0, at)
        await until(lambda: recorder.has(TEMPERATURE, at, 4.0), "the reading after the cut", task)
    assert len([r for r in recorder.rejects() if r["sensor_id"] == BAD]) <= 2


async def test_run_when_cancelled_then_nothing_stays_open(rig: Rig) -> None:
    client, recorder = _ready(rig)
    before = asyncio.all_tasks()
    async with running(client, recorder) as task:
        await until(lambda: rig.proxy.connections >= 1, "a connection", task)
    assert task.cancelled()
    await until(lambda: rig.proxy.connections == 0, "the end of the connection")
    await until(lambda: not _ours(asyncio.all_tasks() - before), "the end of the connector's tasks")


def _ours(tasks: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    return {
        task for task in tasks if "resources/scada" in str(task.get_coro()) or "asyncua/client" in str(task.get_coro())
    }


async def test_run_when_the_driver_holds_back_then_nothing_is_lost(rig: Rig) -> None:
    client, recorder = _ready(rig)
    async with running(client, recorder) as task:
        await rig.put(1.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 1.0), "the first reading", task)
        recorder.open_gate.clear()
        held = START_US + SECOND_US
        await rig.put(2.0, held)
        recorder.open_gate.set()
        await until(lambda: recorder.has(TEMPERATURE, held, 2.0), "the reading that waited", task)


async def test_read_when_asked_for_one_sensor_then_its_value_comes_once(rig: Rig) -> None:
    await rig.put(5.0, START_US)
    client, recorder = _ready(rig)
    if rig.kind == "mqtt":
        await rig.publish("rig/values", b'{"raw": 5.0, "time": "2026-11-22T10:15:00Z"}', retain=True)
        batch = await client.read([TEMPERATURE])
        assert batch.only_if_newer
    else:
        batch = await client.read([TEMPERATURE])
    recorder.batches.append(batch)
    assert [row.value for row in recorder.rows() if row.sensor_id == TEMPERATURE] == [5.0]


async def test_probe_when_the_source_is_well_then_facts_tell_certificate_and_security(rig: Rig) -> None:
    client, _ = _ready(rig)
    facts = await client.probe()
    assert facts.source == "rig"
    assert facts.kind == rig.kind
    assert facts.certificate_subject is not None
    assert facts.certificate_expires_at is not None
    assert facts.certificate_expires_at > datetime.now(UTC)
    assert facts.security
    if rig.kind == "opc_ua":
        assert facts.clock_skew_s == pytest.approx(0, abs=30)
