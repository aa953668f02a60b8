"""A TCP relay on loopback that goes wrong on demand: cut, closed, silent, slow, or with garbage in its stream."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

CHUNK = 65_536


class FaultyProxy:
    """Relays to a port of loopback; counts the connections that speak, so that more than one session shows."""

    def __init__(self, target_port: int, chance: random.Random) -> None:
        self.port = 0
        self.most_sessions = 0
        self._target_port, self._chance = target_port, chance
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._delay_s = 0.0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        await self.close_port()
        self._passing.set()
        for link in list(self._links):
            await link.end()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run(self._target_port)
        finally:
            self._links.discard(link)

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break every connection, as a pulled plug or a restarted firewall does."""
        for link in self._links:
            link.abort()

    async def close_port(self) -> None:
        """Take no connection, and break those there are."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()

    def go_silent(self) -> None:
        """Take connections and bytes, and pass nothing on: a black hole."""
        self._passing.clear()

    def go_slow(self, delay_s: float) -> None:
        """Pass everything on, each piece late."""
        self._delay_s = delay_s

    def add_garbage(self) -> None:
        """Put random bytes into what comes from the device."""
        for link in self._links:
            link.to_client.put_nowait(self._chance.randbytes(self._chance.randint(1, 80)))

    async def heal(self) -> None:
        """Work again; what was held back is passed on."""
        self._delay_s = 0.0
        self._passing.set()
        if self._server is None:
            await self.start()

    async def before_passing(self) -> None:
        """Wait as long as the fault that is on demands."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        await self._passing.wait()

    def count(self) -> None:
        """Note that one more connection speaks."""
        self.most_sessions = max(self.most_sessions, sum(link.speaks for link in self._links))


class _Link:
    """One relayed connection; reading never waits for passing on, so that an end is seen at once."""

    def __init__(self, proxy: FaultyProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._there: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self.speaks = False
        self.to_client: asyncio.Queue[bytes] = asyncio.Queue()
        self._to_device: asyncio.Queue[bytes] = asyncio.Queue()

    async def run(self, target_port: int) -> None:
        self._task = asyncio.current_task()
        try:
            there_reader, self._there = await asyncio.open_connection("127.0.0.1", target_port)
        except OSError:
            self._writer.close()
            return
        pumps = [
            asyncio.ensure_future(work)
            for work in (
                self._read(self._reader, self._to_device, from_client=True),
                self._read(there_reader, self.to_client),
                self._pass_on(self._to_device, self._there),
                self._pass_on(self.to_client, self._writer),
            )
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.speaks = False
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.abort()

    async def _read(
        self, reader: asyncio.StreamReader, queue: asyncio.Queue[bytes], *, from_client: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if from_client and not self.speaks:
                    self.speaks = True
                    self._proxy.count()
                queue.put_nowait(data)
        if from_client:
            self.speaks = False
        # what was read before the end still goes through, unless the way is blocked
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while not queue.empty():
                    await asyncio.sleep(0.01)

    async def _pass_on(self, queue: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                data = await queue.get()
                await self._proxy.before_passing()
                writer.write(data)
                await writer.drain()

    def abort(self) -> None:
        for writer in (self._writer, self._there):
            if writer is not None:
                writer.transport.abort()

    async def end(self) -> None:
        self.abort()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
