from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest

from resources.core.errors import ConfigError
from sensors.collector.shown.http import Answer, PageServer, json_answer, refuse_open_door


async def health() -> Answer:
    return json_answer({"status": "red"}, HTTPStatus.SERVICE_UNAVAILABLE)


async def broken() -> Answer:
    raise ZeroDivisionError


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = PageServer({"/healthz": health, "/broken": broken})
    yield await server.start("127.0.0.1", 0)
    await server.stop()


async def test_page_when_asked_then_status_and_content(url: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/healthz?verbose=1")
    assert answer.status_code == 503
    assert answer.json() == {"status": "red"}
    assert answer.headers["content-type"] == "application/json"


async def test_page_when_only_its_head_is_asked_then_no_body(url: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.head(f"{url}/healthz")
    assert (answer.status_code, answer.content) == (503, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/other", 404), ("POST", "/healthz", 405), ("GET", "/broken", 500)],
    ids=["no-such-page", "method", "page-fails"],
)
async def test_page_when_it_cannot_be_given_then_the_status_says_why(
    url: str, method: str, path: str, status: int
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, url + path)
    assert answer.status_code == status
    assert answer.json()["error"]


async def raw(url: str, request: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_server_when_it_gets_garbage_then_it_goes_on(url: str) -> None:
    assert (await raw(url, b"garbage\r\n\r\n")).startswith(b"HTTP/1.1 404")
    assert await raw(url, b"GET /healthz") == b""
    assert await raw(url, b"GET /" + b"x" * 100_000) == b""
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/healthz")).status_code == 503


async def test_server_when_the_port_is_taken_then_the_setting_is_named(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} .* set collector.port to another one"):
        await PageServer({}).start("127.0.0.1", port)


async def test_server_when_never_started_then_stop_does_nothing() -> None:
    await PageServer({}).stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.3.3", "::1", "localhost"])
def test_door_when_loopback_then_open(host: str) -> None:
    refuse_open_door(host, expose_without_login=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "plant.example"])
def test_door_when_others_can_reach_it_then_only_if_asked_for(host: str) -> None:
    with pytest.raises(ConfigError, match="--expose-without-login"):
        refuse_open_door(host, expose_without_login=False)
    refuse_open_door(host, expose_without_login=True)


def test_json_answer_when_made_then_readable() -> None:
    assert json.loads(json_answer({"a": 1}).body) == {"a": 1}
