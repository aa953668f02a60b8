"""The BACnet/IP connector against real devices on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bacpypes3.primitivedata import ObjectIdentifier, Real

from resources.core.clock import ManualClock, SystemClock, to_micros
from resources.core.errors import ConfigError, ProtocolError, UnreachableError
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.bacnet.client import BacnetClient
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.bacnet.device import BacnetDevice
from resources.scada.bacnet.stack import shared_stack
from resources.scada.config import SourceOptions
from resources.transport.turns.circuit_breaker import Circuit
from sensors.collector.state import SourceState
from sensors.collector.supervision.supervisor import SourceSupervisor
from tests.contract.scada.recorder import Recorder, running, until
from tests.unit.resources.scada.bacnet.plant import BacnetPlant, many_analogs, temperature_tag
from tests.unit.sensors.collector.test_supervisor import Notebook


@pytest.fixture
async def plant() -> AsyncIterator[BacnetPlant]:
    plant = BacnetPlant()
    await plant.start()
    yield plant
    plant.stop()


def ready(plant: BacnetPlant, *tags: dict[str, Any], **changes: Any) -> tuple[BacnetClient, Recorder]:
    config = BacnetConfig.model_validate(plant.config(list(tags) or [temperature_tag()], **changes))
    catalog = SensorCatalog(Sensor(t.sensor_id, t.unit, "bac", t.is_text) for t in config.tags)
    return BacnetClient("bac", config, catalog), Recorder(catalog)


def values(recorder: Recorder, sensor_id: str) -> list[float | None]:
    return [row.value for row in recorder.rows() if row.sensor_id == sensor_id]


def tag(sensor_id: str, where: str, **more: Any) -> dict[str, Any]:
    return {"sensor_id": sensor_id, "unit": "1", "object": where, **more}


async def test_run_when_a_value_changes_then_a_notification_brings_it(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, safety_poll_interval="1h")
    async with running(client, recorder) as task:
        await until(lambda: 60.5 in values(recorder, "bac.temperature"), "the first value", task)
        plant.temperature.presentValue = 70.0
        await until(lambda: 70.0 in values(recorder, "bac.temperature"), "the change", task)
    assert recorder.facts[0]["subscribed"] == "1"
    assert recorder.counts["sent"] == sum(batch.rows for batch in recorder.batches)


async def test_run_when_notifications_are_not_durable_then_the_device_waits_for_its_acknowledgement(
    plant: BacnetPlant,
) -> None:
    client, recorder = ready(plant, safety_poll_interval="1h")
    recorder.durable = False
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.owed) == 1, "the first notification", task)
        sent = plant.app.requests.count("ConfirmedCOVNotificationRequest")
        plant.temperature.presentValue = 70.0
        await until(lambda: 70.0 in values(recorder, "bac.temperature"), "the change", task)
        before = len(values(recorder, "bac.temperature"))
        for acknowledge in recorder.owed:
            acknowledge()
        await until(lambda: plant.temperature is not None and len(recorder.owed) >= 2, "both", task)
        assert len(values(recorder, "bac.temperature")) == before
        assert sent == plant.app.requests.count("ConfirmedCOVNotificationRequest")


async def test_run_when_all_kinds_of_objects_are_read_then_numbers_texts_and_statuses_are_right(
    plant: BacnetPlant,
) -> None:
    client, recorder = ready(
        plant,
        temperature_tag(),
        tag("pressure", "analog-input,2", unit="bar", scale=0.01),
        tag("pump", "binary-input,1"),
        tag("mode", "characterstring-value,1", data="text"),
        tag("state", "multiStateInput:1"),
        tag("gas", "accumulator,1", unit="m3"),
        tag("priority.6", "analog-output,1", property="priority-array", array_index=6),
    )
    plant.state.outOfService = True
    plant.state.statusFlags = [0, 0, 0, 1]
    async with running(client, recorder) as task:
        await until(lambda: bool(values(recorder, "gas")), "the polled ones", task)
    assert values(recorder, "bac.temperature")[0] == 60.5
    assert values(recorder, "pressure")[0] == pytest.approx(0.03)
    assert values(recorder, "state")[0] == 3.0
    assert values(recorder, "gas")[0] == 2500.0
    statuses = {row.sensor_id: row.status for row in recorder.rows()}
    assert (statuses["bac.temperature"], statuses["gas"], statuses["state"]) == ("good", "good", "uncertain")
    texts = [row for batch in recorder.batches if batch.texts is not None for row in batch.texts.to_pylist()]
    assert {row["value"] for row in texts} == {"heating"}


async def test_read_when_the_wall_clock_was_set_back_then_times_begin_anew(plant: BacnetPlant) -> None:
    config = BacnetConfig.model_validate(plant.config([temperature_tag()]))
    catalog = SensorCatalog(Sensor(t.sensor_id, t.unit, "bac", t.is_text) for t in config.tags)
    clock = ManualClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
    client, found = BacnetClient("bac", config, catalog, clock), []
    for _ in range(2):
        batch = await client.read()
        assert batch.readings is not None
        found += batch.readings.column("time").cast("int64").to_pylist()
        clock.step_wall(-3600)
    assert found == [to_micros(clock.now()) + hours * 3_600_000_000 for hours in (2, 1)]


async def test_run_when_reliability_tells_a_fault_then_bad(plant: BacnetPlant) -> None:
    plant.temperature.reliability = "openLoop"
    client, recorder = ready(plant, temperature_tag(subscribe=False))
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.rows()), "a reading", task)
    assert {row.status for row in recorder.rows()} == {"bad"}


async def test_run_when_an_object_is_missing_or_has_another_unit_then_it_is_rejected_once_and_others_go_on(
    plant: BacnetPlant,
) -> None:
    client, recorder = ready(
        plant, temperature_tag(), tag("gone", "analog-input,99"), tag("pressure", "analog-input,2", unit="bar")
    )
    async with running(client, recorder) as task:
        await until(lambda: values(recorder, "bac.temperature").count(60.5) > 3, "a few polls", task)
    assert dict(recorder.failed) == {
        "gone": "unknown-object: the device has no such object",
        "pressure": "the device gives kilopascals (kPa), the tag says bar: write unit: 'kPa' with canonical_unit: "
        "'bar', or set scale and offset",
    }
    assert sum(1 for reject in recorder.rejects() if reject["sensor_id"] == "gone") == 1


async def test_run_when_a_missing_object_appears_then_it_recovers(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, tag("later", "analog-input,100", unit="Cel"), retry_bad_items_after="100ms")
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.failed), "the refusal", task)
        plant.app.add_object(many_analogs(1)[0])
        await until(lambda: recorder.recovered == ["later"], "its return", task)


async def test_run_when_the_device_knows_no_multiple_reads_then_it_is_read_one_by_one() -> None:
    plant = BacnetPlant()
    await plant.start(multiple=False)
    client, recorder = ready(plant, temperature_tag(subscribe=False), tag("pump", "binary-input,1", subscribe=False))
    async with running(client, recorder) as task:
        await until(lambda: {60.5, 1.0} <= {row.value for row in recorder.rows()}, "both", task)
    assert "ReadPropertyMultipleRequest" not in plant.app.requests
    plant.stop()


async def test_read_when_the_service_is_announced_but_unknown_then_falls_back(plant: BacnetPlant) -> None:
    plant.app.multiple = False
    client, recorder = ready(plant, temperature_tag(), tag("pump", "binary-input,1"))
    recorder.batches.append(await client.read())
    assert sorted(row.value or 0 for row in recorder.rows()) == [1.0, 60.5]


async def test_read_when_answers_are_too_long_then_batches_shrink_until_they_fit() -> None:
    plant = BacnetPlant(longest_message=206, segments=False)
    plant.extra = many_analogs(40)
    await plant.start()
    tags = [tag(f"many.{n}", f"analog-input,{100 + n}", unit="Cel") for n in range(40)]
    client, recorder = ready(plant, *tags)
    recorder.batches.append(await client.read())
    assert sorted(row.value or 0.0 for row in recorder.rows()) == [float(n) for n in range(40)]
    assert plant.app.requests.count("ReadPropertyMultipleRequest") < 40
    items = await client.discover()
    assert len(items) == 47
    plant.stop()


async def test_run_when_the_device_dies_then_unreachable_and_the_next_run_works(plant: BacnetPlant) -> None:
    client, recorder = ready(plant)
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.rows()), "the first value", task)
        plant.stop()
        with pytest.raises(UnreachableError, match=r"source bac: .*no answer within .*check power"):
            await asyncio.wait_for(asyncio.shield(task), 30)
    await plant.start()
    async with running(client, recorder) as task:
        plant.temperature.presentValue = 80.0
        await until(lambda: 80.0 in values(recorder, "bac.temperature"), "the value after", task)


async def test_run_when_the_device_was_restarted_and_says_so_then_it_is_subscribed_again(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, safety_poll_interval="1h", poll_interval="1h")
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.rows()), "the first value", task)
        plant.stop()
        await plant.start()
        plant.app.i_am(address=_address(client))
        await until(lambda: "SubscribeCOVRequest" in plant.app.requests, "the subscription", task)
        plant.temperature.presentValue = 81.0
        await until(lambda: 81.0 in values(recorder, "bac.temperature"), "a notification of the new one", task)


def _address(client: BacnetClient) -> Any:
    from bacpypes3.pdu import Address

    return Address(client._config.local_address.replace("/32", ""))


async def test_run_when_nobody_is_there_then_unreachable(plant: BacnetPlant) -> None:
    plant.stop()
    client, recorder = ready(plant)
    with pytest.raises(UnreachableError, match=r"source bac: .*no answer"):
        await client.run(recorder.emit, recorder)
    client, recorder = ready(plant, endpoint=None, device_instance=5, connect_timeout="200ms", local_address=_network())
    with pytest.raises(UnreachableError, match="nobody answered Who-Is"):
        await client.run(recorder.emit, recorder)


async def test_run_when_the_host_name_does_not_resolve_then_unreachable_says_so(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, endpoint="no-such-host.invalid")
    with pytest.raises(UnreachableError, match=r"source bac: .*does not resolve"):
        await client.run(recorder.emit, recorder)


async def test_subscribe_when_notifications_are_unconfirmed_then_they_arrive_too(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, confirmed=False, safety_poll_interval="1h")
    async with running(client, recorder) as task:
        plant.temperature.presentValue = 71.0
        await until(lambda: 71.0 in values(recorder, "bac.temperature"), "the change", task)


async def test_run_when_an_object_does_not_report_changes_then_it_is_polled(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, tag("gas", "accumulator,1", unit="m3"))
    async with running(client, recorder) as task:
        await until(lambda: len(values(recorder, "gas")) > 2, "a few polls", task)
    assert recorder.facts[0]["polled"] == "1"


async def test_run_when_a_subscription_expires_soon_then_it_is_renewed(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, subscription_lifetime="10s")
    object.__setattr__(client._config, "subscription_lifetime", timedelta(seconds=1))
    async with running(client, recorder) as task:
        await until(lambda: plant.app.requests.count("SubscribeCOVRequest") >= 3, "two renewals", task)


def _network() -> str:
    from tests.unit.resources.scada.bacnet.plant import _free_port

    return f"127.0.0.1/8:{_free_port()}"


async def test_run_when_another_device_answers_then_refused(plant: BacnetPlant) -> None:
    client, recorder = ready(plant, device_instance=7)
    with pytest.raises((ProtocolError, UnreachableError), match=r"is device 1001, not 7"):
        await client.run(recorder.emit, recorder)


async def test_run_when_found_by_a_bbmd_then_who_is_goes_through_it() -> None:
    bbmd = BacnetPlant(instance=2000)
    await bbmd.start(bbmd=True)
    client, recorder = ready(bbmd, endpoint=None, device_instance=2000, foreign_device={"bbmd_endpoint": bbmd.address})
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.rows()), "a reading", task)
    bbmd.stop()


async def test_run_when_the_bbmd_is_silent_then_unreachable(plant: BacnetPlant, monkeypatch: Any) -> None:
    from resources.scada.bacnet import stack

    monkeypatch.setattr(stack, "_REGISTER_WITHIN_S", 0.2)
    client, recorder = ready(plant, foreign_device={"bbmd_endpoint": "127.0.3.250:1"})
    with pytest.raises(UnreachableError, match=r"BBMD 127\.0\.3\.250:1"):
        await client.run(recorder.emit, recorder)


async def test_write_when_commandable_then_at_our_priority_and_relinquished_when_the_collector_ends(
    plant: BacnetPlant,
) -> None:
    valve = tag(
        "valve", "analog-output,1", unit="%", scale=0.5, writable={"minimum": 0, "maximum": 100, "max_step": 50}
    )
    client, recorder = ready(plant, valve, write_priority=10)
    await client.write("valve", 21.0)
    assert plant.valve.presentValue == 42.0
    assert plant.valve.priorityArray[9].real == Real(42.0)
    async with running(client, recorder) as task:
        await until(lambda: 21.0 in values(recorder, "valve"), "what was written", task)
    assert plant.valve.presentValue == 5.0


async def test_write_when_told_not_to_relinquish_then_it_stays(plant: BacnetPlant) -> None:
    valve = tag("valve", "analog-output,1", unit="%", writable={"minimum": 0, "maximum": 100, "max_step": 50})
    client, recorder = ready(plant, valve, relinquish_on_shutdown=False)
    await client.write("valve", 42.0)
    async with running(client, recorder):
        pass
    assert plant.valve.presentValue == 42.0
    await client.relinquish("valve")
    assert plant.valve.presentValue == 5.0


async def test_write_when_the_object_refuses_or_cannot_take_it_then_protocol_error(plant: BacnetPlant) -> None:
    client, _ = ready(
        plant, tag("gone", "analog-output,9"), tag("state", "multi-state-input,1"), tag("pump", "binary-input,1")
    )
    with pytest.raises(ProtocolError, match="unknown-object: the device has no such object"):
        await client.write("gone", 3.0)
    with pytest.raises(ProtocolError, match="whole numbers"):
        await client.write("state", 1.5)
    with pytest.raises(ProtocolError, match="on .1. or off"):
        await client.write("pump", 2)


async def test_check_health_when_connected_then_answers_and_otherwise_raises(plant: BacnetPlant) -> None:
    client, recorder = ready(plant)
    with pytest.raises(UnreachableError, match="no connection"):
        await client.check_health()
    async with running(client, recorder):
        assert (await client.check_health()).service_level is None


async def test_probe_when_asked_then_says_what_the_device_is(plant: BacnetPlant) -> None:
    client, _ = ready(plant)
    facts = await client.probe()
    assert facts.details["product"] == "Test Plant"
    assert facts.details["reads"] == "ReadPropertyMultiple"


async def test_discover_when_asked_then_objects_come_with_name_unit_and_type(plant: BacnetPlant) -> None:
    client, _ = ready(plant)
    found = {item.address["object"]: item for item in await client.discover()}
    assert found["analog-input,1"].path == "boiler house/flow temperature"
    assert found["analog-input,1"].unit == "Cel"
    assert found["characterstring-value,1"].is_text
    assert found["analog-output,1"].writable


async def test_two_sources_when_they_share_a_local_address_then_one_socket_serves_both(plant: BacnetPlant) -> None:
    other = BacnetPlant(instance=1002)
    await other.start()
    first, heard = ready(plant)
    local = first._config.local_address
    second, heard_too = ready(other, local_address=local)
    async with running(first, heard) as one, running(second, heard_too) as two:
        other.temperature.presentValue = 11.0
        await until(lambda: 11.0 in values(heard_too, "bac.temperature"), "the second", two)
        await until(lambda: bool(heard.rows()), "the first", one)
        third, recorder = ready(other, local_address=local)
        with pytest.raises(ProtocolError, match="is read by another source"):
            await third.run(recorder.emit, recorder)
        fourth, recorder = ready(other, local_address=local, retries=5)
        with pytest.raises(ConfigError, match="shared with another source"):
            await fourth.run(recorder.emit, recorder)
    other.stop()


@contextlib.contextmanager
def _taken() -> Iterator[str]:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        yield f"127.0.0.1/32:{other.getsockname()[1]}"


async def test_run_when_the_port_is_taken_then_a_config_error_and_a_look_takes_another(plant: BacnetPlant) -> None:
    with _taken() as local:
        client, recorder = ready(plant, local_address=local)
        with pytest.raises(ConfigError, match=r"in use; another BACnet program runs here"):
            await client.run(recorder.emit, recorder)
        recorder.batches.append(await client.read())
        assert values(recorder, "bac.temperature") == [60.5]
    client, recorder = ready(plant, local_address="192.0.2.1/24")
    with pytest.raises(ConfigError, match="write an address of this machine"):
        await client.read()


async def test_find_when_the_device_ignores_who_is_then_its_number_is_read(
    plant: BacnetPlant, monkeypatch: Any
) -> None:
    async def silent(_self: Any, _apdu: Any) -> None:
        return None

    own = type(plant.app).get_object_id
    anybody = ObjectIdentifier(("device", 4_194_303))
    monkeypatch.setattr(type(plant.app), "do_WhoIsRequest", silent)
    # bacpypes3 does not recognise the wildcard, which every device answers to by the standard
    monkeypatch.setattr(
        type(plant.app),
        "get_object_id",
        lambda self, wanted: self.device_object if wanted == anybody else own(self, wanted),
    )
    client, _ = ready(plant)
    async with shared_stack("bac", client._config) as stack:
        device = await BacnetDevice.find(stack, "bac", client._config)
        assert device.instance == 1001


async def test_supervisor_when_a_device_comes_back_while_its_circuit_is_open_then_it_is_read_at_once(
    plant: BacnetPlant,
) -> None:
    client, _ = ready(plant)
    clock, port = SystemClock(), Notebook()
    state = SourceState("bac", "bacnet", clock.monotonic())
    options = SourceOptions.model_validate(
        {"probe_interval": "300ms", "circuit_breaker": {"failures": 1, "recovery": "1h"}}
    )
    supervisor = SourceSupervisor(client, port, state, clock=clock, options=options)
    task = asyncio.create_task(supervisor.run())
    try:
        await until(lambda: state.connected, "the connection")
        plant.stop()
        await until(lambda: state.circuit is Circuit.OPEN and state.looks >= 2, "looks at a dead device")
        await plant.start()
        await until(lambda: state.connected, "the connection after")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_is_alive_when_found_by_who_is_then_the_same_question_is_asked() -> None:
    bbmd = BacnetPlant(instance=2001)
    await bbmd.start(bbmd=True)
    client, _ = ready(bbmd, endpoint=None, device_instance=2001, foreign_device={"bbmd_endpoint": bbmd.address})
    assert await client.is_alive(5.0)
    bbmd.stop()
    other, _ = ready(bbmd, local_address="192.0.2.1/24")
    assert not await other.is_alive(1.0)
