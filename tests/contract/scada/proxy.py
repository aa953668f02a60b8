"""A TCP relay on loopback whose connections a test can cut."""

import asyncio
import contextlib


class CuttableProxy:
    """Relays to a port of loopback; `cut` breaks every connection, `deaf` swallows what comes from the server."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.deaf = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        return len(self._writers) // 2

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, there_writer}
        self._clients.add(writer)
        for source, sink, back in ((reader, there_writer, False), (there_reader, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, back))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if not (back and self.deaf):
                    sink.write(data)
                    await sink.drain()
        sink.close()
        self._writers.discard(sink)
        self._clients.discard(sink)

    def inject(self, data: bytes) -> None:
        """Send something of our own to every client, as if the server had."""
        for writer in self._clients:
            writer.write(data)

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
