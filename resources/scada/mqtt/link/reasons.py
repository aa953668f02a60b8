"""What a broker's answers mean: reason codes of MQTT 5 and return codes of 3.1.1 as errors in plain words.

Source: MQTT 5.0, 2.4 and 3.2.2.2; MQTT 3.1.1, 3.2.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.scada.mqtt.link import packets, wire

_OLD_CODES = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""Return codes of 3.1.1 -> reason codes of 5."""

UNSUPPORTED_VERSION, NO_MATCHING_SUBSCRIBERS, UNSPECIFIED, MALFORMED = 0x84, 0x10, 0x80, 0x81
_NO_LIMIT = 0x0FFF_FFFF

_WORDS: dict[int, tuple[type[SourceError], str]] = {
    0x80: (UnreachableError, "unspecified error: see the broker's log"),
    0x81: (ProtocolError, "malformed packet: see the broker's log"),
    0x82: (ProtocolError, "protocol error: see the broker's log"),
    0x83: (UnreachableError, "the broker has a reason of its own: see its log"),
    0x84: (ProtocolError, "the broker does not speak this MQTT version: set broker.protocol to the other one"),
    0x85: (ProtocolError, "the broker refuses the client id: choose another client_id"),
    0x86: (AuthError, "wrong user name or password: check broker.username and the variable that broker.password names"),
    0x87: (AuthError, "not authorized: have the broker's administrator allow this user and client_id"),
    0x88: (UnreachableError, "the broker is not available now"),
    0x89: (ThrottledError, "the broker is busy"),
    0x8A: (AuthError, "this client is banned: ask the broker's administrator"),
    0x8B: (UnreachableError, "the broker is shutting down"),
    0x8C: (AuthError, "the broker asks for another way to authenticate"),
    0x8D: (UnreachableError, "keep-alive timeout: the broker did not hear from us"),
    0x8E: (ProtocolError, "another client took over the session: give every collector a client_id of its own"),
    0x8F: (ProtocolError, "the broker does not take this topic filter: check topic_filters"),
    0x90: (ProtocolError, "the broker does not take this topic: check it against the broker's rules"),
    0x91: (ProtocolError, "the packet id is in use: see the broker's log"),
    0x92: (ProtocolError, "the broker does not know the packet id: see the broker's log"),
    0x93: (ProtocolError, "more messages in flight than agreed: lower receive_maximum"),
    0x94: (ProtocolError, "the topic alias is not valid: see the broker's log"),
    0x95: (ProtocolError, "packet too large"),
    0x96: (ThrottledError, "message rate too high"),
    0x97: (ThrottledError, "a quota of the broker is exceeded"),
    0x98: (UnreachableError, "the broker's administrator closed the connection"),
    0x99: (ProtocolError, "the payload is not in the format that the broker expects"),
    0x9A: (ProtocolError, "the broker keeps no retained messages: publish without retain"),
    0x9B: (ProtocolError, "the broker does not take this QoS: lower qos"),
    0x9C: (UnreachableError, "the broker sends us to another server: set broker.host to it"),
    0x9D: (UnreachableError, "the broker has moved: set broker.host to its new address"),
    0x9E: (ProtocolError, "the broker has no shared subscriptions: write the topic filter without $share"),
    0x9F: (ThrottledError, "connecting too often"),
    0xA0: (UnreachableError, "the broker allows no longer connection"),
    0xA1: (ProtocolError, "the broker has no subscription identifiers: see the broker's log"),
    0xA2: (ProtocolError, "the broker allows no wildcards: name each topic in topic_filters"),
}


class VersionRefusedError(ProtocolError):
    """The broker said that it does not speak the version of MQTT it was greeted in."""


class UnansweredError(UnreachableError):
    """The broker did not answer the greeting; `silent`: it kept the connection, else it closed it."""

    silent: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """What a broker said when it accepted a connection; the defaults are those of a broker that says nothing."""

    resumed: bool = False
    """It still holds this client's session."""
    keepalive_s: int = 0
    receive_maximum: int = 65_000
    """Messages of QoS 1 and 2 it takes before it has acknowledged the first."""
    maximum_qos: int = 2
    retain_available: bool = True
    maximum_packet_size: int = _NO_LIMIT
    session_expiry_s: int | None = None
    """How long it keeps the session, where that is not what it was asked for."""


def error_of(code: int, *, source: str, tried: str, detail: str = "") -> SourceError:
    """Return the error that a reason code of MQTT 5 (from 0x80 on) stands for."""
    kind, words = _WORDS.get(code, (ProtocolError, "see the broker's log"))
    said = f"{words} (reason 0x{code:02x}{', ' + detail if detail else ''})"
    return kind(f"source {source}: {tried}: {said}", source=source)


def accepted(body: bytes, connect: packets.Connect, *, source: str, peer: str) -> Granted:
    """Return what a CONNACK grants.

    Raises:
        VersionRefusedError: The broker speaks another version of MQTT.
        SourceError: The broker refused; AuthError for credentials and permission.
        MalformedPacketError: It is no CONNACK.
    """
    if len(body) < 2:
        raise ProtocolError(
            f"source {source}: connecting to {peer}: a CONNACK of {len(body)} bytes: this is no MQTT broker",
            source=source,
        )
    code, properties = body[1], dict[int, int | bytes]()
    # a broker of 3.1.1 answers an MQTT 5 greeting in its own way, with two bytes
    old = connect.version != 5 or len(body) == 2
    if old:
        code = _OLD_CODES.get(code, code and UNSPECIFIED)
        if connect.version == 5 and not code:
            code = UNSUPPORTED_VERSION
    else:
        properties, _ = wire.read_properties(body, 2)
    tried = f"connecting to {peer} as {connect.client_id}"
    if code == UNSUPPORTED_VERSION:
        spoken = "5" if connect.version == 5 else "3.1.1"
        raise VersionRefusedError(
            f"source {source}: {tried}: the broker does not speak MQTT {spoken}: set broker.protocol to the other one "
            "(reason 0x84)",
            source=source,
        )
    if code:
        raise error_of(code, source=source, tried=tried, detail=_said(properties))
    return _granted(bool(body[0] & 1), connect, properties)


def _granted(resumed: bool, connect: packets.Connect, properties: dict[int, int | bytes]) -> Granted:
    def number(identifier: int, default: int) -> int:
        found = properties.get(identifier, default)
        return found if isinstance(found, int) else default

    usual = Granted()
    return Granted(
        resumed=resumed,
        keepalive_s=number(wire.SERVER_KEEP_ALIVE, connect.keepalive_s),
        receive_maximum=max(1, min(usual.receive_maximum, number(wire.RECEIVE_MAXIMUM, usual.receive_maximum))),
        maximum_qos=number(wire.MAXIMUM_QOS, usual.maximum_qos),
        retain_available=bool(number(wire.RETAIN_AVAILABLE, 1)),
        maximum_packet_size=number(wire.MAXIMUM_PACKET_SIZE, usual.maximum_packet_size),
        session_expiry_s=number(wire.SESSION_EXPIRY, 0) if wire.SESSION_EXPIRY in properties else None,
    )


def disconnected(body: bytes, *, source: str, peer: str) -> SourceError:
    """Return the error that a broker's DISCONNECT (MQTT 5) stands for."""
    if not body or body[0] < 0x80:
        return UnreachableError(f"source {source}: {peer} ended the connection: see the broker's log", source=source)
    properties = wire.read_properties(body, 1)[0] if len(body) > 1 else {}
    detail = [_said(properties)]
    if isinstance(server := properties.get(wire.SERVER_REFERENCE), bytes):
        detail.append(f"server {server.decode('utf-8', 'replace')}")
    said = ", ".join(part for part in detail if part)
    return error_of(body[0], source=source, tried=f"{peer} ended the connection", detail=said)


def _said(properties: dict[int, int | bytes]) -> str:
    said = properties.get(wire.REASON_STRING)
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else ""
