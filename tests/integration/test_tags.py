"""Reports, tag lists and discovery with the real collector and a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from paho.mqtt.publish import multiple

from gl_assets.cli.main import cli
from resources.demo_plant.servers.opc_ua import NAMESPACE_URI, OpcUaEndpoint, OpcUaNode, OpcUaServer
from resources.embedded.broker import EmbeddedBroker
from resources.embedded.ports import free_port
from resources.integrations import Integrations, load_integrations
from resources.scada.opc_ua import client as opc_ua_client
from resources.window_buffer.reader import BufferReader
from sensors.collector.assembly import Collector
from sensors.collector.main import collect_for
from sensors.collector.supervision import discovery_watch
from tests.faults.small_plant import SmallPlant, until

IN_FLIGHT = 20
DEVIATION = 25.0
"""The counters rise by some hundreds a second: a line that is this close leaves out nearly all of them."""


@pytest.fixture
async def plant(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[SmallPlant]:
    plant = SmallPlant(tmp_path, broker, sources="modbus mqtt")
    config = yaml.safe_load(plant.config_path.read_text())
    for source in config["sources"].values():
        source["tags"][0]["report"] = {"when": "swinging_door", "deviation": DEVIATION}
    plant.config_path.write_text(yaml.safe_dump(config))
    await plant.start()
    yield plant
    await plant.stop()


async def test_report_when_collected_then_little_is_stored_all_is_acknowledged_and_the_lines_are_true(
    plant: SmallPlant,
) -> None:
    worked: list[float] = []

    def progress(seconds: float, states: object) -> None:
        worked.append(seconds)
        if len(worked) == 2:
            plant.work()

    collected = await collect_for(plant.config, plant.home, 6.0, progress)
    await plant.rest()
    await plant.all_published()
    assert set(collected.counts) == {"modbus", "mqtt"}
    for counts in collected.counts.values():
        assert counts.sent == counts.buffered + counts.rejected + counts.in_gaps
        assert counts.other["suppressed"] > 3 * counts.buffered > 0
    published = dict(plant.published)
    kept = plant.contents()["mqtt.count"]
    assert len(kept) == collected.counts["mqtt"].buffered
    assert set(kept) <= set(published.items())
    # between the first and the last reading kept, every message lies on the lines
    times = np.array([time for time in published if kept[0][0] <= time <= kept[-1][0]])
    drawn = np.interp(times, *np.array(kept).T)
    assert np.abs(drawn - [published[int(time)] for time in times]).max() <= DEVIATION + 1e-6
    # what was left out was acknowledged: the broker sends nothing of it again (what came while we were away, it does, and
    # what was in flight when we left)
    waiting = [time for time in published if time > kept[-1][0]]
    again = await collect_for(plant.config, plant.home, 2.0)
    mqtt = again.counts["mqtt"]
    assert mqtt.sent + mqtt.other["suppressed"] <= len(waiting) + IN_FLIGHT


async def test_collector_when_its_server_offers_more_then_it_says_so_by_the_session_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_second_session(*_: object) -> None:
        raise AssertionError("a session of its own")

    monkeypatch.setattr(discovery_watch, "SETTLED_S", 0.0)
    monkeypatch.setattr(opc_ua_client, "session_of", no_second_session)
    server = OpcUaServer(OpcUaEndpoint("127.0.0.1", free_port()), [OpcUaNode("opc.count"), OpcUaNode("opc.more")])
    await server.start()
    source = {
        "kind": "opc_ua",
        "endpoint_url": server.endpoint.url,
        "insecure_no_security": True,
        "discover": {},
        "tags": [
            {"sensor_id": "count", "unit": "1", "node_id": f"nsu={NAMESPACE_URI};s=opc.count"},
            {"sensor_id": "gone", "unit": "1", "node_id": f"nsu={NAMESPACE_URI};s=opc.gone"},
        ],
    }
    config = Integrations.model_validate(
        {"site": "t", "start": "2026-01-01T00:00:00Z", "collector": {"port": 0}, "sources": {"opc": source}}
    )
    collector, stop = Collector(config, tmp_path / "gl"), asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    try:
        await until(lambda: collector.offers["opc"].offer.comparison is not None or running.done())
        await until((tmp_path / "gl" / "collector.json").exists)
        url = json.loads((tmp_path / "gl" / "collector.json").read_text())["url"]
        async with httpx.AsyncClient() as client:
            findings = (await client.get(f"{url}/healthz")).json()["findings"]
            metrics = (await client.get(f"{url}/metrics")).text
    finally:
        stop.set()
        await running
        await server.stop()
    (found,) = [finding for finding in findings if finding["name"] == "tags.opc"]
    assert (found["level"], found["facts"]) == ("warning", {"offered": 2, "new": 1, "renamed": 0, "missing": 1})
    assert "run `gl tags discover opc --write`, then start the collector again" in found["detail"]
    assert 'gl_source_new_items{source="opc"} 1.0' in metrics
    assert 'gl_report_suppressed_total{source="opc"} 0.0' in metrics


def test_discover_when_a_broker_offers_topics_then_its_list_is_collected(
    tmp_path: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(**values: float | str) -> None:
        messages = [
            {"topic": f"plant/{topic}", "payload": json.dumps({"value": value}), "qos": 1, "retain": True}
            for topic, value in values.items()
        ]
        multiple(messages, broker.host, broker.port)

    config = {
        "site": "testsite",
        "start": "2026-01-01T00:00:00Z",
        "sources": {
            "meters": {
                "kind": "mqtt",
                "broker": {"host": broker.host, "port": broker.port, "tls": False, "insecure_plain_tcp": True},
                "client_id": "collector-under-test",
                "topic_filters": ["plant/#"],
                "tags_csv": "lists/meters.csv",
                "discover": {"include": ["plant/*/value"], "exclude": ["plant/noise/**"], "sensor_id": "{parent}"},
            }
        },
    }
    (tmp_path / "integrations.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("GL_CONFIG", str(tmp_path / "integrations.yaml"))
    publish(flow=1.5, state="running", noise=0.0)
    result = CliRunner().invoke(cli, ["tags", "discover", "meters", "--write", "--json"])
    assert result.exit_code == 0, result.exception
    said = json.loads(result.stdout)
    assert (said["offered"], said["wanted"], said["written"]) == (3, 2, True)
    assert {one["sensor_id"]: one["is_text"] for one in said["new"]} == {"flow": False, "state": True}
    # the payloads carry no time: people say so in the list, and their cells stay
    path = tmp_path / "lists" / "meters.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},time_path", *(f"{line},null" for line in lines[1:])]) + "\n")
    asyncio.run(collect_for(load_integrations(), tmp_path / "gl", 3.0))
    reader = BufferReader(tmp_path / "gl" / "buffer")
    held = [reader.read(window.window_start) for window in reader.windows()]
    assert [value for one in held for value in one.readings.column("value").to_pylist()] == [1.5]
    assert [value for one in held for value in one.texts.column("value").to_pylist()] == ["running"]
