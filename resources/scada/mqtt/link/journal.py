"""Packet ids of QoS 2 messages between PUBLISH and PUBREL, on disk: what a new process must not hand on again.

Whether a message is durable is not for this file to say, or a crash between two files would lose or double it. Each
message has a number, and the number of messages taken is a counter of the source that the buffer makes durable
together with their rows. The journal is written ahead of that: what it lists up to the counter is durable, the rest
never was, and counts as new when the broker sends it again.

Records of 14 bytes, big-endian: number (8; 0: the id was released), packet id (2), CRC-32 of topic and payload (4).
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from resources.core.process.durable_file import replace_file
from resources.scada.mqtt.link.wire import Message

_RECORD = struct.Struct(">QHI")
_MOST_RECORDS = 100_000
"""Records after which the file is written anew: 1.4 MB."""


def content_of(message: Message) -> int:
    """Return what tells a message from another one with its packet id."""
    return zlib.crc32(message.payload, zlib.crc32(message.topic))


class Journal:
    """The file of one session; `note` waits for the disk and is meant for a thread, the rest for the event loop."""

    def __init__(self, path: Path, durable: int) -> None:
        """Read what is there up to message number `durable`, and forget the rest: it never came to be."""
        self._path = path
        self._lock = threading.Lock()
        self._live: dict[int, tuple[int, int]] = {}
        content = path.read_bytes() if path.exists() else b""
        # a record that a crash cut short is none
        for number, packet_id, crc in _RECORD.iter_unpack(content[: len(content) // _RECORD.size * _RECORD.size]):
            self._keep(number, packet_id, crc)
        self._live = {key: entry for key, entry in self._live.items() if entry[0] <= durable}
        self._records = 0
        self._write_anew()

    def received(self) -> dict[int, int]:
        """Return packet id -> content of the messages that are durable and not released."""
        return {packet_id: content for packet_id, (_, content) in self._live.items()}

    def note(self, messages: Sequence[Message], first: int) -> None:
        """Make durable that `messages` are numbered from `first` on."""
        entries = [(number, message.packet_id, content_of(message)) for number, message in enumerate(messages, first)]
        with self._lock:
            for entry in entries:
                self._keep(*entry)
            self._append(entries, sync=True)
            if self._records > _MOST_RECORDS:
                self._write_anew()

    def release(self, *packet_ids: int) -> None:
        """Note that the broker may use the ids for other messages, or that what was noted of them does not count."""
        with self._lock:
            known = [packet_id for packet_id in packet_ids if self._live.pop(packet_id, None) is not None]
            if known:
                self._append([(0, packet_id, 0) for packet_id in known], sync=False)

    def clear(self) -> None:
        """Forget everything: the broker no longer holds the session."""
        with self._lock:
            self._live.clear()
            self._write_anew()

    def _keep(self, number: int, packet_id: int, content: int) -> None:
        if number:
            self._live[packet_id] = (number, content)
        else:
            self._live.pop(packet_id, None)

    def _append(self, entries: Sequence[tuple[int, int, int]], *, sync: bool) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(b"".join(_RECORD.pack(*entry) for entry in entries))
            if sync:
                os.fdatasync(file.fileno())
        self._records += len(entries)

    def _write_anew(self) -> None:
        """Replace the file by one of the live records."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = b"".join(_RECORD.pack(number, key, crc) for key, (number, crc) in self._live.items())
        replace_file(self._path, content)
        self._records = len(self._live)
