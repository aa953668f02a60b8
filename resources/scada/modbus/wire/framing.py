"""Frames: Modbus TCP (a header with a transaction id) and RTU (a check sum). Pure; one request waits at a time.

Modbus TCP: transaction id (2 bytes), protocol id 0 (2), length of what follows (2), unit (1), protocol data unit.
Example, transaction 1, unit 17, read 2 registers from 107: `0001 0000 0006 11 03 006B 0002`.
RTU: unit (1), protocol data unit, CRC-16 (2, low byte first). The same: `11 03 006B 0002 B687`.
Source: MODBUS Messaging on TCP/IP V1.0b, 3.1.3; MODBUS over Serial Line V1.02, 2.5.1.
"""

from __future__ import annotations

import struct
from typing import Protocol

from resources.scada.modbus.wire.pdu import Request

_HEADER = struct.Struct(">HHHB")
_MOST_FOLLOWING = 254
"""Most bytes after the length: unit and protocol data unit."""
_EXCEPTION_FRAME = 5
_ANY_UNIT = frozenset({0, 255})
"""Unit ids for a device that is no gateway; what it puts into its answer then is its own affair."""


class FramingError(Exception):
    """Bytes that are no frame, and nothing can be read after them."""


class Framing(Protocol):
    """Puts requests into frames and finds the answer to the last one in what comes back."""

    has_transactions: bool
    """An answer tells which request it is for."""
    dropped: int
    """Frames (TCP) or stretches of bytes (RTU) that belonged to no request that waits."""

    def request(self, unit_id: int, request: Request) -> bytes:
        """Return the frame of a request; from now on its answer is waited for, and only its."""
        ...

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; return the protocol data unit of the answer once it is complete.

        Raises:
            FramingError: The peer does not speak this protocol.
        """
        ...

    def forget(self) -> None:
        """Wait for no answer any more; one that still comes is dropped."""
        ...


class TcpFraming:
    """Modbus TCP: a late answer has the transaction id of its own request and is dropped."""

    has_transactions = True

    def __init__(self) -> None:
        """Begin with transaction 1."""
        self.dropped = 0
        self._buffer = bytearray()
        self._transaction = 0
        self._unit: int | None = None

    def request(self, unit_id: int, request: Request) -> bytes:
        """See Framing."""
        self._transaction = self._transaction % 0xFFFF + 1
        self._unit = unit_id
        return _HEADER.pack(self._transaction, 0, len(request.pdu) + 1, unit_id) + request.pdu

    def feed(self, data: bytes) -> bytes | None:
        """See Framing."""
        self._buffer += data
        found = None
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, following, unit = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 3 <= following <= _MOST_FOLLOWING:
                raise FramingError(f"a header of {bytes(self._buffer[: _HEADER.size]).hex(' ')}")
            end = following + _HEADER.size - 1
            if len(self._buffer) < end:
                break
            answer = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if transaction == self._transaction and self._is_awaited(unit):
                found, self._unit = answer, None
            else:
                self.dropped += 1
        if found is not None and self._buffer:
            # one request at a time: what lies behind its answer was pushed into the stream, perhaps into the answer
            # too, and TCP framing has no check sum that would tell
            raise FramingError(f"{len(self._buffer)} bytes behind an answer")
        return found

    def _is_awaited(self, unit: int) -> bool:
        return self._unit is not None and (unit == self._unit or self._unit in _ANY_UNIT)

    def forget(self) -> None:
        """See Framing."""
        self._unit = None


class RtuFraming:
    """RTU: the answer is found by unit, function, length and check sum, also behind noise or an echo of the request."""

    has_transactions = False

    def __init__(self) -> None:
        """Begin with an empty line."""
        self.dropped = 0
        self._buffer = bytearray()
        self._granted = b""
        self._refused = b""
        self._length = 0

    def request(self, unit_id: int, request: Request) -> bytes:
        """See Framing."""
        self._drop()
        head = bytes((unit_id, request.function_code))
        # the byte count of a read is known: an echo of the request is not taken for its answer
        self._granted = head if request.is_echoed else head + bytes((request.answer_length - 2,))
        self._refused = bytes((unit_id, request.function_code | 0x80))
        self._length = 1 + request.answer_length + 2
        frame = bytes((unit_id,)) + request.pdu
        return frame + crc16(frame)

    def feed(self, data: bytes) -> bytes | None:
        """See Framing."""
        self._buffer += data
        if not self._length:
            self._drop()
            return None
        places = self._find(self._granted, self._length), self._find(self._refused, _EXCEPTION_FRAME)
        found = [place for place in places if place is not None]
        if not found:
            return None
        start, end = min(found)
        frame = bytes(self._buffer[start:end])
        del self._buffer[:end]
        self.dropped += start > 0
        self.forget()
        return frame[1:-2]

    def _find(self, head: bytes, length: int) -> tuple[int, int] | None:
        """Return where the first whole frame that begins with `head` lies."""
        start = self._buffer.find(head)
        while start >= 0 and start + length <= len(self._buffer):
            frame = bytes(self._buffer[start : start + length])
            if crc16(frame[:-2]) == frame[-2:]:
                return start, start + length
            start = self._buffer.find(head, start + 1)
        return None

    def forget(self) -> None:
        """See Framing."""
        self._length = 0
        self._drop()

    def _drop(self) -> None:
        self.dropped += bool(self._buffer)
        self._buffer.clear()


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(frame: bytes) -> bytes:
    """Return the check sum of a frame as it is sent, low byte first: `02 07` gives `41 12`."""
    crc = 0xFFFF
    for byte in frame:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")
