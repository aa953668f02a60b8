"""What the MQTT connector owes beyond the common contract: acknowledgements, sessions, retained messages."""

import asyncio
from typing import Any

import pytest

from resources.core.errors import AuthError, ProtocolError, SourceError, UnreachableError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.resource import MqttResource
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import BAD, FLOW, TEMPERATURE, MqttRig
from tests.contract.scada.test_every_connector import SECOND_US, START_US

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def _ready(rig: MqttRig, *, durable: bool = True, **changes: Any) -> tuple[MqttClient, Recorder]:
    config = rig.config(**changes)
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog, durable=durable)


@VERSIONS
async def test_run_when_killed_before_the_ack_then_the_message_comes_again(mqtt_rig: MqttRig, version: str) -> None:
    changes = {"broker": {"protocol": version}}
    client, recorder = _ready(mqtt_rig, durable=False, **changes)
    async with running(client, recorder) as task:
        for number in range(3):
            await mqtt_rig.put(float(number), START_US + number * SECOND_US)
        await until(lambda: len(recorder.rows()) == 6, "three messages", task)
        recorder.owed[0]()
        acknowledged = {row.time_us for row in _rows_of_first(recorder)}
    again, second = _ready(mqtt_rig, **changes)
    async with running(again, second) as task:
        wanted = {START_US + number * SECOND_US for number in range(3)} - acknowledged
        await until(lambda: {row.time_us for row in second.rows()} >= wanted, "what was not acknowledged", task)
        assert not acknowledged & {row.time_us for row in second.rows()}
    assert second.facts[0]["session"] == "resumed"
    assert not any(row.only_if_newer for row in second.rows())
    third_client, third = _ready(mqtt_rig, **changes)
    async with running(third_client, third) as task:
        await mqtt_rig.put(9.0, START_US + 9 * SECOND_US)
        await until(lambda: third.has(TEMPERATURE, START_US + 9 * SECOND_US, 9.0), "a new message", task)
    assert len(third.rows()) == 2


def _rows_of_first(recorder: Recorder) -> list[Any]:
    return Recorder(recorder.catalog, batches=recorder.batches[:1]).rows()


async def test_run_when_away_then_the_broker_keeps_the_messages(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig)
    async with running(client, recorder):
        pass
    for number in range(50):
        await mqtt_rig.put(float(number), START_US + number * SECOND_US)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) == 100, "everything sent meanwhile", task)
    assert [row.value for row in recorder.rows() if row.sensor_id == FLOW] == [2.0 * n + 1 for n in range(50)]


async def test_run_when_qos_is_two_then_each_message_comes_once(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig, qos=2)
    async with running(client, recorder) as task:
        for number in range(30):
            mqtt_rig.publisher.publish(
                "rig/values", b'{"raw": %d, "time": %d}' % (number, 1_795_342_500_000 + number), qos=2
            )
        await until(lambda: len(recorder.rows()) >= 60, "thirty messages", task)
    assert len(recorder.rows()) == 60


async def test_run_when_a_message_is_retained_then_it_is_only_if_newer(mqtt_rig: MqttRig) -> None:
    await mqtt_rig.publish("rig/values", b'{"raw": 4, "time": "2026-11-22T10:15:00Z"}', retain=True)
    client, recorder = _ready(mqtt_rig)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) == 2, "the retained message", task)
        assert all(row.only_if_newer for row in recorder.rows())
        assert recorder.counts["sent"] == 0
        await mqtt_rig.put(5.0, START_US + SECOND_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US + SECOND_US, 5.0), "a fresh message", task)
    assert not recorder.rows()[-1].only_if_newer


async def test_run_when_no_tag_names_the_topic_then_it_is_rejected_and_acknowledged(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig)
    async with running(client, recorder) as task:
        await mqtt_rig.publish("rig/stranger", b"hello")
        await until(lambda: bool(recorder.rejects()), "the reject", task)
    (reject,) = recorder.rejects()
    assert reject["reasons"] == ["unknown sensor: no tag of this source names the topic rig/stranger"]
    assert reject["raw"] == '{"text":"hello"}'


async def test_run_when_twenty_are_in_flight_then_a_burst_comes_through_in_order(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig, receive_maximum=20)
    async with running(client, recorder) as task:
        for number in range(500):
            mqtt_rig.publisher.publish(
                "rig/values", b'{"raw": %d, "time": %d}' % (number, 1_795_342_500_000 + number), qos=1
            )
        await until(lambda: len(recorder.rows()) == 1000, "the burst", task)
    assert [row.value for row in recorder.rows() if row.sensor_id == TEMPERATURE] == list(range(500))


async def test_run_when_batches_become_durable_out_of_order_then_acks_keep_the_order(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig, durable=False, receive_maximum=2)
    async with running(client, recorder) as task:
        await mqtt_rig.put(1.0, START_US)
        await until(lambda: len(recorder.owed) == 1, "the first message", task)
        await mqtt_rig.put(2.0, START_US + SECOND_US)
        await until(lambda: len(recorder.owed) == 2, "the second message", task)
        recorder.owed[1]()
        await mqtt_rig.put(3.0, START_US + 2 * SECOND_US)
        assert len(recorder.owed) == 2, "the second acknowledgement must wait for the first"
        recorder.owed[0]()
        await until(lambda: len(recorder.owed) == 3, "the third message", task)


async def test_run_when_the_broker_falls_silent_then_unreachable_error(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig, broker={"keepalive": "1s"})
    async with running(client, recorder) as task:
        mqtt_rig.proxy.deaf = True
        with pytest.raises(UnreachableError, match="silent"):
            await asyncio.wait_for(asyncio.shield(task), 30)


async def test_run_when_another_client_takes_the_session_then_the_error_says_so(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig)
    other, second = _ready(mqtt_rig)
    async with running(client, recorder) as task, running(other, second):
        with pytest.raises(SourceError, match="another client took over the session"):
            await asyncio.wait_for(asyncio.shield(task), 30)


async def test_run_when_the_broker_restarts_then_unacknowledged_messages_come_again(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig, durable=False)
    async with running(client, recorder) as task:
        await mqtt_rig.put(1.0, START_US)
        await until(lambda: len(recorder.rows()) == 2, "the message", task)
        await asyncio.to_thread(mqtt_rig.broker.restart)
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(asyncio.shield(task), 30)
    recorder.owed[0]()  # an acknowledgement for a connection that is gone goes nowhere
    again, second = _ready(mqtt_rig)
    async with running(again, second) as task:
        await until(lambda: second.has(TEMPERATURE, START_US, 1.0), "the message again", task)


async def test_run_when_the_server_certificate_is_not_trusted_then_auth_error(mqtt_rig: MqttRig) -> None:
    client, recorder = _ready(mqtt_rig, broker={"ca_certificate": None})
    with pytest.raises(AuthError, match=r"not trusted.*set ca_certificate"):
        await asyncio.wait_for(client.run(recorder.emit, recorder), 30)


async def test_run_when_nobody_speaks_tls_there_then_protocol_error(mqtt_rig: MqttRig) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        client, recorder = _ready(mqtt_rig, broker={"port": port})
        with pytest.raises(ProtocolError, match="no TLS there"):
            await asyncio.wait_for(client.run(recorder.emit, recorder), 30)
        plain = {"port": port, "tls": False, "insecure_plain_tcp": True}
        client, recorder = _ready(mqtt_rig, broker=plain)
        with pytest.raises(SourceError, match=r"sent no MQTT|connection lost"):
            await asyncio.wait_for(client.run(recorder.emit, recorder), 30)


async def test_read_when_no_message_comes_then_unreachable_error_names_the_topic(mqtt_rig: MqttRig) -> None:
    client, _ = _ready(mqtt_rig)
    with pytest.raises(UnreachableError, match="no message on rig/bad"):
        await client.read([BAD], timeout_s=0.2)


async def test_run_when_the_acl_hides_a_topic_then_nothing_of_it_arrives_and_others_do(
    mqtt_rig: MqttRig, programs: ServerPrograms
) -> None:
    await asyncio.to_thread(mqtt_rig.broker.stop)
    home = mqtt_rig.around.server_folder / f"acl{mqtt_rig.server_port}"
    users = {"reader": "correct horse", "nobody": "x"}
    broker = EmbeddedBroker(
        home, programs, BrokerOptions(users, acl="user nobody\ntopic read other/#\n"), port=mqtt_rig.server_port
    )
    await asyncio.to_thread(broker.start)
    mqtt_rig.broker = broker
    plain = {"tls": False, "insecure_plain_tcp": True, "ca_certificate": None}
    client, recorder = _ready(mqtt_rig, broker=plain)
    async with running(client, recorder):
        pass
    assert recorder.facts[0]["security"].startswith("plain TCP")


async def test_resource_when_read_and_subscribed_then_values_come_with_names(mqtt_rig: MqttRig) -> None:
    await mqtt_rig.publish("rig/values", b'{"raw": 4, "time": "2026-11-22T10:15:00Z"}', retain=True)
    resource = MqttResource.of("rig", mqtt_rig.config())
    value = await asyncio.to_thread(resource.read_sensor, FLOW)
    assert (value.sensor_id, value.value, value.unit, value.status) == (FLOW, 9.0, "kg/h", "good")
    values = await asyncio.to_thread(resource.subscribe_topic, "rig/values", 1.5)
    assert {v.sensor_id for v in values} == {TEMPERATURE, FLOW}
