"""Reading on demand, writing and discovery over a real broker."""

import asyncio
from typing import Any

import pytest
import yaml

from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ProtocolError, UnreachableError
from resources.core.readings import ReadingBatch
from resources.demo_plant.servers.sparkplug_bytes import (
    DATASET,
    DOUBLE,
    INT32,
    STRING,
    UINT8,
    SparkplugMetric,
)
from resources.integrations import Integrations
from resources.scada.connector import CanDiscover, CanWrite
from resources.scada.mqtt.client import MqttClient
from resources.scada.values import plain_settings, sensor_values
from resources.scada.writes import Outcome, Requester, WriteReport, WriteRequest
from resources.write_back import write_tag
from tests.contract.scada.recorder import running, until
from tests.contract.scada.sparkplug.conftest import LEVEL, RUNNING, STATE, STEAM, SparkplugRig


def shown(batch: ReadingBatch, client: Any) -> dict[str, float | None]:
    return {one.sensor_id: one.value for one in sensor_values(batch.readings, client)}


async def test_read_when_asked_then_the_births_tell_the_present_values(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    batch = await client.read([STEAM, LEVEL])
    assert shown(batch, recorder.catalog) == {STEAM: 1.0, LEVEL: -9.0}
    assert batch.only_if_newer
    everything = await client.read()
    assert everything.texts is not None
    assert everything.texts.column("value").to_pylist() == ["idle"]


async def test_read_when_a_metric_is_gone_then_the_reason_is_told(rig: SparkplugRig) -> None:
    more = [{"sensor_id": "gone", "unit": "1", "sparkplug": "Plant/Boiler 1//Nothing"}]
    client, _ = rig.ready(more_tags=more)
    batch = await client.read(["gone"])
    assert batch.readings is None
    assert batch.rejects is not None
    (reject,) = batch.rejects.to_pylist()
    assert reject["sensor_id"] == "gone"
    assert "has no metric Nothing" in reject["reasons"][0]


async def test_read_when_the_edge_node_is_away_then_unreachable_error(rig: SparkplugRig) -> None:
    await asyncio.to_thread(rig.node.stop)
    client, _ = rig.ready()
    with pytest.raises(UnreachableError):
        await client.read([STEAM], timeout_s=1.0)


async def test_read_when_the_sensor_is_not_of_this_source_then_key_error(rig: SparkplugRig) -> None:
    client, _ = rig.ready()
    with pytest.raises(KeyError):
        await client.read(["stranger"])


@pytest.mark.parametrize(
    ("sensor_id", "value", "command", "read_back"),
    [
        (STEAM, 12.5, ("", "Steam/Flow", 12.5), 12.5),
        (LEVEL, -7.0, ("Drum", "Level", -4), -7.0),
        (RUNNING, 1.0, ("Drum", "Running", True), 1.0),
    ],
    ids=["node, Double", "device, scaled Int32", "device, Boolean"],
)
async def test_write_when_the_edge_node_takes_it_then_it_is_read_back(
    rig: SparkplugRig, sensor_id: str, value: float, command: tuple[str, str, Any], read_back: float
) -> None:
    client, recorder = rig.ready()
    assert isinstance(client, CanWrite)
    await client.read([sensor_id])
    await client.write(sensor_id, value)
    await until(lambda: bool(rig.node.commands), "the command")
    assert rig.node.commands == [command]
    assert shown(await client.read([sensor_id]), recorder.catalog) == {sensor_id: read_back}


async def test_write_when_the_collector_runs_then_it_sees_the_data_that_follow(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await until(lambda: any(r.sensor_id == LEVEL for r in recorder.rows()), "the births", task)
        writer, _ = rig.ready()
        await writer.read([LEVEL])
        await writer.write(LEVEL, 21.0)
        await until(lambda: any(r.value == 21.0 and not r.only_if_newer for r in recorder.rows()), "the DDATA", task)
    assert not recorder.failed
    assert not recorder.rejects()


async def test_write_when_the_value_is_a_text_or_a_state_then_the_string_is_sent(rig: SparkplugRig) -> None:
    rig.node.metrics["Drum"]["Mode"] = SparkplugMetric("Mode", STRING, "auto")
    mode = {
        "sensor_id": "mode", "unit": "1", "states": {"manual": 0, "auto": 1}, "sparkplug": "Plant/Boiler 1/Drum/Mode",
    }  # fmt: skip
    client, recorder = rig.ready(more_tags=[mode])
    assert shown(await client.read(["mode", STATE]), recorder.catalog) == {"mode": 1.0}
    await client.write("mode", 0.0)
    await client.write(STATE, "running")
    await until(lambda: len(rig.node.commands) == 2, "the commands")
    assert rig.node.commands == [("Drum", "Mode", "manual"), ("Drum", "State", "running")]
    with pytest.raises(ProtocolError, match="7 is the number of none of the tag's states"):
        await client.write("mode", 7.0)


async def test_write_when_nothing_was_read_before_then_the_births_are_read_first(rig: SparkplugRig) -> None:
    client, _ = rig.ready()
    await client.write(LEVEL, 1.0)
    await until(lambda: bool(rig.node.commands), "the command")
    assert rig.node.commands == [("Drum", "Level", 0)]


async def test_write_when_the_metric_does_not_exist_then_protocol_error(rig: SparkplugRig) -> None:
    client, _ = rig.ready(more_tags=[{"sensor_id": "gone", "unit": "1", "sparkplug": "Plant/Boiler 1//Nothing"}])
    with pytest.raises(ProtocolError, match="source rig: writing gone: no birth .* see that the metric exists"):
        await client.write("gone", 1.0)


async def test_guard_when_confirmed_then_it_is_written_and_read_back(rig: SparkplugRig, database_url: str) -> None:
    writable = {"minimum": 0, "maximum": 100, "max_step": 20}
    tag = {"sensor_id": "setpoint", "unit": "Cel", "writable": writable, "sparkplug": "Plant/Boiler 1//Setpoint"}
    rig.node.metrics[""]["Setpoint"] = SparkplugMetric("Setpoint", DOUBLE, 40.0, alias=40)
    source = plain_settings(rig.config(more_tags=[tag]))
    document = yaml.safe_dump({"site": "plant", "start": "2026-11-01T00:00:00Z", "sources": {"rig": source}})
    config = parse_yaml(document, Integrations, name="rig.yaml")

    async def guarded(value: float) -> WriteReport:
        request, anna = WriteRequest("setpoint", value, confirm=True), Requester("anna", "gl write", "control-room-2")
        return await asyncio.to_thread(write_tag, config, request, anna, database_url=database_url)

    written = await guarded(45.5)
    assert (written.outcome, written.old_value, written.read_back) == (Outcome.WRITTEN, 40.0, 45.5), written.reason
    refused = await guarded(90.0)
    assert refused.outcome is Outcome.REFUSED
    assert rig.node.commands == [("", "Setpoint", 45.5)]


async def test_write_when_the_value_does_not_fit_then_protocol_error_and_nothing_is_sent(rig: SparkplugRig) -> None:
    own = rig.node.metrics[""]
    own["Small"] = SparkplugMetric("Small", UINT8, 1)
    own["Table"] = SparkplugMetric("Table", DATASET, b"")
    more = [
        {"sensor_id": "small", "unit": "1", "sparkplug": "Plant/Boiler 1//Small"},
        {"sensor_id": "table", "unit": "1", "sparkplug": "Plant/Boiler 1//Table"},
    ]
    client, _ = rig.ready(more_tags=more)
    await client.read(["small", "table"])
    with pytest.raises(ProtocolError, match="256 cannot be written to an UInt8"):
        await client.write("small", 256.0)
    with pytest.raises(ProtocolError, match="a DataSet"):
        await client.write("table", 1.0)
    assert not rig.node.commands


async def test_discover_when_edge_nodes_answer_then_their_metrics_are_listed(rig: SparkplugRig) -> None:
    rig.node.metrics["Drum"]["Temp"] = SparkplugMetric("Temp", DOUBLE, 1.0, unit="°C")
    rig.node.metrics["Drum"]["Table"] = SparkplugMetric("Table", DATASET, b"")
    other = rig.edge_node("Boiler 2")
    other.metrics = {"": {"Speed": SparkplugMetric("Speed", INT32, 4)}}
    await asyncio.to_thread(other.start)
    client, _ = rig.ready(sparkplug={"edge_nodes": ["Plant/Boiler 2"]})
    assert isinstance(client, CanDiscover)
    found = await client.discover(seconds=1.0)
    assert [item.path for item in found] == [
        "Plant/Boiler 1/Drum/Level",
        "Plant/Boiler 1/Drum/Running",
        "Plant/Boiler 1/Drum/State",
        "Plant/Boiler 1/Drum/Temp",
        "Plant/Boiler 1/Steam/Flow",
        "Plant/Boiler 2/Speed",
    ]
    by_path = {item.path: item for item in found}
    assert by_path["Plant/Boiler 2/Speed"].address == {"sparkplug": "Plant/Boiler 2//Speed"}
    assert by_path["Plant/Boiler 1/Drum/State"].is_text
    temperature = by_path["Plant/Boiler 1/Drum/Temp"]
    assert (temperature.data_type, temperature.unit) == ("Double", "Cel")
    assert _readable(rig, temperature.address)


def _readable(rig: SparkplugRig, address: Any) -> MqttClient:
    """The address is a tag's own keys: it makes a tag."""
    return rig.ready(more_tags=[{"sensor_id": "found", "unit": "Cel", **address}])[0]
