"""Messages that no well-behaved edge node sends, and what the host says of itself."""

import pytest

from resources.demo_plant.servers.sparkplug_bytes import encode_metric, encode_payload
from resources.scada.mqtt.link.wire import Message
from tests.unit.resources.scada.mqtt.sparkplug.bench import FLOW, T0, Bench, Row, metric, node_birth, payload

# -- odd messages ----------------------------------------------------------------------------------------------------


def test_messages_when_retained_then_a_birth_is_first_values_and_data_are_ignored() -> None:
    bench = Bench()
    birth = payload("NBIRTH", [*node_birth(0), metric("Flow", 1.0, 1)], T0, 0)
    assert bench.take("NBIRTH", birth, retain=True) == [Row(FLOW, 1.0, T0, "good", True)]
    assert bench.take("NDATA", payload("NDATA", [metric("Flow", 2.0, 1)], T0, 1), retain=True) == []
    # a birth that was kept says nothing about now
    assert bench.flow(3.0, seq=1) == []
    assert bench.rebirths() == 1


def test_message_when_it_is_garbage_then_it_is_rejected_with_the_original() -> None:
    bench = Bench()
    bench.take("NDATA", b"\xff\xff\xff")
    assert bench.rejects[0]["reasons"] == ["garbage payload: it is no Sparkplug B payload (protobuf cannot read it)"]
    assert bench.rejects[0]["raw"] == '{"base64":"////"}'


def test_message_when_a_name_is_not_utf8_then_it_is_rejected() -> None:
    bench = Bench()
    bench.births()
    bench.take("NDATA", encode_payload([bytes.fromhex("0a02fffe5001")], timestamp=T0, seq=2))
    assert bench.rejects[0]["reasons"] == ["the metric's name is not UTF-8"]


def test_message_when_it_is_of_somebody_else_then_it_is_nothing_to_us() -> None:
    bench = Bench()
    bench.births()
    for topic in (b"spBv1.0/G/NDATA/Other", b"spBv1.0/G/NCMD/E", b"spBv1.0/G/NDATA", b"x/y", b"spBv1.0/G/DDATA/E"):
        assert not bench.decoder.decode((Message(topic, b"\xff", 0, 0, False),), T0 * 1000)


def test_data_when_sent_without_a_number_then_it_counts_by_what_is_known() -> None:
    bench = Bench()
    bench.births()
    data = encode_payload([encode_metric(metric("Flow", 4.0, 1), whole=False)], timestamp=T0)
    assert bench.take("NDATA", data) == [Row(FLOW, 4.0, T0, "good")]
    unknown = Bench()
    assert unknown.take("NDATA", data) == []
    assert Row(FLOW, 4.0, T0, "good") in unknown.births()


def test_data_when_without_any_time_then_the_receive_time_rises() -> None:
    bench = Bench()
    bench.births()
    untimed = [encode_payload([encode_metric(metric("Flow", 4.0, 1), whole=False)], seq=n) for n in (2, 3)]
    first, second = bench.take("NDATA", untimed[0]), bench.take("NDATA", untimed[1])
    assert first[0].time_ms == T0
    assert second[0].time_ms >= T0


# -- our own state ---------------------------------------------------------------------------------------------------


def test_state_when_connecting_then_will_and_birth_have_one_timestamp() -> None:
    bench = Bench()
    will = bench.opening.will
    assert will is not None
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/STATE/gl", 1, True)
    assert will.payload == b'{"online":false,"timestamp":%d}' % T0
    assert (bench.sent[0].topic, bench.sent[0].qos, bench.sent[0].retain) == ("spBv1.0/STATE/gl", 1, True)
    assert bench.sent[0].payload == b'{"online":true,"timestamp":%d}' % T0
    bench.connect()
    assert bench.opening.will is not None
    assert bench.opening.will.payload == b'{"online":false,"timestamp":%d}' % (T0 + 1)


@pytest.mark.parametrize("payload", [b'{"online":false,"timestamp":1}', b"OFFLINE", b"", b"[1]"])
def test_state_when_somebody_says_we_are_gone_then_we_say_we_are_not(payload: bytes) -> None:
    bench = Bench()
    before = len(bench.sent)
    topic = b"spBv1.0/STATE/gl"
    bench.decoder.decode((Message(topic, b'{"online":true,"timestamp":1}', 0, 0, True),), T0 * 1000)
    assert len(bench.sent) == before
    bench.decoder.decode((Message(topic, payload, 0, 1, False),), T0 * 1000)
    assert bench.sent[-1].payload == b'{"online":true,"timestamp":%d}' % T0


def test_state_when_leaving_then_it_is_offline_from_now_on() -> None:
    bench = Bench()
    bench.clock.advance(5)
    (farewell,) = bench.decoder.closing()
    assert farewell.payload == b'{"online":false,"timestamp":%d}' % (T0 + 5000)
    assert farewell.retain
