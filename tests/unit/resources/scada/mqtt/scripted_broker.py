"""A fake broker for what a real one cannot be made to do: it answers by a script, over a real socket of loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from resources.core.readings import ReadingBatch
from resources.scada.mqtt.link import packets, wire
from resources.scada.mqtt.link.wire import Packet

ACCEPTED_5, RESUMED_5 = b"\x20\x03\x00\x00\x00", b"\x20\x03\x01\x00\x00"
PATIENCE_S = 30.0


def publish(
    topic: str,
    payload: bytes,
    *,
    packet_id: int = 0,
    qos: int = 0,
    dup: bool = False,
    retain: bool = False,
    properties: bytes = b"",
) -> bytes:
    """A PUBLISH as a broker of MQTT 5 sends it."""
    body = len(topic.encode()).to_bytes(2, "big") + topic.encode()
    if qos:
        body += packet_id.to_bytes(2, "big")
    body += packets.encode_varint(len(properties)) + properties
    return packets.packet(0x30 | dup << 3 | qos << 1 | retain, body + payload)


class Peer:
    """One connection as the broker sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.greeting = b""

    async def packet(self) -> Packet | None:
        """The next packet that is no PINGREQ; None at the end of the connection."""
        while True:
            try:
                first = (await self._reader.readexactly(1))[0]
                length = shift = 0
                while True:
                    digit = (await self._reader.readexactly(1))[0]
                    length |= (digit & 0x7F) << shift
                    shift += 7
                    if digit < 0x80:
                        break
                body = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, OSError):
                return None
            if first >> 4 != 12:
                return Packet(first >> 4, first & 0x0F, body)

    async def expect(self, kind: int) -> bytes:
        """The body of the next packet, which must be of `kind`."""
        async with asyncio.timeout(PATIENCE_S):
            got = await self.packet()
        assert got is not None, f"the connection ended where a packet of type {kind} was due"
        assert got.kind == kind, f"type {got.kind} where {kind} was due"
        return got.body

    async def greet(self, answer: bytes = ACCEPTED_5) -> None:
        """Take the CONNECT, answer it."""
        self.greeting = await self.expect(1)
        self.send(answer)

    async def subscribe(self, code: int = 2) -> bytes:
        """Take the SUBSCRIBE and grant it."""
        body = await self.expect(8)
        self.send(packets.packet(wire.SUBACK << 4, body[:2] + b"\x00" + bytes((code,))))
        return body

    def send(self, *sent: bytes) -> None:
        self._writer.write(b"".join(sent))

    def close(self) -> None:
        self._writer.close()


Script = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def broker(*scripts: Script) -> AsyncIterator[int]:
    """Serve on a free port: each connection by the next script, then closed. A failed claim of a script is raised."""
    waiting, failed, running = list(scripts), list[BaseException](), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            if waiting:
                await waiting.pop(0)(peer)
        except AssertionError as error:
            failed.append(error)
        except asyncio.CancelledError:
            pass  # the test is over; StreamReaderProtocol would log it
        finally:
            running.discard(task)
            peer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failed:
        raise failed[0]


class Taken:
    """A driver that keeps what it is given; acknowledges at once, or when it is asked to."""

    def __init__(self, *, durable: bool = True) -> None:
        self.batches: list[ReadingBatch] = []
        self.durable = durable
        self.owed: list[Callable[[], None]] = []

    async def emit(self, batch: ReadingBatch) -> None:
        self.batches.append(batch)
        if batch.acknowledge is not None:
            if self.durable:
                batch.acknowledge()
            else:
                self.owed.append(batch.acknowledge)

    @property
    def values(self) -> list[float]:
        return [
            value
            for batch in self.batches
            if batch.readings is not None
            for value in batch.readings.column("value").to_pylist()
        ]

    def connected(self, *_: object, **__: object) -> None: ...

    def item_failed(self, *_: object) -> None: ...

    def item_recovered(self, *_: object) -> None: ...

    def missed(self, *_: object) -> None: ...

    def counted(self, **_: int) -> None: ...
