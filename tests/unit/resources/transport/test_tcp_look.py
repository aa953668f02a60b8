"""Looks at real ports of loopback; only the resolver that hangs is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from resources.embedded.ports import free_port
from resources.transport.tcp_look import PortLooker

PATIENCE_S = 30.0


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_look_when_somebody_listens_then_true_and_nothing_was_sent() -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    async with listening(listen) as port:
        assert await PortLooker().is_alive("127.0.0.1", port, PATIENCE_S)
        assert await asyncio.wait_for(received, PATIENCE_S) == b""


async def test_look_when_the_peer_speaks_first_then_true() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()
        writer.close()

    async with listening(greet) as port:
        assert await PortLooker().is_alive("localhost", port, PATIENCE_S)


async def test_look_when_nobody_listens_then_false() -> None:
    assert not await PortLooker().is_alive("127.0.0.1", free_port(), PATIENCE_S)


async def test_look_when_a_relay_drops_the_connection_at_once_then_false() -> None:
    async with listening(lambda _, writer: writer.close()) as port:
        assert not await PortLooker().is_alive("127.0.0.1", port, PATIENCE_S)


async def test_look_when_the_name_does_not_resolve_then_false() -> None:
    assert not await PortLooker().is_alive("no-such-host.invalid", 4840, PATIENCE_S)


async def test_look_when_the_name_server_hangs_then_false_and_only_one_lookup_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    answer = asyncio.Event()

    async def hanging(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        await answer.wait()
        raise OSError("no answer")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hanging)
    looker = PortLooker()
    for _ in range(3):
        assert not await looker.is_alive("plc.example", 502, 0.02)
    assert asked == ["plc.example"]
    answer.set()
    assert not await looker.is_alive("plc.example", 502, PATIENCE_S)


async def test_look_when_the_greeting_is_answered_then_true() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(3))
        await reader.read()
        writer.close()

    async with listening(echo) as port:
        assert await PortLooker().is_alive("127.0.0.1", port, PATIENCE_S, b"HEL")


async def test_look_when_a_hung_device_takes_the_connection_and_the_greeting_then_false() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(hang) as port:
        assert not await PortLooker().is_alive("127.0.0.1", port, 0.2, b"HEL")
