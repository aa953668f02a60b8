"""MQTT control packets that a client sends, as bytes; versions 3.1.1 and 5. No I/O.

A control packet is `type<<4 | flags` (1 byte), the remaining length (1 to 4 bytes, 7 bits each, least significant
first, top bit = more follows), then the packet. Example: PUBACK 3.1.1 of packet id 10 is `40 02 00 0a`.
Source: MQTT 5.0 (OASIS Standard), sections 2 and 3; MQTT 3.1.1, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

PINGREQ_PACKET = b"\xc0\x00"
DISCONNECT_PACKET = b"\xe0\x00"
_SESSION_EXPIRY, _RECEIVE_MAXIMUM, _TOPIC_ALIAS_MAXIMUM, _MAXIMUM_PACKET_SIZE = 0x11, 0x21, 0x22, 0x27

LARGEST_PACKET = 16_777_216
"""Bytes of the largest packet we take; MQTT 5 brokers are told, and keep larger ones from us."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter and how its messages are to come; all but the QoS is MQTT 5 alone."""

    topic_filter: str
    qos: int = 1
    no_local: bool = False
    """True: not what this client publishes itself."""
    retain_as_published: bool = False
    """True: live messages keep the retain flag they were published with."""
    retain_handling: int = 0
    """Retained messages when subscribing: 0 always, 1 if the subscription is new, 2 never."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for a client that vanishes."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Connect:
    """What a CONNECT says."""

    client_id: str
    keepalive_s: int
    version: int
    """5 or 4 (3.1.1)."""
    clean_start: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    session_expiry_s: int = 0
    receive_maximum: int = 65_535
    topic_alias_maximum: int = 0
    """Topics that the broker may replace by a number; 0: none."""
    will: Will | None = None


def encode_varint(number: int) -> bytes:
    """Return a length as MQTT writes it, 1 to 4 bytes."""
    encoded = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        encoded.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(encoded)


def packet(first: int, body: bytes) -> bytes:
    """Return a packet of any type: its first byte, its length, its body."""
    return bytes((first,)) + encode_varint(len(body)) + body


def _binary(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def _text(text: str) -> bytes:
    return _binary(text.encode())


def connect_packet(connect: Connect) -> bytes:
    """Return a CONNECT."""
    five = connect.version == 5
    flags = 0x02 if connect.clean_start else 0
    tail = _text(connect.client_id)
    if (will := connect.will) is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        tail += (b"\x00" if five else b"") + _text(will.topic) + _binary(will.payload)
    if connect.username is not None:
        flags |= 0x80
        tail += _text(connect.username)
    if connect.password is not None:
        flags |= 0x40
        tail += _text(connect.password)
    properties = b""
    if five:
        listed = bytes((_SESSION_EXPIRY,)) + connect.session_expiry_s.to_bytes(4, "big")
        listed += bytes((_RECEIVE_MAXIMUM,)) + connect.receive_maximum.to_bytes(2, "big")
        listed += bytes((_MAXIMUM_PACKET_SIZE,)) + LARGEST_PACKET.to_bytes(4, "big")
        if connect.topic_alias_maximum:
            listed += bytes((_TOPIC_ALIAS_MAXIMUM,)) + connect.topic_alias_maximum.to_bytes(2, "big")
        properties = encode_varint(len(listed)) + listed
    head = _text("MQTT") + bytes((connect.version, flags)) + connect.keepalive_s.to_bytes(2, "big")
    return packet(0x10, head + properties + tail)


def subscribe_packet(packet_id: int, subscriptions: Sequence[Subscription], version: int) -> bytes:
    """Return a SUBSCRIBE."""
    body = packet_id.to_bytes(2, "big") + (b"\x00" if version == 5 else b"")
    for wanted in subscriptions:
        options = wanted.qos
        if version == 5:
            options |= wanted.no_local << 2 | wanted.retain_as_published << 3 | wanted.retain_handling << 4
        body += _text(wanted.topic_filter) + bytes((options,))
    return packet(0x82, body)


def publish_packet(topic: str, payload: bytes, *, qos: int, retain: bool, packet_id: int, version: int) -> bytes:
    """Return a PUBLISH; `packet_id` counts from QoS 1 on."""
    body = _text(topic)
    if qos:
        body += packet_id.to_bytes(2, "big")
    if version == 5:
        body += b"\x00"
    return packet(0x30 | qos << 1 | retain, body + payload)


def acknowledgements(kind: int, packet_ids: Sequence[int]) -> bytes:
    """Return a PUBACK, PUBREC, PUBREL or PUBCOMP for each id, in order, in one piece (success, both versions)."""
    # the flags of a PUBREL are 0010, of the others 0000 [MQTT-2.1.3-1]
    first = bytes((kind << 4 | (2 if kind == 6 else 0), 2))
    return b"".join([first + packet_id.to_bytes(2, "big") for packet_id in packet_ids])


def disconnect_packet(reason: int, version: int) -> bytes:
    """Return a DISCONNECT; its reason is told in MQTT 5."""
    return packet(0xE0, bytes((reason,))) if version == 5 and reason else DISCONNECT_PACKET
