"""One connection to a broker, as a subscriber: handshake, messages in, acknowledgements out in order, keep-alive.

Not here: what a payload means (codec), and when to connect again (whoever drives the client).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self, cast

import structlog

from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.scada.mqtt import reasons, wire
from resources.scada.mqtt.wire import Message, Packet
from resources.scada.tls import explain

log = structlog.get_logger(__name__)

_GOODBYE_S = 3.0
"""Longest wait for a broker to take our goodbye."""
_PAUSE_AT = 20_000
"""Messages waiting to be taken above which the socket is no longer read; TCP then slows the broker down."""


class _Owed:
    """The acknowledgements of one batch, sent once it and all batches before it are durable."""

    __slots__ = ("durable", "packets")

    def __init__(self, packets: bytes) -> None:
        self.packets = packets
        self.durable = False


class BrokerSession(asyncio.Protocol):
    """One network connection; made by `asyncio.loop.create_connection`, then `handshake`, `subscribe`, `take`."""

    def __init__(self, source: str, peer: str, version: int) -> None:
        """Wait for the connection; `peer` names the broker in messages."""
        self._source, self._peer, self._version = source, peer, version
        self._reader = wire.PacketReader(version)
        self._transport: asyncio.Transport | None = None
        self._messages: list[Message] = []
        self._arrived = asyncio.Event()
        self._closed = asyncio.Event()
        self._connack: asyncio.Future[Packet] | None = None
        self._on_suback: Callable[[bytes], None] | None = None
        self._owed: deque[_Owed] = deque()
        self._error: SourceError | None = None
        self._paused = False
        self._keepalive: asyncio.TimerHandle | None = None
        self._heard = True
        self._pongs: list[asyncio.Future[None]] = []

    @property
    def transport(self) -> asyncio.Transport:
        """The open transport.

        Raises:
            SourceError: The connection is gone.
        """
        if self._transport is None:
            raise self._error or UnreachableError(
                f"source {self._source}: not connected to {self._peer}", source=self._source
            )
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio has set TCP_NODELAY on it)."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits, with the reason."""
        self._closed.set()
        self._fail(explain(exc, source=self._source, peer=self._peer, doing="reading"))

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into packets; messages wait to be taken, the rest is answered at once."""
        self._heard = True
        try:
            messages, others = self._reader.feed(data)
        except wire.MalformedPacketError as error:
            self._fail(ProtocolError(
                f"source {self._source}: {self._peer} sent no MQTT ({error}): check the port", source=self._source
            ))  # fmt: skip
            return
        if messages:
            self._messages += messages
            self._arrived.set()
            if len(self._messages) > _PAUSE_AT and not self._paused:
                self._paused = True
                self.transport.pause_reading()
        try:
            for packet in others:
                self._on_packet(packet)
        except SourceError as error:
            self._fail(error)

    def _on_packet(self, packet: Packet) -> None:
        if packet.kind == wire.PUBREL:
            self._write(wire.acknowledgements(wire.PUBCOMP, [int.from_bytes(packet.body[:2], "big")]))
        elif packet.kind == wire.DISCONNECT:
            self._fail(reasons.disconnected(packet.body, source=self._source, peer=self._peer))
        elif packet.kind == wire.PINGRESP:
            for pong in self._pongs:
                if not pong.done():
                    pong.set_result(None)
            self._pongs.clear()
        elif packet.kind == wire.SUBACK and self._on_suback is not None:
            self._on_suback(packet.body)
        elif packet.kind == wire.CONNACK and self._connack is not None and not self._connack.done():
            self._connack.set_result(packet)

    def _fail(self, error: SourceError) -> None:
        if self._error is None:
            self._error = error
        if self._keepalive is not None:
            self._keepalive.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._arrived.set()
        for waiting in (self._connack, *self._pongs):
            if waiting is not None and not waiting.done():
                waiting.set_exception(self._error)

    def _write(self, packets: bytes) -> None:
        if self._transport is not None and packets:
            self._transport.write(packets)

    async def handshake(self, connect: wire.Connect, timeout_s: float) -> bool:
        """Send CONNECT; return True if the broker still holds this client's session.

        Raises:
            SourceError: The broker refused, went away, or did not answer in time.
        """
        self._connack = asyncio.get_running_loop().create_future()
        self.transport.write(wire.connect_packet(connect))
        try:
            answer = await asyncio.wait_for(self._connack, timeout_s)
        except TimeoutError as error:
            raise explain(error, source=self._source, peer=self._peer) from error
        self._start_keepalive(reasons.accepted(answer.body, connect, source=self._source, peer=self._peer))
        return bool(answer.body[0] & 1)

    def subscribe(self, filters: Sequence[str], qos: int, on_granted: Callable[[dict[str, int]], None]) -> None:
        """Ask for `filters`; `on_granted` gets filter -> reason code (0 to 2: the QoS granted, from 128 on: refused).

        The answer is not waited for: in a session that was resumed it comes after everything the broker has kept, and
        that must be taken first. A SourceError that `on_granted` raises ends the connection.
        """
        self._on_suback = lambda body: on_granted(dict(zip(filters, self._granted(body), strict=False)))
        self.transport.write(wire.subscribe_packet(1, filters, qos, self._version))

    def _granted(self, body: bytes) -> bytes:
        return body[wire.read_properties(body, 2)[1] if self._version == 5 else 2 :]

    def _start_keepalive(self, interval_s: float) -> None:
        if interval_s <= 0:
            return
        loop = asyncio.get_running_loop()

        def tick() -> None:
            # a paused socket hears nothing, and that is our doing
            if not self._heard and not self._paused:
                self._fail(UnreachableError(
                    f"source {self._source}: {self._peer} was silent for {interval_s:g} s, no PINGRESP: check the "
                    "broker and the network in between", source=self._source,
                ))  # fmt: skip
                return
            self._heard = False
            self._write(wire.PINGREQ_PACKET)
            self._keepalive = loop.call_later(interval_s * 0.75, tick)

        self._keepalive = loop.call_later(interval_s * 0.75, tick)

    async def ping(self) -> None:
        """Ask the broker for a sign of life; returns when it came, at once while we do not read.

        Raises:
            SourceError: The connection is gone.
        """
        transport = self.transport
        if self._paused:
            return  # what it sends lies unread: that says nothing about the broker
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        transport.write(wire.PINGREQ_PACKET)
        await pong

    async def take(self, limit: int) -> list[Message]:
        """Return the messages that have arrived, at least one, at most `limit`, in order.

        Raises:
            SourceError: The connection is gone and everything that had arrived was taken.
        """
        while not self._messages:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        taken, self._messages = self._messages[:limit], self._messages[limit:]
        if self._paused and len(self._messages) < _PAUSE_AT // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def owe(self, messages: Sequence[Message]) -> Callable[[], None] | None:
        """Return what acknowledges `messages` once they are durable; None if nothing is owed (QoS 0)."""
        packets = b""
        if first := [m.packet_id for m in messages if m.qos == 1]:
            packets += wire.acknowledgements(wire.PUBACK, first)
        if second := [m.packet_id for m in messages if m.qos == 2]:
            packets += wire.acknowledgements(wire.PUBREC, second)
        if not packets:
            return None
        owed = _Owed(packets)
        self._owed.append(owed)

        def durable() -> None:
            # the order of PUBACKs is that of the messages [MQTT-4.6.0-2], whatever becomes durable first
            owed.durable = True
            ready = []
            while self._owed and self._owed[0].durable:
                ready.append(self._owed.popleft().packets)
            self._write(b"".join(ready))

        return durable

    async def close(self) -> None:
        """Say goodbye, keep the session at the broker, and close; returns once the socket is closed."""
        transport, self._transport = self._transport, None
        if transport is not None:
            self._error = self._error or UnreachableError(
                f"source {self._source}: the connection was closed", source=self._source
            )
            transport.write(wire.DISCONNECT_PACKET)
            transport.close()
        if self._keepalive is not None:
            self._keepalive.cancel()
        self._arrived.set()
        if transport is not None:
            try:
                await asyncio.wait_for(self._closed.wait(), _GOODBYE_S)
            except TimeoutError:
                transport.abort()

    async def __aenter__(self) -> Self:
        """Return the session itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()
