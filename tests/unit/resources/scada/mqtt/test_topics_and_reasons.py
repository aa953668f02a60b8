import pytest

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.scada.mqtt.link import reasons
from resources.scada.mqtt.link.packets import Connect
from resources.scada.mqtt.link.topics import matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "covered"),
    [
        ("a/b", "a/b", True), ("a/b", "a/c", False), ("a/+", "a/b", True), ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True), ("#", "a/b", True), ("#", "$SYS/x", False), ("+/x", "$SYS/x", False), ("+", "a", True),
        ("$share/g/a/+", "a/b", True), ("a", "a/b", False), ("a/b/c", "a/b", False),
    ],
)  # fmt: skip
def test_matches_when_filter_and_topic_meet_then_mqtt_rules_hold(topic_filter: str, topic: str, covered: bool) -> None:
    assert matches(topic_filter, topic) is covered


FIVE, OLD = Connect("c", 30, 5), Connect("c", 30, 4)


@pytest.mark.parametrize(
    ("connect", "body", "kind", "words"),
    [
        (FIVE, b"\x00\x86\x00", AuthError, "wrong user name or password"),
        (FIVE, b"\x00\x87\x06\x1f\x00\x03why", AuthError, "not authorized.*reason 0x87, why"),
        (FIVE, b"\x00\x89\x00", ThrottledError, "busy"),
        (FIVE, b"\x00\x88\x00", UnreachableError, "not available"),
        (FIVE, b"\x00\xf0\x00", ProtocolError, "reason 0xf0"),
        (OLD, b"\x00\x04", AuthError, "wrong user name or password"),
        (OLD, b"\x00\x05", AuthError, "not authorized"),
        (OLD, b"\x00\x01", reasons.VersionRefusedError, "does not speak MQTT 3.1.1"),
        (FIVE, b"\x00\x01", reasons.VersionRefusedError, "does not speak MQTT 5"),
        (FIVE, b"\x00\x84\x00", reasons.VersionRefusedError, "does not speak MQTT 5"),
        (FIVE, b"\x00\x00", reasons.VersionRefusedError, "does not speak MQTT 5"),
        (OLD, b"\x00\x09", UnreachableError, "unspecified"),
        (OLD, b"\x00", ProtocolError, "no MQTT broker"),
    ],
)
def test_accepted_when_the_broker_refuses_then_the_error_says_why(
    connect: Connect, body: bytes, kind: type[SourceError], words: str
) -> None:
    with pytest.raises(kind, match=f"source m: .*{words}"):
        reasons.accepted(body, connect, source="m", peer="mqtt://b:1")


def test_accepted_when_the_broker_sets_the_keepalive_then_it_counts() -> None:
    assert reasons.accepted(b"\x00\x00\x03\x13\x00\x0a", FIVE, source="m", peer="p").keepalive_s == 10
    assert reasons.accepted(b"\x00\x00\x00", FIVE, source="m", peer="p").keepalive_s == 30
    assert reasons.accepted(b"\x00\x00", OLD, source="m", peer="p").keepalive_s == 30


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", UnreachableError, "ended the connection"),
        (b"\x00", UnreachableError, "ended the connection"),
        (b"\x8e", ProtocolError, "another client took over"),
        (b"\x8b\x00", UnreachableError, "shutting down"),
    ],
)
def test_disconnected_when_the_broker_says_goodbye_then_the_error_says_why(
    body: bytes, kind: type[SourceError], words: str
) -> None:
    error = reasons.disconnected(body, source="m", peer="p")
    assert isinstance(error, kind)
    assert words in str(error)
