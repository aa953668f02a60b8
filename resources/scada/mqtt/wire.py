"""MQTT control packets of a client that subscribes: bytes to packets and back, versions 3.1.1 and 5. No I/O.

A control packet is `type<<4 | flags` (1 byte), the remaining length (1 to 4 bytes, 7 bits each, least significant
first, top bit = more follows), then the packet. Example: PUBACK 3.1.1 of packet id 10 is `40 02 00 0a`.
Source: MQTT 5.0 (OASIS Standard), sections 2 and 3; MQTT 3.1.1, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 5, 6, 7, 9, 13, 14
PINGREQ_PACKET = b"\xc0\x00"
DISCONNECT_PACKET = b"\xe0\x00"

SESSION_EXPIRY, SERVER_KEEP_ALIVE, RECEIVE_MAXIMUM, REASON_STRING = 0x11, 0x13, 0x21, 0x1F
_BYTE, _TWO, _FOUR, _VARINT, _TEXT, _PAIR = range(6)
_PROPERTY_TYPES = {
    0x01: _BYTE, 0x02: _FOUR, 0x03: _TEXT, 0x08: _TEXT, 0x09: _TEXT, 0x0B: _VARINT, 0x11: _FOUR, 0x12: _TEXT,
    0x13: _TWO, 0x15: _TEXT, 0x16: _TEXT, 0x17: _BYTE, 0x18: _FOUR, 0x19: _BYTE, 0x1A: _TEXT, 0x1C: _TEXT, 0x1F: _TEXT,
    0x21: _TWO, 0x22: _TWO, 0x23: _TWO, 0x24: _BYTE, 0x25: _BYTE, 0x26: _PAIR,
    0x27: _FOUR, 0x28: _BYTE, 0x29: _BYTE, 0x2A: _BYTE,
}  # fmt: skip
_WIDTHS = {_BYTE: 1, _TWO: 2, _FOUR: 4}


class MalformedPacketError(ValueError):
    """The peer sent something that is no MQTT."""


class Message(NamedTuple):
    """One PUBLISH as it came: the topic still encoded, packet id 0 at QoS 0."""

    topic: bytes
    payload: bytes
    packet_id: int
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Packet:
    """Any other packet: its type, first-byte flags and body."""

    kind: int
    flags: int
    body: bytes


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


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        encoded.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(encoded)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _varint(len(body)) + body


def connect_packet(connect: Connect) -> bytes:
    """Return a CONNECT."""
    flags = 0x02 if connect.clean_start else 0
    tail = _text(connect.client_id)
    if connect.username is not None:
        flags |= 0x80
        tail += _text(connect.username)
    if connect.password is not None:
        flags |= 0x40
        tail += _text(connect.password)
    properties = b""
    if connect.version == 5:
        listed = bytes((SESSION_EXPIRY,)) + connect.session_expiry_s.to_bytes(4, "big")
        listed += bytes((RECEIVE_MAXIMUM,)) + connect.receive_maximum.to_bytes(2, "big")
        properties = _varint(len(listed)) + listed
    head = _text("MQTT") + bytes((connect.version, flags)) + connect.keepalive_s.to_bytes(2, "big")
    return _packet(0x10, head + properties + tail)


def subscribe_packet(packet_id: int, filters: Sequence[str], qos: int, version: int) -> bytes:
    """Return a SUBSCRIBE of `filters`, all with `qos`."""
    body = packet_id.to_bytes(2, "big") + (b"\x00" if version == 5 else b"")
    return _packet(0x82, body + b"".join(_text(topic_filter) + bytes((qos,)) for topic_filter in filters))


def acknowledgements(kind: int, packet_ids: Sequence[int]) -> bytes:
    """Return a PUBACK, PUBREC or PUBCOMP for each id, in order, as one run of bytes (success, both versions)."""
    first = bytes((kind << 4, 2))
    return b"".join([first + packet_id.to_bytes(2, "big") for packet_id in packet_ids])


def read_varint(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """Return (number, position after it).

    Raises:
        IndexError: The data end within the number.
        MalformedPacketError: It has more than four bytes.
    """
    number = shift = 0
    while True:
        digit = data[position]
        position += 1
        number |= (digit & 0x7F) << shift
        if digit < 0x80:
            return number, position
        shift += 7
        if shift > 21:
            raise MalformedPacketError("a length of more than four bytes")


def read_properties(body: bytes, position: int) -> tuple[dict[int, int | bytes], int]:
    """Return (properties by identifier, position after them); of a repeated one the last stays.

    Raises:
        MalformedPacketError: An identifier that MQTT 5 does not have.
    """
    length, position = read_varint(body, position)
    end, found = position + length, dict[int, int | bytes]()
    while position < end:
        identifier, position = read_varint(body, position)
        kind = _PROPERTY_TYPES.get(identifier)
        if kind is None:
            raise MalformedPacketError(f"property 0x{identifier:02x}")
        if kind == _VARINT:
            found[identifier], position = read_varint(body, position)
        elif kind in _WIDTHS:
            found[identifier] = int.from_bytes(body[position : position + _WIDTHS[kind]], "big")
            position += _WIDTHS[kind]
        else:
            for _ in range(2 if kind == _PAIR else 1):
                width = int.from_bytes(body[position : position + 2], "big")
                found[identifier] = bytes(body[position + 2 : position + 2 + width])
                position += 2 + width
    return found, end


class PacketReader:
    """Cuts a byte stream into packets; PUBLISH, which is nearly all of it, without detours.

    `feed` is the hot path: one pass over what the socket gave, one tuple per message.
    """

    def __init__(self, version: int, limit: int = 16_777_216) -> None:
        """Read the given version; a packet longer than `limit` bytes is refused."""
        self._five = version == 5
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> tuple[list[Message], list[Packet]]:
        """Return the messages and the other packets that are complete now, each in their order.

        Raises:
            MalformedPacketError: The stream is no MQTT.
        """
        data = self._rest + data if self._rest else data
        messages: list[Message] = []
        others: list[Packet] = []
        position, size = 0, len(data)
        while size - position >= 2:
            try:
                length, body = read_varint(data, position + 1)
            except IndexError:
                break
            if length > self._limit:
                raise MalformedPacketError(f"a packet of {length} bytes")
            end = body + length
            if end > size:
                break
            first = data[position]
            if first >> 4 == PUBLISH:
                try:
                    messages.append(self._message(data, first, body, end))
                except IndexError as error:
                    raise MalformedPacketError("a PUBLISH that is cut short") from error
            else:
                others.append(Packet(first >> 4, first & 0x0F, data[body:end]))
            position = end
        self._rest = data[position:]
        return messages, others

    def _message(self, data: bytes, first: int, body: int, end: int) -> Message:
        topic_end = body + 2 + (data[body] << 8 | data[body + 1])
        position, packet_id, qos = topic_end, 0, first >> 1 & 3
        if qos:
            packet_id = data[position] << 8 | data[position + 1]
            position += 2
        if self._five:
            length = data[position]
            position += 1
            if length >= 0x80:
                length, position = read_varint(data, position - 1)
            position += length
        if position > end or qos == 3:
            raise MalformedPacketError("a PUBLISH that is longer inside than outside")
        return Message(data[body + 2 : topic_end], data[position:end], packet_id, qos, bool(first & 1))
