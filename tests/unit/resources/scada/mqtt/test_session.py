"""The connector against a scripted broker (a fake): what the standard asks for and a real broker does seldom."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.link import packets, wire
from tests.unit.resources.scada.mqtt.scripted_broker import (
    ACCEPTED_5,
    PATIENCE_S,
    RESUMED_5,
    Peer,
    Taken,
    broker,
    publish,
)

ACCEPTED_4 = b"\x20\x02\x00\x00"


def _client(port: int, **changes: Any) -> MqttClient:
    peer = {"host": "127.0.0.1", "port": port, "tls": False, "insecure_plain_tcp": True}
    config = MqttConfig.model_validate(
        {
            "kind": "mqtt",
            "broker": peer | changes.pop("broker", {}),
            "client_id": "c",
            "topic_filters": ["t/#"],
            "qos": 2,
            "tags": [{"sensor_id": "a", "unit": "1", "topic": "t/a", "time_path": None}],
        }
        | changes
    )
    return MqttClient("m", config, SensorCatalog([Sensor("a", "1", "m")]))


async def _run(client: MqttClient, taken: Taken) -> Exception:
    """Run one connection; return the error that ended it."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await client.run(taken.emit, taken)
    except SourceError as error:
        return error
    raise AssertionError("run never returns normally")


def _value(number: float, packet_id: int, **more: Any) -> bytes:
    return publish("t/a", b'{"value": %g}' % number, packet_id=packet_id, qos=more.pop("qos", 2), **more)


def _id(body: bytes) -> int:
    return int.from_bytes(body[:2], "big")


async def test_run_when_a_qos_2_message_comes_again_before_pubrel_then_it_is_answered_and_stored_once() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_value(1, 7))
        assert _id(await peer.expect(wire.PUBREC)) == 7
        peer.send(_value(1, 7, dup=True))
        assert _id(await peer.expect(wire.PUBREC)) == 7
        peer.send(packets.acknowledgements(wire.PUBREL, (7,)))
        assert await peer.expect(wire.PUBCOMP) == b"\x00\x07"
        # released: the id stands for a new message [MQTT-4.3.3-12], even one of the same content
        peer.send(_value(1, 7))
        assert _id(await peer.expect(wire.PUBREC)) == 7

    taken = Taken()
    async with broker(script) as port:
        await _run(_client(port), taken)
    assert taken.values == [1.0, 1.0]


async def test_run_when_pubrec_was_lost_with_the_connection_then_the_message_is_not_stored_again() -> None:
    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_value(1, 7), _value(2, 8))
        assert [_id(await peer.expect(wire.PUBREC)) for _ in range(2)] == [7, 8]

    async def second(peer: Peer) -> None:
        await peer.greet(RESUMED_5)
        await peer.subscribe()
        peer.send(_value(1, 7, dup=True), packets.acknowledgements(wire.PUBREL, (8,)), _value(3, 9))
        answers = [await peer.packet() for _ in range(3)]
        assert {(a.kind, _id(a.body)) for a in answers if a} == {
            (wire.PUBREC, 7),
            (wire.PUBCOMP, 8),
            (wire.PUBREC, 9),
        }

    taken = Taken()
    async with broker(first, second) as port:
        client = _client(port)
        await _run(client, taken)
        await _run(client, taken)
    assert taken.values == [1.0, 2.0, 3.0]


async def test_run_when_the_broker_has_lost_the_session_then_the_same_id_is_a_new_message() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_value(1, 7))
        await peer.expect(wire.PUBREC)

    taken = Taken()
    async with broker(script, script) as port:
        client = _client(port)
        await _run(client, taken)
        await _run(client, taken)
    assert taken.values == [1.0, 1.0]


async def test_run_when_an_id_comes_again_with_other_content_then_it_is_a_new_message() -> None:
    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_value(1, 7))
        await peer.expect(wire.PUBREC)

    async def second(peer: Peer) -> None:
        # a broker that came back with an old state
        await peer.greet(RESUMED_5)
        await peer.subscribe()
        peer.send(_value(5, 7, dup=True))
        await peer.expect(wire.PUBREC)

    taken = Taken()
    async with broker(first, second) as port:
        client = _client(port)
        await _run(client, taken)
        await _run(client, taken)
    assert taken.values == [1.0, 5.0]


@pytest.mark.parametrize(("qos", "answer"), [(1, wire.PUBACK), (2, wire.PUBREC)])
async def test_run_when_a_message_becomes_durable_after_the_cut_then_its_copy_waits_for_it_and_is_not_stored(
    qos: int, answer: int
) -> None:
    taken = Taken(durable=False)

    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_value(1, 7, qos=qos))
        while not taken.owed:
            await asyncio.sleep(0.005)

    async def second(peer: Peer) -> None:
        await peer.greet(RESUMED_5)
        await peer.subscribe()
        peer.send(_value(1, 7, dup=True, qos=qos), _value(2, 8, qos=qos))
        while len(taken.owed) < 2:
            await asyncio.sleep(0.005)
        taken.owed[1]()  # out of order: nothing may be said of 8 before 7
        taken.owed[0]()
        assert [_id(await peer.expect(answer)) for _ in range(2)] == [7, 8]

    async with broker(first, second) as port:
        client = _client(port)
        await _run(client, taken)
        await _run(client, taken)
    assert taken.values == [1.0, 2.0]


async def test_run_when_the_broker_uses_topic_aliases_then_topics_are_known_by_number() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        assert b"\x22\xff\xff" in peer.greeting
        await peer.subscribe()
        alias, other = b"\x23\x00\x05", b"\x26\x00\x01k\x00\x01v\x23\x00\x05"
        peer.send(publish("t/a", b'{"value": 1}', properties=alias), publish("", b'{"value": 2}', properties=alias))
        peer.send(publish("", b'{"value": 3}', properties=other))
        peer.send(publish("t/b", b'{"value": 4}', properties=alias), publish("", b'{"value": 5}', properties=alias))
        while len(taken.batches) < 1 or not any(b.rejects for b in taken.batches):
            await asyncio.sleep(0.005)
        peer.send(publish("", b"", properties=b"\x23\x00\x09"))
        assert await peer.expect(wire.DISCONNECT) == b"\x81"

    taken = Taken()
    async with broker(script) as port:
        error = await _run(_client(port), taken)
    assert isinstance(error, ProtocolError)
    assert taken.values == [1.0, 2.0, 3.0]
    rejects = [row for batch in taken.batches if batch.rejects is not None for row in batch.rejects.to_pylist()]
    assert [row["reasons"][0].rsplit(" ", 1)[1] for row in rejects] == ["t/b", "t/b"]


@pytest.mark.parametrize(
    ("sent", "kind", "words"),
    [
        (b"\xe0\x00", UnreachableError, "ended the connection: see the broker's log"),
        (b"\xe0\x01\x8b", UnreachableError, "shutting down"),
        (b"\xe0\x01\x8e", ProtocolError, "another client took over"),
        (b"\xe0\x07\x9c\x05\x1c\x00\x02b2", UnreachableError, "set broker.host to it .*server b2"),
        (b"\xe0\x09\x97\x07\x1f\x00\x04full", SourceError, "a quota of the broker is exceeded .*full"),
        (b"\xe0\x03\x97\x07\x1f", ProtocolError, "sent no MQTT"),
    ],
    ids=["no reason", "shutdown", "taken over", "use another server", "quota", "cut short"],
)
async def test_run_when_the_broker_disconnects_then_the_error_says_why(
    sent: bytes, kind: type[SourceError], words: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(sent)

    async with broker(script) as port:
        error = await _run(_client(port), Taken())
    assert isinstance(error, kind)
    with pytest.raises(kind, match=words):
        raise error


async def test_run_when_the_broker_refuses_mqtt_5_then_it_is_greeted_in_3_1_1_and_the_next_time_at_once() -> None:
    greeted = []

    async def refuses(peer: Peer) -> None:
        await peer.greet(b"\x20\x02\x00\x01")
        greeted.append(peer.greeting[6])

    async def old(peer: Peer) -> None:
        await peer.greet(ACCEPTED_4)
        greeted.append(peer.greeting[6])
        body = await peer.expect(8)
        peer.send(packets.packet(wire.SUBACK << 4, body[:2] + b"\x02"))

    async with broker(refuses, old, old) as port:
        client = _client(port)
        await _run(client, Taken())
        await _run(client, Taken())
    assert greeted == [5, 4, 4]


async def test_run_when_mqtt_5_is_left_unanswered_then_3_1_1_is_tried() -> None:
    async def closes(peer: Peer) -> None:
        await peer.expect(1)

    async def old(peer: Peer) -> None:
        await peer.greet(ACCEPTED_4)
        assert peer.greeting[6] == 4
        await peer.expect(8)

    async with broker(closes, old) as port:
        await _run(_client(port), Taken())


async def test_run_when_neither_version_is_answered_then_unreachable_error() -> None:
    async def closes(peer: Peer) -> None:
        await peer.expect(1)

    async with broker(closes, closes) as port:
        error = await _run(_client(port), Taken())
    assert isinstance(error, UnreachableError)


async def test_run_when_the_broker_is_silent_to_mqtt_5_then_it_is_not_asked_for_5_again() -> None:
    silent = asyncio.Event()
    greeted = []

    async def says_nothing(peer: Peer) -> None:
        greeted.append((await peer.expect(1))[6])
        await silent.wait()

    async def old(peer: Peer) -> None:
        await peer.greet(ACCEPTED_4)
        greeted.append(peer.greeting[6])
        await peer.expect(8)

    async with broker(says_nothing, old, old) as port:
        client = _client(port, connect_timeout="1s")
        await _run(client, Taken())
        await _run(client, Taken())
        silent.set()
    assert greeted == [5, 4, 4]


async def test_run_when_the_subscription_is_refused_then_the_error_says_why() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe(0xA2)
        await peer.packet()

    async with broker(script) as port:
        with pytest.raises(ProtocolError, match="subscribing to t/#.*allows no wildcards"):
            raise await _run(_client(port), Taken())


async def test_run_when_a_driver_fails_then_the_messages_come_again() -> None:
    class Failing(Taken):
        async def emit(self, batch: Any) -> None:
            if not self.batches:
                self.batches.append(batch)
                raise UnreachableError("the driver fails")
            await super().emit(batch)

    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_value(1, 7), publish("t/a", b'{"value": 9}', packet_id=8, qos=2, retain=True))
        await peer.packet()

    async def second(peer: Peer) -> None:
        await peer.greet(RESUMED_5)
        await peer.subscribe()
        peer.send(_value(1, 7, dup=True))
        assert _id(await peer.expect(wire.PUBREC)) == 7

    taken = Failing()
    async with broker(first, second) as port:
        client = _client(port)
        await _run(client, taken)
        taken.batches[:] = taken.batches[:1]
        await _run(client, taken)
    assert taken.values == [1.0, 1.0]


async def test_publish_when_the_broker_sets_limits_then_they_are_kept() -> None:
    # maximum QoS 1, no retained messages, packets of at most 64 bytes
    limits = b"\x24\x01" + b"\x25\x00" + b"\x27\x00\x00\x00\x40"

    async def script(peer: Peer) -> None:
        await peer.greet(packets.packet(0x20, b"\x00\x00" + bytes([len(limits)]) + limits))
        await peer.packet()

    async with broker(*[script] * 3) as port:
        client = _client(port)
        with pytest.raises(ProtocolError, match="at most QoS 1, asked was 2"):
            await client.publish("t", b"x", qos=2)
        with pytest.raises(ProtocolError, match="keeps no retained messages"):
            await client.publish("t", b"x", retain=True)
        with pytest.raises(ProtocolError, match="at most 64 bytes"):
            await client.publish("t", b"x" * 64)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x40\x03\x00\x02\x87", "not authorized"),
        (b"\x40\x03\x00\x02\x97", "a quota"),
        (b"\x40\x03\x00\x02\x90", "topic"),
    ],
)
async def test_publish_when_the_broker_refuses_then_the_error_says_why(answer: bytes, words: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(wire.PUBLISH)
        peer.send(answer)
        await peer.packet()

    async with broker(script) as port:
        with pytest.raises(SourceError, match=f"publishing t at .*{words}"):
            await _client(port).publish("t", b"x")


async def test_publish_when_qos_is_two_then_it_ends_with_pubcomp() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        body = await peer.expect(wire.PUBLISH)
        packet_id = body[3:5]
        peer.send(packets.packet(wire.PUBREC << 4, packet_id))
        assert await peer.expect(wire.PUBREL) == packet_id
        peer.send(packets.packet(wire.PUBCOMP << 4, packet_id))
        await peer.packet()

    async with broker(script) as port:
        assert await _client(port).publish("t", b"x", qos=2) == 0


async def test_publish_when_the_connection_breaks_or_nothing_comes_back_then_unreachable_error() -> None:
    async def breaks(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(wire.PUBLISH)

    async def silent(peer: Peer) -> None:
        await peer.greet()
        await peer.expect(wire.PUBLISH)
        await peer.packet()

    async with broker(breaks, silent) as port:
        client = _client(port, connect_timeout="1s")
        with pytest.raises(UnreachableError, match="connection lost"):
            await client.publish("t", b"x")
        with pytest.raises(UnreachableError, match="not acknowledged in 1 s"):
            await client.publish("t", b"x")


async def test_run_when_the_broker_keeps_the_session_for_less_then_the_log_says_so() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(packets.packet(0x20, b"\x00\x00\x05\x11\x00\x00\x00\x3c"))

    with capture_logs() as logs:
        async with broker(script) as port:
            await _run(_client(port), Taken())
    assert [entry["granted_s"] for entry in logs if entry["event"] == "session_expiry_shortened"] == [60]


async def test_run_when_3_1_1_is_configured_then_5_is_not_tried() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(ACCEPTED_4)
        assert peer.greeting[6] == 4
        await peer.expect(8)

    async with broker(script) as port:
        await _run(_client(port, broker={"protocol": "3.1.1"}), Taken())


async def test_run_when_the_greeting_is_looked_at_then_session_and_will_are_in_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(ACCEPTED_5)
        assert peer.greeting[7] == 0x2C  # will: retained, QoS 1; no clean start
        assert b"\x00\x04here\x00\x04gone" in peer.greeting
        assert b"\x11\x00\x00\x0e\x10" in peer.greeting
        await peer.subscribe()
        body = await peer.expect(wire.PUBLISH)
        assert body[:6] == b"\x00\x04here"
        assert body.endswith(b"back")

    status = {"topic": "here", "online": "back", "offline": "gone"}
    async with broker(script) as port:
        await _run(_client(port, session_expiry="1h", status_topic=status), Taken())
