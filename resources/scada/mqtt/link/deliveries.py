"""What we publish over one connection: packet ids, the broker's limits, and QoS 1 and 2 brought to an end.

Not here: what is published, and sending it again over another connection (whoever publishes hears that it failed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resources.core.errors import ProtocolError, SourceError
from resources.scada.mqtt.link import packets, reasons, wire
from resources.scada.mqtt.link.wire import Packet
from resources.scada.mqtt.payloads import Outgoing

_FIRST_ID, _LAST_ID = 2, 65_535
"""Packet id 1 is the SUBSCRIBE's."""

Settled = Callable[[int | SourceError], None]
"""Gets the broker's reason code (below 0x80), or why the message did not get through."""


@dataclass(slots=True)
class _Underway:
    message: Outgoing
    settled: Settled


class Deliveries:
    """The messages on their way to the broker."""

    def __init__(self, source: str, peer: str, version: int, write: Callable[[bytes], None]) -> None:
        """Send by `write`; `limit` is called when the broker has said what it takes."""
        self._source, self._peer, self._version, self._write = source, peer, version, write
        self._granted = reasons.Granted()
        self._next_id = _FIRST_ID
        self._underway: dict[int, _Underway] = {}
        self._waiting: deque[_Underway] = deque()

    def limit(self, granted: reasons.Granted) -> None:
        """Keep to what the broker said when it accepted the connection."""
        self._granted = granted

    def send(self, message: Outgoing, settled: Settled) -> None:
        """Publish, now or when the broker takes more; `settled` is called once, at QoS 0 before this returns."""
        if refusal := self._refusal(message):
            settled(refusal)
        elif message.qos == 0:
            self._write(self._packet(message, 0))
            settled(0)
        else:
            self._waiting.append(_Underway(message, settled))
            self._fill()

    def _refusal(self, message: Outgoing) -> ProtocolError | None:
        granted, why = self._granted, ""
        if message.qos > granted.maximum_qos:
            why = f"the broker takes at most QoS {granted.maximum_qos}, asked was {message.qos}"
        elif message.retain and not granted.retain_available:
            why = "the broker keeps no retained messages: publish without retain"
        elif len(message.payload) + len(message.topic.encode()) + 16 > granted.maximum_packet_size:
            why = f"the broker takes packets of at most {granted.maximum_packet_size} bytes: make the payload smaller"
        if not why:
            return None
        return ProtocolError(
            f"source {self._source}: publishing {message.topic} at {self._peer}: {why}", source=self._source
        )

    def _packet(self, message: Outgoing, packet_id: int) -> bytes:
        return packets.publish_packet(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            packet_id=packet_id,
            version=self._version,
        )

    def _fill(self) -> None:
        while self._waiting and len(self._underway) < self._granted.receive_maximum:
            entry = self._waiting.popleft()
            while self._next_id in self._underway:
                self._step()
            self._underway[self._next_id] = entry
            self._write(self._packet(entry.message, self._next_id))
            self._step()

    def _step(self) -> None:
        self._next_id = self._next_id + 1 if self._next_id < _LAST_ID else _FIRST_ID

    def on_packet(self, packet: Packet) -> None:
        """Take a PUBACK, PUBREC or PUBCOMP."""
        packet_id, code = int.from_bytes(packet.body[:2], "big"), packet.body[2] if len(packet.body) > 2 else 0
        entry = self._underway.get(packet_id)
        if packet.kind == wire.PUBREC and code < 0x80:
            self._write(packets.acknowledgements(wire.PUBREL, (packet_id,)))
            return
        if entry is None:
            return
        del self._underway[packet_id]
        # a PUBCOMP only ever says that the id is unknown, after the message itself was taken
        if code < 0x80 or packet.kind == wire.PUBCOMP:
            entry.settled(code if code < 0x80 else 0)
        else:
            tried = f"publishing {entry.message.topic} at {self._peer}"
            entry.settled(reasons.error_of(code, source=self._source, tried=tried))
        self._fill()

    def fail(self, error: SourceError) -> None:
        """Settle everything that is on its way with `error`."""
        unsettled = [*self._underway.values(), *self._waiting]
        self._underway.clear()
        self._waiting.clear()
        for entry in unsettled:
            entry.settled(error)
