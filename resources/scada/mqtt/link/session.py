"""One connection to a broker: handshake, subscriptions, messages in and out, keep-alive.

Not here: what a payload means (`payloads`), what is owed for a message (`receipts`), and when to connect again
(whoever drives the client).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self, cast

import structlog

from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.scada.mqtt.link import packets, reasons, wire
from resources.scada.mqtt.link.deliveries import Deliveries
from resources.scada.mqtt.link.packets import Connect, Subscription
from resources.scada.mqtt.link.receipts import Receipts, Run
from resources.scada.mqtt.link.wire import Message, Packet
from resources.scada.mqtt.payloads import Outgoing
from resources.scada.tls import explain

log = structlog.get_logger(__name__)

_GOODBYE_S = 3.0
"""Longest wait for a broker to take our goodbye."""
_PAUSE_AT = 20_000
"""Messages waiting to be taken above which the socket is no longer read; TCP then slows the broker down."""


class BrokerSession(asyncio.Protocol):
    """One network connection; made by `asyncio.loop.create_connection`, then `handshake`, `subscribe`, `take`."""

    def __init__(self, source: str, peer: str, connect: Connect, receipts: Receipts | None = None) -> None:
        """Wait for the connection; `peer` names the broker in messages, `receipts` outlive the connection."""
        self._source, self._peer, self._connect = source, peer, connect
        self.version = connect.version
        """MQTT version of this connection: 5, or 4 for 3.1.1."""
        self._receipts = receipts or Receipts()
        self._deliveries = Deliveries(source, peer, connect.version, self._write)
        self._reader = wire.PacketReader(connect.version, topic_aliases=connect.topic_alias_maximum)
        self._transport: asyncio.Transport | None = None
        self._messages: list[Message] = []
        self._arrived = asyncio.Event()
        self._closed = asyncio.Event()
        self._connack: asyncio.Future[Packet] | None = None
        self._on_suback: Callable[[bytes], None] | None = None
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
        messages: list[Message] = []
        try:
            messages, others = self._reader.feed(data)
            for packet in others:
                self._on_packet(packet)
        except SourceError as error:
            self._fail(error)
        except wire.MalformedPacketError as error:
            self._write(packets.disconnect_packet(reasons.MALFORMED, self.version))
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

    def _on_packet(self, packet: Packet) -> None:
        if packet.kind == wire.PUBREL:
            self._write(self._receipts.released(int.from_bytes(packet.body[:2], "big"), self.version))
        elif packet.kind in (wire.PUBACK, wire.PUBREC, wire.PUBCOMP):
            self._deliveries.on_packet(packet)
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
        self._receipts.end()
        self._deliveries.fail(self._error)
        self._arrived.set()
        for waiting in (self._connack, *self._pongs):
            if waiting is not None and not waiting.done():
                waiting.set_exception(self._error)

    def _write(self, sent: bytes) -> None:
        if self._transport is not None and sent:
            self._transport.write(sent)

    async def handshake(self, timeout_s: float) -> reasons.Granted:
        """Send CONNECT; return what the broker grants.

        Raises:
            UnansweredError: The broker said nothing in time, or closed the connection.
            SourceError: The broker refused.
        """
        self._connack = asyncio.get_running_loop().create_future()
        self.transport.write(packets.connect_packet(self._connect))
        try:
            answer = await asyncio.wait_for(self._connack, timeout_s)
        except (TimeoutError, UnreachableError) as error:
            unanswered = reasons.UnansweredError(
                str(error if isinstance(error, UnreachableError) else self._explained(error)), source=self._source
            )
            unanswered.silent = isinstance(error, TimeoutError)
            raise unanswered from error
        granted = reasons.accepted(answer.body, self._connect, source=self._source, peer=self._peer)
        self._receipts.begin(self._write, resumed=granted.resumed)
        self._deliveries.limit(granted)
        self._start_keepalive(granted.keepalive_s)
        return granted

    def _explained(self, error: BaseException) -> SourceError:
        return explain(error, source=self._source, peer=self._peer)

    def subscribe(
        self, subscriptions: Sequence[Subscription], on_granted: Callable[[list[tuple[Subscription, int]]], None]
    ) -> None:
        """Ask for `subscriptions`; `on_granted` gets each with its code (0 to 2: the QoS granted, from 128: refused).

        The answer is not waited for: in a session that was resumed it comes after everything the broker has kept, and
        that must be taken first. A SourceError that `on_granted` raises ends the connection.
        """
        self._on_suback = lambda body: on_granted(list(zip(subscriptions, self._granted(body), strict=False)))
        self.transport.write(packets.subscribe_packet(1, subscriptions, self.version))

    def _granted(self, body: bytes) -> bytes:
        return body[wire.read_properties(body, 2)[1] if self.version == 5 else 2 :]

    def publish(self, message: Outgoing, settled: Callable[[int | SourceError], None] | None = None) -> None:
        """Send a message; `settled` gets the broker's reason code, or why it did not get through."""
        if self._transport is None:
            self._settle_gone(message, settled)
            return
        self._deliveries.send(message, settled or self._note)

    def _settle_gone(self, message: Outgoing, settled: Callable[[int | SourceError], None] | None) -> None:
        error = self._error or UnreachableError(
            f"source {self._source}: publishing {message.topic}: not connected to {self._peer}", source=self._source
        )
        (settled or self._note)(error)

    def _note(self, outcome: int | SourceError) -> None:
        if isinstance(outcome, SourceError):
            log.warning("publish_failed", source=self._source, error=str(outcome))

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
            self._write(packets.PINGREQ_PACKET)
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
        transport.write(packets.PINGREQ_PACKET)
        await pong

    async def take(self, limit: int, wait_s: float | None = None) -> list[Message]:
        """Return the messages that have arrived, at most `limit`, in order; none only if `wait_s` has run out.

        Raises:
            SourceError: The connection is gone and everything that had arrived was taken.
        """
        while not self._messages:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
            except TimeoutError:
                break
        taken, self._messages = self._messages[:limit], self._messages[limit:]
        if self._paused and len(self._messages) < _PAUSE_AT // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def accept(self, messages: Sequence[Message]) -> Run:
        """Return the run of `messages`: which of them are fresh, and what acknowledges them."""
        return self._receipts.accept(messages)

    async def close(self) -> None:
        """Say goodbye, keep the session at the broker, and close; returns once the socket is closed."""
        transport, self._transport = self._transport, None
        self._receipts.end()
        if transport is not None:
            self._error = self._error or UnreachableError(
                f"source {self._source}: the connection was closed", source=self._source
            )
            transport.write(packets.DISCONNECT_PACKET)
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
