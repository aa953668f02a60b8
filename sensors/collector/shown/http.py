"""The two pages of the collector: `/healthz` and `/metrics`, GET and HEAD, one request per connection."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

_REQUEST_TIMEOUT_S = 5.0
_MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page gives."""

    body: bytes
    content_type: str
    status: HTTPStatus = HTTPStatus.OK


Page = Callable[[], Awaitable[Answer]]


def json_answer(content: object, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return `content` as JSON."""
    return Answer(json.dumps(content, indent=2).encode() + b"\n", "application/json", status)


def refuse_open_door(host: str, *, expose_without_login: bool) -> None:
    """Refuse an address that others can reach, unless it was asked for.

    Raises:
        ConfigError: `host` is not loopback and `expose_without_login` is false.
    """
    if not expose_without_login and not _is_loopback(host):
        raise ConfigError(
            f"collector.host {host} can be reached by others, and /healthz and /metrics have no login: "
            "use 127.0.0.1, or start with --expose-without-login"
        )


class PageServer:
    """Serves a few pages over HTTP/1.1 on one address."""

    def __init__(self, pages: dict[str, Page]) -> None:
        """Serve `pages`, path -> what makes the answer."""
        self._pages = pages
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen; return the address as `http://host:port`.

        Raises:
            ConfigError: The address is taken or does not exist.
        """
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_MOST_BYTES)
        except OSError as error:
            raise ConfigError(
                f"/healthz and /metrics cannot listen on {host}:{port} ({error.strerror}): if another program uses the "
                "port, end it, or set collector.port to another one (0 takes a free one)"
            ) from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{bound}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                method, path = _request(head)
                writer.write(_rendered(await self._answer(method, path), with_body=method != "HEAD"))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("http_request_abandoned")
        finally:
            writer.close()

    async def _answer(self, method: str, path: str) -> Answer:
        page = self._pages.get(path)
        if page is None:
            pages = ", ".join(self._pages)
            return json_answer({"error": f"no such page; there are {pages}"}, HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return json_answer({"error": "only GET and HEAD"}, HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return await page()
        except Exception:  # a page that fails must not end the collection of readings
            log.exception("page_failed", path=path)
            return json_answer({"error": "the page failed; the log says why"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _request(head: bytes) -> tuple[str, str]:
    """Return method and path of a request line; ("", "") if it is none."""
    parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    return (parts[0], parts[1].split("?", 1)[0]) if len(parts) == 3 else ("", "")


def _rendered(answer: Answer, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (answer.body if with_body else b"")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
