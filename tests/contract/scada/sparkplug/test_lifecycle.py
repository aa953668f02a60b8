"""Restarts, losses and deaths over a real broker: nothing lost that can be had, nothing doubled, nothing mixed up."""

import asyncio
import json
import shutil
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from resources.core.errors import UnreachableError
from resources.demo_plant.servers.sparkplug_bytes import DOUBLE, TEMPLATE, SparkplugMetric
from tests.contract.scada.recorder import Recorder, Row, running, until
from tests.contract.scada.sparkplug.conftest import LEVEL, RUNNING, STATE, STEAM, SparkplugRig
from tests.contract.scada.sparkplug.test_reading import T0, born, texts


def values(recorder: Recorder, sensor_id: str = STEAM) -> list[tuple[float | None, str]]:
    return [(r.value, r.status) for r in recorder.rows() if r.sensor_id == sensor_id and not r.only_if_newer]


async def test_run_when_messages_are_lost_then_a_rebirth_brings_certainty_and_the_rest_is_read(
    rig: SparkplugRig,
) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        rig.node.publish_data("", {"Steam/Flow": 2.0}, T0)
        rig.node.skip_seq()
        for number in range(5):
            rig.node.publish_data("", {"Steam/Flow": 3.0 + number}, T0 + 1 + number)
        await until(lambda: recorder.has(STEAM, (T0 + 5) * 1000, 7.0), "what came after the loss", task)
    assert values(recorder) == [(2.0 + n, "good") for n in range(6)]
    assert rig.node.rebirths_asked == 2


async def test_run_when_the_collector_restarts_then_aliases_are_known_without_a_birth(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        rig.node.publish_data("", {"Steam/Flow": 2.0}, T0)
        await until(lambda: len(values(recorder)) == 1, "the data", task)
    rig.node.answers_rebirth = False
    again, second = rig.ready()
    async with running(again, second) as task:
        rig.node.publish_data("Drum", {"Level": 7, "State": "up"}, T0 + 1)
        await until(lambda: second.has(LEVEL, (T0 + 1) * 1000, 15.0), "the data", task)
        await until(lambda: (STATE, "up", 0) in texts(second), "the text", task)
    assert not second.failed
    assert not second.rejects()
    assert rig.node.rebirths_asked == 1


async def test_run_when_the_collector_was_killed_then_a_birth_confirms_its_aliases(
    rig: SparkplugRig, tmp_path: Path
) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        # what a killed process leaves on the disk
        shutil.copytree(rig.state, tmp_path / "killed")
    rig.node.skip_seq()  # what nobody heard at QoS 0
    rig.state = tmp_path / "killed"
    again, second = rig.ready()
    async with running(again, second) as task:
        rig.node.publish_data("", {"Steam/Flow": 2.0}, T0 + 1)
        await until(lambda: bool(values(second)), "the data", task)
    assert values(second) == [(2.0, "good")]
    assert rig.node.rebirths_asked == 2


async def test_run_when_killed_and_the_edge_node_is_mute_then_data_are_uncertain(
    rig: SparkplugRig, tmp_path: Path
) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        shutil.copytree(rig.state, tmp_path / "killed")
    rig.node.answers_rebirth = False
    rig.state = tmp_path / "killed"
    again, second = rig.ready()
    async with running(again, second) as task:
        rig.node.publish_data("", {"Steam/Flow": 2.0}, T0)
        await until(lambda: values(second) == [(2.0, "uncertain")], "the data by the old aliases", task)
        assert rig.node.rebirths_asked >= 2
        rig.node.answers_rebirth = True
        await until(lambda: any(r.sensor_id == STEAM and r.only_if_newer for r in second.rows()), "the birth", task)
        rig.node.publish_data("", {"Steam/Flow": 3.0}, T0 + 1)
        await until(lambda: values(second)[-1] == (3.0, "good"), "certainty", task)


async def test_run_when_the_edge_node_restarts_with_other_aliases_then_nothing_is_mixed_up(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        await asyncio.to_thread(rig.node.vanish)
        await until(lambda: STEAM in dict(recorder.failed), "the death", task)
        assert {r.status for r in recorder.rows() if not r.only_if_newer} == {"bad"}
        assert all(r.value is None for r in recorder.rows() if not r.only_if_newer)
        assert (STATE, None, 2) in texts(recorder)
        for metric, alias in (("Level", 21), ("Running", 20)):
            old = rig.node.metrics["Drum"][metric]
            rig.node.metrics["Drum"][metric] = SparkplugMetric(metric, old.datatype, old.value, alias)
        await asyncio.to_thread(rig.node.start)
        rig.node.publish_stale_death()
        rig.node.publish_data("Drum", {"Level": 4, "Running": True}, T0)
        await until(lambda: recorder.has(RUNNING, T0 * 1000, 1.0), "the data", task)
    assert recorder.has(LEVEL, T0 * 1000, 9.0)
    assert not recorder.rejects()
    assert set(recorder.recovered) == {STEAM, LEVEL, RUNNING, STATE}


async def test_run_when_a_device_dies_then_its_tags_alone_are_bad_until_it_is_born_again(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        rig.node.publish_device_death("Drum")
        await until(lambda: len(recorder.failed) == 3, "the death", task)
        assert STEAM not in dict(recorder.failed)
        rig.node.publish_device_birth("Drum")
        rig.node.publish_data("Drum", {"Level": 1}, T0)
        await until(lambda: recorder.has(LEVEL, T0 * 1000, 3.0), "the data", task)
    assert sorted(recorder.recovered) == sorted([LEVEL, RUNNING, STATE])


async def test_run_when_the_broker_restarts_then_all_goes_on_and_nothing_is_doubled(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        rig.node.publish_data("", {"Steam/Flow": 2.0}, T0)
        await until(lambda: len(values(recorder)) == 1, "the data", task)
        await asyncio.to_thread(rig.broker.restart)
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(asyncio.shield(task), 30)
    rig.node.born.clear()
    async with running(client, recorder) as task:
        assert await asyncio.to_thread(rig.node.born.wait, 30), "the edge node is connected again"
        births = len(recorder.rows())
        rig.node.publish_data("", {"Steam/Flow": 3.0}, T0 + 1)
        await until(lambda: (3.0, "good") in values(recorder), "the data after the restart", task)
        assert births <= len(recorder.rows())
    good = [value for value, status in values(recorder) if status == "good"]
    assert good == [2.0, 3.0]


async def test_run_when_a_message_comes_twice_then_it_is_read_once(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        payload = rig.node.publish_data("", {"Steam/Flow": 2.0}, T0)
        rig.node.send_raw("NDATA", "", payload)
        rig.node.publish_data("", {"Steam/Flow": 3.0}, T0 + 1)
        await until(lambda: recorder.has(STEAM, (T0 + 1) * 1000, 3.0), "the data", task)
    assert values(recorder) == [(2.0, "good"), (3.0, "good")]
    assert rig.node.rebirths_asked == 1


async def test_run_when_killed_before_the_ack_then_qos_1_messages_come_again(rig: SparkplugRig, tmp_path: Path) -> None:
    rig.node.qos = 1
    client, recorder = rig.ready(durable=False)
    async with running(client, recorder) as task:
        await born(recorder, task)
        for number in range(3):
            rig.node.publish_data("", {"Steam/Flow": 2.0 + number}, T0 + number)
        await until(lambda: len(values(recorder)) == 3, "the data", task)
        shutil.copytree(rig.state, tmp_path / "killed")
    rig.state = tmp_path / "killed"
    again, second = rig.ready()
    async with running(again, second) as task:
        await until(lambda: len(values(second)) >= 3, "what was not acknowledged", task)
    assert set(values(second)) == {(2.0 + n, "good") for n in range(3)}


async def test_run_when_history_is_sent_late_then_it_is_read_with_its_time(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        rig.node.publish_data("", {"Steam/Flow": 0.5}, T0 - 86_400_000, is_historical=True)
        await until(lambda: recorder.has(STEAM, (T0 - 86_400_000) * 1000, 0.5), "the history", task)
    row = next(r for r in recorder.rows() if r.value == 0.5)
    assert row == Row(STEAM, (T0 - 86_400_000) * 1000, 0.5, "good", only_if_newer=False)


async def test_run_when_quality_is_told_then_it_is_the_status(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        for number, quality in enumerate((192, 64, 0, 500)):
            rig.node.publish_data("", {"Steam/Flow": 2.0}, T0 + number, quality=quality)
        await until(lambda: len(values(recorder)) == 4, "the data", task)
    assert [status for _, status in values(recorder)] == ["good", "uncertain", "bad", "bad"]


async def test_run_when_tags_do_not_fit_their_metrics_then_they_alone_are_refused(rig: SparkplugRig) -> None:
    own = rig.node.metrics[""]
    own["Recipe"] = SparkplugMetric("Recipe", TEMPLATE, b"\x0a\x01x", alias=30)
    own["Scratch"] = SparkplugMetric("Scratch", DOUBLE, 1.0, alias=31, is_transient=True)
    more = [
        {"sensor_id": "recipe", "unit": "1", "sparkplug": "Plant/Boiler 1//Recipe"},
        {"sensor_id": "scratch", "unit": "1", "sparkplug": "Plant/Boiler 1//Scratch"},
        {"sensor_id": "gone", "unit": "1", "sparkplug": "Plant/Boiler 1//Steam/Flow rate"},
        {"sensor_id": "wrong_unit", "unit": "Cel", "sparkplug": "Plant/Boiler 1//Steam/Flow"},
        {"sensor_id": "tons", "unit": "t/h", "sparkplug": "Plant/Boiler 1//Steam/Flow"},
    ]
    client, recorder = rig.ready(more_tags=more)
    async with running(client, recorder) as task:
        await born(recorder, task)
        rig.node.publish_data("", {"Steam/Flow": 1500.0}, T0)
        await until(lambda: recorder.has("tons", T0 * 1000, 1.5), "the converted value", task)
        await until(lambda: recorder.has(STEAM, T0 * 1000, 1500.0), "the plain value", task)
    failed = dict(recorder.failed)
    assert set(failed) == {"recipe", "scratch", "gone", "wrong_unit"}
    assert failed["recipe"] == "a Template is not read: have the edge node publish its members as metrics"
    assert failed["scratch"].startswith("the metric is transient")
    assert "has no metric Steam/Flow rate" in failed["gone"]
    assert failed["wrong_unit"].startswith("the unit 'kg/h' (engUnit) does not fit")
    assert {r["sensor_id"] for r in recorder.rejects()} == {"recipe", "scratch", "wrong_unit"}


def _watched(rig: SparkplugRig) -> tuple[paho.Client, list[tuple[bool, int, bool]]]:
    """Somebody who watches our STATE: (online, timestamp, retained) as they come."""
    seen: list[tuple[bool, int, bool]] = []

    def heard(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        state = json.loads(message.payload)
        seen.append((state["online"], state["timestamp"], message.retain))

    watcher = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="watcher")
    watcher.on_message = heard
    watcher.connect("127.0.0.1", rig.broker.port)
    watcher.subscribe("spBv1.0/STATE/gl", 1)
    watcher.loop_start()
    return watcher, seen


async def test_state_when_we_come_are_contradicted_and_leave_then_it_is_right(rig: SparkplugRig) -> None:
    watcher, seen = await asyncio.to_thread(_watched, rig)
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await until(lambda: bool(seen), "our state", task)
        await asyncio.to_thread(watcher.publish, "spBv1.0/STATE/gl", b'{"online":false,"timestamp":1}', 1, True)
        await until(lambda: len(seen) == 3, "our word against it", task)
    await until(lambda: len(seen) == 4, "our farewell")
    assert [online for online, _, _ in seen] == [True, False, True, False]
    assert seen[0][1] == seen[2][1] <= seen[3][1]
    watcher.disconnect()
    watcher.loop_stop()
    late, kept = await asyncio.to_thread(_watched, rig)
    await until(lambda: bool(kept), "the retained state")
    assert kept == [(False, seen[3][1], True)]
    late.disconnect()
    late.loop_stop()


async def test_state_when_we_vanish_then_the_will_has_the_timestamp_of_the_birth(rig: SparkplugRig) -> None:
    watcher, seen = await asyncio.to_thread(_watched, rig)
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await until(lambda: len(seen) == 1, "our state", task)
        assert client._reading is not None
        client._reading.transport.abort()
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(asyncio.shield(task), 30)
        await until(lambda: len(seen) == 2, "our will")
    assert (seen[0][0], seen[1][0]) == (True, False)
    assert seen[0][1] == seen[1][1]
    watcher.disconnect()
    watcher.loop_stop()
