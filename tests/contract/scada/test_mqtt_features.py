"""The MQTT connector on real brokers: what it asks for when it subscribes, what it publishes, and both brokers."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
import pytest_asyncio

from resources.core.errors import AuthError, ConfigError, ProtocolError, UnreachableError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.scada.connector import CanDiscover, CanWrite, HasEndpoints, HasHealth, KeepsState
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.resource import MqttResource
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import FLOW, PASSWORD, TEMPERATURE, MqttRig, Surroundings
from tests.contract.scada.test_every_connector import SECOND_US, START_US

PLAIN = {"tls": False, "insecure_plain_tcp": True, "ca_certificate": None}


def _ready(rig: MqttRig, *, durable: bool = True, **changes: Any) -> tuple[MqttClient, Recorder]:
    config = rig.config(**changes)
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog, durable=durable)


class Listener:
    """A subscriber of its own (paho) that keeps what comes."""

    def __init__(self, rig: MqttRig, topic_filter: str) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._subscribed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener", protocol=paho.MQTTv5)
        self._client.username_pw_set("reader", PASSWORD)
        self._client.tls_set(str(rig.around.authority.certificate))
        self._client.on_message = lambda _c, _d, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.on_subscribe = lambda *_: loop.call_soon_threadsafe(self._subscribed.set)
        self._client.on_connect = lambda c, *_: c.subscribe(topic_filter, qos=1)
        self._port = rig.server_port

    async def __aenter__(self) -> "Listener":
        await asyncio.to_thread(self._client.connect, "127.0.0.1", self._port)
        self._client.loop_start()
        await asyncio.wait_for(self._subscribed.wait(), 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self.heard]


async def test_connector_when_asked_what_it_can_then_it_has_every_capability_of_its_protocol(mqtt_rig: MqttRig) -> None:
    client, _ = _ready(mqtt_rig)
    for capability in (CanWrite, CanDiscover, HasEndpoints, HasHealth, KeepsState):
        assert isinstance(client, capability)


@pytest.mark.parametrize(
    ("retained", "seen"), [("always", [True, True]), ("when_new", [True, False]), ("never", [False, False])]
)
async def test_run_when_retained_messages_are_asked_for_then_they_come_as_often(
    mqtt_rig: MqttRig, retained: str, seen: list[bool]
) -> None:
    await mqtt_rig.publish("rig/values", b'{"raw": 4, "time": "2026-11-22T10:15:00Z"}', retain=True)
    client, recorder = _ready(mqtt_rig, topic_filters=[{"filter": "rig/#", "retained": retained}])
    found = []
    for number in range(2):
        before = len(recorder.rows())
        async with running(client, recorder) as task:
            at = START_US + number * SECOND_US
            # a message sent after the subscription comes behind what is retained
            await mqtt_rig.put(9.0, at)
            await until(lambda at=at: recorder.has(TEMPERATURE, at, 9.0), "the live message", task)
        found.append(any(row.only_if_newer for row in recorder.rows()[before:]))
    assert found == seen


async def test_run_when_the_flag_is_kept_as_published_then_live_messages_with_it_count_as_retained(
    mqtt_rig: MqttRig,
) -> None:
    filters = [{"filter": "rig/#", "retain_as_published": True}]
    for changes, expected in (({}, False), ({"topic_filters": filters}, True)):
        client, recorder = _ready(mqtt_rig, client_id=f"c{expected}", **changes)
        async with running(client, recorder) as task:
            await mqtt_rig.publish("rig/values", b'{"raw": 4, "time": "2026-11-22T10:15:00Z"}', retain=True)
            await until(lambda recorder=recorder: len(recorder.rows()) == 2, "the message", task)
        assert recorder.rows()[0].only_if_newer is expected
        await mqtt_rig.publish("rig/values", b"", retain=True)


async def test_run_when_two_share_a_subscription_then_each_message_comes_to_one_of_them(mqtt_rig: MqttRig) -> None:
    shared = {"topic_filters": ["$share/collectors/rig/#"]}
    one, first = _ready(mqtt_rig, client_id="one", **shared)
    two, second = _ready(mqtt_rig, client_id="two", **shared)
    async with running(one, first) as task, running(two, second):
        for number in range(20):
            await mqtt_rig.put(float(number), START_US + number * SECOND_US)
        await until(lambda: len(first.rows()) + len(second.rows()) >= 40, "all messages", task)
    rows = [(row.sensor_id, row.time_us) for row in (*first.rows(), *second.rows())]
    assert len(rows) == len(set(rows)) == 40
    assert first.rows()
    assert second.rows()


async def test_run_when_filters_have_their_own_qos_then_each_is_kept_by_the_broker_or_not(mqtt_rig: MqttRig) -> None:
    filters = [{"filter": "rig/values", "qos": 0}, {"filter": "rig/other", "qos": 2}]
    tags = [
        {"sensor_id": TEMPERATURE, "unit": "Cel", "topic": "rig/values", "value_path": "raw"},
        {"sensor_id": FLOW, "unit": "kg/h", "topic": "rig/other", "value_path": "raw"},
    ]
    client, recorder = _ready(mqtt_rig, topic_filters=filters, tags=tags)
    async with running(client, recorder):
        pass
    for topic in ("rig/values", "rig/other"):
        await mqtt_rig.publish(topic, b'{"raw": 1, "time": "2026-11-22T10:15:00Z"}')
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.rows()), "what the broker has kept", task)
        await mqtt_rig.put(2.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 2.0), "a live message", task)
    assert [(row.sensor_id, row.value) for row in recorder.rows()] == [(FLOW, 1.0), (TEMPERATURE, 2.0)]


async def test_run_when_cut_again_and_again_at_qos_2_then_each_message_is_there_once_without_a_time_of_its_own(
    mqtt_rig: MqttRig,
) -> None:
    messages, cuts = 3_000, 12
    tags = [{"sensor_id": TEMPERATURE, "unit": "Cel", "topic": "rig/values", "value_path": "raw", "time_path": None}]
    client, recorder = _ready(mqtt_rig, qos=2, tags=tags, receive_maximum=100)
    async with running(client, recorder):
        pass
    for number in range(messages):
        mqtt_rig.publisher.publish("rig/values", b'{"raw": %d}' % number, qos=2)
    for cut in range(1, cuts + 1):
        task = asyncio.create_task(client.run(recorder.emit, recorder))
        wanted = cut * messages // (cuts + 1)
        await until(
            lambda wanted=wanted: len(recorder.batches) > 0 and _values(recorder) >= wanted, "the next stretch", task
        )
        mqtt_rig.proxy.cut()
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(task, 30)
    async with running(client, recorder) as last:
        await until(lambda: _values(recorder) >= messages, "the rest", last)
    assert [row.value for row in recorder.rows()] == list(range(messages))


def _values(recorder: Recorder) -> int:
    return sum(batch.readings.num_rows for batch in recorder.batches if batch.readings is not None)


async def test_run_when_a_status_topic_is_set_then_it_says_online_offline_and_the_will_speaks_for_a_lost_one(
    mqtt_rig: MqttRig,
) -> None:
    client, recorder = _ready(mqtt_rig, status_topic={"topic": "status/gl"})
    async with Listener(mqtt_rig, "status/#") as listener:
        async with running(client, recorder):
            await until(lambda: listener.payloads() == [b"online"], "online")
        await until(lambda: listener.payloads() == [b"online", b"offline"], "offline")
        async with running(client, recorder):
            await until(lambda: listener.payloads()[2:] == [b"online"], "online again")
            mqtt_rig.proxy.cut()
            await until(lambda: listener.payloads()[3:] == [b"offline"], "the last will")
    async with Listener(mqtt_rig, "status/#") as late:
        await until(lambda: late.heard == [("status/gl", b"offline", True)], "the retained status")


async def test_publish_when_called_then_a_subscriber_hears_it(mqtt_rig: MqttRig) -> None:
    client, _ = _ready(mqtt_rig)
    async with Listener(mqtt_rig, "out/#") as listener:
        for qos in (0, 1, 2):
            assert await client.publish("out/a", b"%d" % qos, qos, retain=qos == 2) == 0
        resource = MqttResource.of("rig", mqtt_rig.config())
        assert await asyncio.to_thread(resource.publish, "out/a", b"3") == 0
        await until(lambda: len(listener.heard) == 4, "four messages")
    assert listener.payloads() == [b"0", b"1", b"2", b"3"]
    assert await client.publish("nobody/listens", b"x") == 0x10


async def test_write_when_nobody_listens_then_protocol_error_names_the_topic(mqtt_rig: MqttRig) -> None:
    tag = {"sensor_id": "a", "unit": "1", "topic": "rig/a", "command_topic": "rig/none"}
    client, _ = _ready(mqtt_rig, tags=[tag, {"sensor_id": "b", "unit": "1", "topic": "rig/b"}])
    with pytest.raises(ProtocolError, match="nobody has subscribed rig/none"):
        await client.write("a", 1.0)
    with pytest.raises(ProtocolError, match="no command_topic"):
        await client.write("b", 1.0)


async def test_discover_when_listening_then_every_value_of_every_topic_is_listed(mqtt_rig: MqttRig) -> None:
    payload = {"temperatures": {"in": 81.5, "out": 40}, "mode": "auto", "on": True, "list": [1, {"v": 2}], "null": None}
    await mqtt_rig.publish("disc/hx", orjson.dumps(payload), retain=True)
    await mqtt_rig.publish("disc/plain", b"running", retain=True)
    client, _ = _ready(mqtt_rig, topic_filters=["disc/#"])
    items = {item.path: item for item in await client.discover(2.0)}
    assert {path: item.data_type for path, item in items.items()} == {
        "disc/hx/temperatures/in": "number",
        "disc/hx/temperatures/out": "number",
        "disc/hx/mode": "text",
        "disc/hx/on": "boolean",
        "disc/hx/list/0": "number",
        "disc/hx/list/1/v": "number",
        "disc/plain": "text",
    }
    assert items["disc/hx/list/1/v"].address == {"topic": "disc/hx", "value_path": "list.1.v"}
    assert items["disc/plain"].is_text


async def test_read_when_some_sensors_say_nothing_then_the_others_come(mqtt_rig: MqttRig) -> None:
    await mqtt_rig.publish("rig/values", b'{"raw": 5, "time": "2026-11-22T10:15:00Z"}', retain=True)
    client, recorder = _ready(mqtt_rig)
    recorder.batches.append(await client.read(timeout_s=1.0))
    assert {row.sensor_id: row.value for row in recorder.rows()} == {TEMPERATURE: 5.0, FLOW: 11.0}
    with pytest.raises(KeyError):
        await client.read(["unknown"])


@pytest.mark.parametrize("shown", [True, False], ids=["with certificate", "without"])
async def test_run_when_the_broker_wants_a_client_certificate_then_only_who_has_one_gets_in(
    mqtt_rig: MqttRig, shown: bool
) -> None:
    await asyncio.to_thread(mqtt_rig.broker.stop)
    pair = mqtt_rig.around.authority.issue("strict-broker")
    options = BrokerOptions(
        {"reader": PASSWORD},
        certificate=pair.certificate,
        key=pair.key,
        authority=pair.authority,
        require_client_certificate=True,
    )
    home = mqtt_rig.around.server_folder / f"strict{mqtt_rig.server_port}"
    mqtt_rig.broker = EmbeddedBroker(home, mqtt_rig.around.programs, options, port=mqtt_rig.server_port)
    await asyncio.to_thread(mqtt_rig.broker.start)
    ours = mqtt_rig.around.authority.issue("collector")
    files = {"client_certificate": ours.certificate, "client_key": ours.key} if shown else {}
    client, recorder = _ready(mqtt_rig, broker=files)
    if shown:
        async with running(client, recorder):
            assert recorder.facts[0]["certificate_subject"]
    else:
        with pytest.raises(AuthError, match=r"refuses this client's certificate.*set client_certificate"):
            await asyncio.wait_for(client.run(recorder.emit, recorder), 30)


async def test_run_when_a_certificate_file_is_missing_then_config_error(mqtt_rig: MqttRig) -> None:
    files = {"client_certificate": "/nowhere/c.pem", "client_key": "/nowhere/c.key"}
    client, recorder = _ready(mqtt_rig, broker=files)
    with pytest.raises(ConfigError, match="client_certificate /nowhere/c.pem"):
        await asyncio.wait_for(client.run(recorder.emit, recorder), 30)


class AmqttRig(MqttRig):
    """The broker where Mosquitto cannot be had: 3.1.1 alone, sessions in memory."""

    async def start(self) -> None:
        programs = dataclasses.replace(self.around.programs, mosquitto=None)
        home = self.around.server_folder / f"amqtt{self.server_port}"
        self.broker = EmbeddedBroker(home, programs, BrokerOptions({"reader": PASSWORD}), port=self.server_port)
        await asyncio.to_thread(self.broker.start)
        self.publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="plant", protocol=paho.MQTTv311)
        self.publisher.username_pw_set("reader", PASSWORD)
        await asyncio.to_thread(self.publisher.connect, "127.0.0.1", self.server_port)
        self.publisher.on_message = self._obey
        self.publisher.subscribe("rig/set", qos=1)
        self.publisher.loop_start()
        await self.proxy.start()


@pytest_asyncio.fixture
async def amqtt_rig(surroundings: Surroundings) -> AsyncIterator[AmqttRig]:
    rig = AmqttRig(surroundings)
    await rig.start()
    yield rig
    await rig.stop()


async def test_run_when_the_broker_is_amqtt_then_3_1_1_is_spoken_and_nothing_is_lost(
    amqtt_rig: AmqttRig, recorder_for: Callable[..., Recorder]
) -> None:
    client, recorder = _ready(amqtt_rig, broker=PLAIN, connect_timeout="4s")
    async with running(client, recorder) as task:
        assert recorder.facts[0]["mqtt"] == "3.1.1"
        for number in range(20):
            await amqtt_rig.put(float(number), START_US + number * SECOND_US)
        await until(lambda: len(recorder.rows()) == 40, "twenty messages", task)
    facts = await client.probe()
    assert facts.details["mqtt"] == "3.1.1"


async def test_run_when_amqtt_has_kept_messages_then_they_come_and_the_session_is_resumed(amqtt_rig: AmqttRig) -> None:
    client, recorder = _ready(amqtt_rig, broker=PLAIN, qos=2, connect_timeout="4s")
    async with running(client, recorder):
        pass
    for number in range(10):
        await amqtt_rig.put(float(number), START_US + number * SECOND_US)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 20, "what amqtt has kept", task)
    assert recorder.facts[1]["session"] == "resumed"
    rows = [(row.sensor_id, row.time_us) for row in recorder.rows()]
    assert len(rows) == len(set(rows)) == 20


async def test_write_when_the_broker_is_amqtt_then_the_device_obeys(amqtt_rig: AmqttRig) -> None:
    amqtt_rig.commanded = 0.0
    client, _ = _ready(amqtt_rig, broker=PLAIN, connect_timeout="4s")
    await client.write(FLOW, 41.0)
    await until(lambda: amqtt_rig.commanded == 20.0, "the command at the device")
