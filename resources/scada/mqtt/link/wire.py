"""What a broker sends: a stream of bytes to messages and other control packets, versions 3.1.1 and 5. No I/O.

The frame of a packet is described in `packets`. Source: MQTT 5.0 (OASIS Standard), sections 2 and 3; MQTT 3.1.1,
sections 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from resources.scada.mqtt.link.packets import LARGEST_PACKET

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 5, 6, 7, 9, 13, 14

SERVER_KEEP_ALIVE, ASSIGNED_CLIENT_ID, REASON_STRING, RECEIVE_MAXIMUM, TOPIC_ALIAS = 0x13, 0x12, 0x1F, 0x21, 0x23
MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET_SIZE, SESSION_EXPIRY, SERVER_REFERENCE = 0x24, 0x25, 0x27, 0x11, 0x1C
_BYTE, _TWO, _FOUR, _VARINT, _TEXT, _PAIR = range(6)
_PROPERTY_TYPES = {
    0x01: _BYTE, 0x02: _FOUR, 0x03: _TEXT, 0x08: _TEXT, 0x09: _TEXT, 0x0B: _VARINT, 0x11: _FOUR, 0x12: _TEXT,
    0x13: _TWO, 0x15: _TEXT, 0x16: _TEXT, 0x17: _BYTE, 0x18: _FOUR, 0x19: _BYTE, 0x1A: _TEXT, 0x1C: _TEXT, 0x1F: _TEXT,
    0x21: _TWO, 0x22: _TWO, 0x23: _TWO, 0x24: _BYTE, 0x25: _BYTE, 0x26: _PAIR,
    0x27: _FOUR, 0x28: _BYTE, 0x29: _BYTE, 0x2A: _BYTE,
}  # fmt: skip
_WIDTHS = {_BYTE: 1, _TWO: 2, _FOUR: 4}


_HEAD = 131_072
"""Bytes of a packet that is too large which are looked at: the topic may take half of them."""
_KEPT = 4_096
"""Bytes of its payload that are kept for people."""


class MalformedPacketError(ValueError):
    """The peer sent something that is no MQTT."""


class Message(NamedTuple):
    """One PUBLISH as it came: the topic still encoded, packet id 0 at QoS 0.

    `dup`: the broker has sent it before, over this connection or an earlier one.
    """

    topic: bytes
    payload: bytes
    packet_id: int
    qos: int
    retain: bool
    dup: bool = False


class CutPayload(bytes):
    """The beginning of a payload that is too large to be taken; a NUL behind it keeps it from being JSON."""

    size: int
    """Bytes of the whole packet."""


@dataclass(frozen=True, slots=True)
class Packet:
    """Any other packet: its type, first-byte flags and body."""

    kind: int
    flags: int
    body: bytes


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
        MalformedPacketError: An identifier that MQTT 5 does not have, or a list that is cut short.
    """
    try:
        length, position = read_varint(body, position)
    except IndexError as error:
        raise MalformedPacketError("a packet that ends before its properties") from error
    end = position + length
    return read_listed(body, position, end), end


def read_listed(body: bytes, position: int, end: int) -> dict[int, int | bytes]:
    """Return the properties from `position` to `end`; raises as `read_properties`."""
    found = dict[int, int | bytes]()
    try:
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
    except IndexError as error:
        raise MalformedPacketError("properties that are cut short") from error
    if position != end or end > len(body):
        raise MalformedPacketError("properties that are cut short")
    return found


class PacketReader:
    """Cuts a byte stream into packets; PUBLISH, which is nearly all of it, without detours.

    `feed` is the hot path: one pass over what the socket gave, one tuple per message.
    """

    def __init__(self, version: int, limit: int = LARGEST_PACKET, topic_aliases: int = 0) -> None:
        """Read the given version; cut payloads above `limit` bytes, refuse topic aliases above `topic_aliases`."""
        self._five = version == 5
        self._limit = limit
        self._most_aliases = topic_aliases
        self._aliases: dict[int, bytes] = {}
        self._rest = b""
        self._skip = 0
        """Bytes still to come of a packet that is not taken as a whole."""

    def feed(self, data: bytes) -> tuple[list[Message], list[Packet]]:
        """Return the messages and the other packets that are complete now, each in their order.

        Raises:
            MalformedPacketError: The stream is no MQTT.
        """
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip, data = self._skip - skipped, data[skipped:]
        data = self._rest + data if self._rest else data
        messages: list[Message] = []
        others: list[Packet] = []
        position, size = 0, len(data)
        while size - position >= 2:
            try:
                length, body = read_varint(data, position + 1)
            except IndexError:
                break
            end, first = body + length, data[position]
            if length > self._limit:
                if first >> 4 != PUBLISH:
                    raise MalformedPacketError(f"a packet of {length} bytes")
                if size < min(end, body + _HEAD):
                    break
                messages.append(self._cut(data, first, body, length))
                self._skip = max(0, end - size)
                position = min(end, size)
                continue
            if end > size:
                break
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

    def _cut(self, data: bytes, first: int, body: int, length: int) -> Message:
        """Return a message that is too large with the beginning of its payload."""
        message = self._message(data, first, body, min(len(data), body + length))
        payload = CutPayload(message.payload[:_KEPT] + b"\x00")
        payload.size = length
        return message._replace(payload=payload)

    def _message(self, data: bytes, first: int, body: int, end: int) -> Message:
        topic_end = body + 2 + (data[body] << 8 | data[body + 1])
        topic, position, packet_id, qos = data[body + 2 : topic_end], topic_end, 0, first >> 1 & 3
        if qos:
            packet_id = data[position] << 8 | data[position + 1]
            position += 2
        if self._five:
            length = data[position]
            if length:
                length, position = read_varint(data, position)
                if self._most_aliases or not topic:
                    topic = self._named(topic, data, position, position + length)
                position += length
            else:
                position += 1
        if position > end or qos == 3 or not topic or (qos and not packet_id):
            raise MalformedPacketError("a PUBLISH whose parts do not fit")
        return Message(topic, data[position:end], packet_id, qos, bool(first & 1), bool(first & 8))

    def _named(self, topic: bytes, data: bytes, start: int, end: int) -> bytes:
        """Return the topic that a message's properties, from `start` to `end`, and `topic` name together."""
        if end - start == 3 and data[start] == TOPIC_ALIAS:
            alias: int | bytes | None = data[start + 1] << 8 | data[start + 2]
        else:
            alias = read_listed(data, start, end).get(TOPIC_ALIAS)
        if not isinstance(alias, int):
            return topic
        if not 0 < alias <= self._most_aliases:
            raise MalformedPacketError(f"the topic alias {alias}, of {self._most_aliases} allowed")
        if topic:
            self._aliases[alias] = topic
            return topic
        return self._aliases.get(alias, b"")
