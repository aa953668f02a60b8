"""Devices as a supervisor sees them: real ports of loopback behind a connector that speaks one line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from resources.core.errors import AuthError, SourceError, UnreachableError
from resources.scada.connector import Address, Emit, Health, SourceFacts, StatusSink


class Device:
    """Answers `hello`; may refuse, stop, and tell a ServiceLevel."""

    def __init__(self) -> None:
        self.port = 0
        self.answer = b"welcome\n"
        self.level = 255
        self.deaf = False
        self.sessions = self.most_sessions = self.logins = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        counted = False
        try:
            while line := await reader.readline():
                if line == b"hello\n":
                    counted = True
                    self.logins += 1
                    self.sessions += 1
                    self.most_sessions = max(self.most_sessions, self.sessions)
                    writer.write(self.answer)
                elif not self.deaf:
                    writer.write(b"%d\n" % self.level)
        except OSError:
            pass
        finally:
            self.sessions -= counted
            self._open.discard(writer)
            writer.close()


class LineClient:
    """The connector; `HasEndpoints` and `HasHealth`."""

    kind = "line"

    def __init__(self, name: str, *devices: Device) -> None:
        self.name = name
        self._addresses = [Address("127.0.0.1", device.port) for device in devices]
        self._position = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._replies: asyncio.Queue[bytes] = asyncio.Queue()

    def addresses(self) -> Sequence[Address]:
        return self._addresses

    def use(self, position: int) -> None:
        self._position = position

    async def probe(self) -> SourceFacts:
        return SourceFacts(self.name, self.kind, "", "none")

    async def run(self, emit: Emit, status: StatusSink) -> None:
        address = self._addresses[self._position]
        try:
            reader, writer = await asyncio.open_connection(address.host, address.port)
        except OSError as error:
            raise UnreachableError(f"source {self.name}: refused; check it", source=self.name) from error
        try:
            writer.write(b"hello\n")
            answer = await reader.readline()
            if answer == b"who are you\n":
                raise AuthError(f"source {self.name}: refused; check the password", source=self.name)
            if answer == b"":
                raise self._lost()
            if answer != b"welcome\n":
                await asyncio.Event().wait()
            self._streams = (reader, writer)
            status.connected({"endpoint": f"127.0.0.1:{address.port}"})
            while line := await reader.readline():
                self._replies.put_nowait(line)
            raise self._lost()
        except OSError as error:
            raise self._lost() from error
        finally:
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def check_health(self) -> Health:
        if self._streams is None:
            raise self._lost()
        self._streams[1].write(b"level\n")
        return Health(service_level=int(await self._replies.get()))

    def _lost(self) -> SourceError:
        return UnreachableError(f"source {self.name}: connection lost; check it", source=self.name)
