import pytest

from resources.scada.mqtt.link import packets, wire


def _publish(
    topic: bytes, payload: bytes, *, packet_id: int = 0, qos: int = 0, five: bool = True, properties: bytes = b""
) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic
    if qos:
        body += packet_id.to_bytes(2, "big")
    if five:
        body += packets.encode_varint(len(properties)) + properties
    return packets.packet(0x30 | qos << 1, body + payload)


@pytest.mark.parametrize("cut", range(1, 40))
def test_feed_when_a_packet_comes_in_two_pieces_then_the_message_is_whole(cut: int) -> None:
    stream = _publish(b"plant/a", b'{"value":1}', packet_id=7, qos=1) + _publish(b"plant/b", b"2")
    reader = wire.PacketReader(5)
    first, _ = reader.feed(stream[:cut])
    second, _ = reader.feed(stream[cut:])
    assert first + second == [
        wire.Message(b"plant/a", b'{"value":1}', 7, 1, False),
        wire.Message(b"plant/b", b"2", 0, 0, False),
    ]


@pytest.mark.parametrize("five", [True, False], ids=["5", "3.1.1"])
def test_feed_when_a_publish_has_properties_then_they_are_passed_over(five: bool) -> None:
    properties = b"\x26\x00\x01a" + (200).to_bytes(2, "big") + b"x" * 200
    reader = wire.PacketReader(5 if five else 4)
    messages, others = reader.feed(_publish(b"t", b"payload", five=five, properties=properties if five else b""))
    assert [m.payload for m in messages] == [b"payload"]
    assert others == []


def test_feed_when_other_packets_come_then_they_keep_type_flags_and_body() -> None:
    _, others = wire.PacketReader(4).feed(b"\x20\x02\x01\x00\xd0\x00")
    assert others == [wire.Packet(wire.CONNACK, 0, b"\x01\x00"), wire.Packet(wire.PINGRESP, 0, b"")]


@pytest.mark.parametrize(
    "stream",
    [b"\x30\xff\xff\xff\xff\x01", b"\x36\x05\x00\x01t\x00\x01", b"\x30\x02\x00\x09", b"\x20\x80\x80\x80\x7f"],
    ids=["length of five bytes", "qos 3", "topic longer than the packet", "longer than the limit"],
)
def test_feed_when_the_stream_is_no_mqtt_then_it_is_refused(stream: bytes) -> None:
    with pytest.raises(wire.MalformedPacketError):
        wire.PacketReader(4, limit=1_000_000).feed(stream)


def test_acknowledgements_when_several_then_one_run_of_packets_in_order() -> None:
    assert packets.acknowledgements(wire.PUBACK, [10, 256]) == bytes.fromhex("4002000a 40020100")


def test_connect_packet_when_version_5_then_session_expiry_and_receive_maximum_are_in_it() -> None:
    connect = packets.Connect("c", 30, 5, username="u", password="p", session_expiry_s=3600, receive_maximum=100)
    body = bytes.fromhex("0004") + b"MQTT" + bytes.fromhex("05 c0 001e 0d 11 00000e10 21 0064 27 01000000 0001") + b"c"
    body += bytes.fromhex("0001") + b"u" + bytes.fromhex("0001") + b"p"
    assert packets.connect_packet(connect) == bytes([0x10, len(body)]) + body
    assert "'p'" not in repr(connect)


def test_connect_packet_when_version_3_and_clean_then_the_flag_is_set() -> None:
    packet = packets.connect_packet(packets.Connect("c", 30, 4, clean_start=True))
    assert packet == bytes.fromhex("10 0d 0004") + b"MQTT" + bytes.fromhex("04 02 001e 0001") + b"c"


def test_read_properties_when_all_kinds_occur_then_each_is_read() -> None:
    body = (
        b"\x13\x00\x0a"
        + b"\x24\x01"
        + b"\x27\x00\x01\x00\x00"
        + b"\x0b\x81\x01"
        + b"\x1f\x00\x02no"
        + b"\x26\x00\x01a\x00\x01b"
    )
    found, end = wire.read_properties(bytes([len(body)]) + body, 0)
    assert found == {0x13: 10, 0x24: 1, 0x27: 65_536, 0x0B: 129, 0x1F: b"no", 0x26: b"b"}
    assert end == len(body) + 1


def test_read_properties_when_one_is_unknown_then_it_is_refused() -> None:
    with pytest.raises(wire.MalformedPacketError, match="0x7e"):
        wire.read_properties(b"\x02\x7e\x00", 0)


@pytest.mark.parametrize("piece", [70_000, 1 << 20, 10 << 20])
def test_feed_when_a_payload_is_too_large_then_its_beginning_comes_and_the_rest_is_passed_over(piece: int) -> None:
    large = b'{"value": 1}' + b" " * (3 << 20)
    stream = _publish(b"t", large, packet_id=5, qos=1) + _publish(b"t", b"2", packet_id=6, qos=1)
    reader, messages = wire.PacketReader(5, limit=1 << 20), list[wire.Message]()
    for at in range(0, len(stream), piece):
        messages += reader.feed(stream[at : at + piece])[0]
    cut, whole = messages
    assert isinstance(cut.payload, wire.CutPayload)
    assert cut.payload == large[:4096] + b"\0"
    assert cut.payload.size > 3 << 20
    assert (cut.topic, cut.packet_id, cut.qos) == (b"t", 5, 1)
    assert whole == wire.Message(b"t", b"2", 6, 1, False)
