"""The connections to one system: kept, counted, and closed once they are idle.

httpx's own transport hides its pool; this one is the same over httpcore's public classes, so that what the pool does
can be told. Idle connections are closed by a thread of their own, since httpcore does so only when the next request
comes, which for a system that is asked once a day is tomorrow.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from resources.core.configuration.settings import EnvSecret
from resources.transport.connections.config import HttpConfig


@dataclass(frozen=True, slots=True)
class PoolState:
    """What the pool did so far and holds now."""

    requests: int
    """Requests sent."""
    opened: int
    """Connections opened for them."""
    active: int
    """Connections with a request under way."""
    idle: int
    """Connections kept for the next request."""
    maximum: int
    """Most connections at a time."""


class _Backend(httpcore.SyncBackend):
    """Opens connections, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a new connection."""
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        self.opened += 1
        return stream


class PooledTransport(httpx.BaseTransport):
    """Sends requests over pooled connections; threads may share it."""

    def __init__(self, config: HttpConfig, tls: ssl.SSLContext) -> None:
        """Prepare; nothing is opened, and no environment variable but the proxy password's is read.

        Raises:
            ConfigError: The proxy's password is not set.
        """
        self._backend = _Backend()
        self._maximum = config.max_connections
        self._idle_s = config.idle_timeout.total_seconds()
        self._pool = self._made(config, tls)
        self._requests = self._under_way = 0
        self._lock = threading.Lock()
        # httpcore may close a connection that another thread has just been given, if more ask than it may open
        self._free = threading.BoundedSemaphore(self._maximum)
        self._closed = threading.Event()
        self._reaper: threading.Thread | None = None

    def _made(self, config: HttpConfig, tls: ssl.SSLContext) -> httpcore.ConnectionPool:
        if config.proxy_url is None:
            return httpcore.ConnectionPool(
                ssl_context=tls,
                max_connections=self._maximum,
                keepalive_expiry=self._idle_s,
                network_backend=self._backend,
            )
        secret = config.proxy_password
        login = None
        if isinstance(secret, EnvSecret):
            login = (str(config.proxy_username), secret.reveal())
        return httpcore.HTTPProxy(
            config.proxy_url,
            proxy_auth=login,
            ssl_context=tls,
            # the system's certificate is judged by `tls`, the proxy's own by the authorities of this machine
            proxy_ssl_context=ssl.create_default_context() if config.proxy_url.startswith("https://") else None,
            max_connections=self._maximum,
            keepalive_expiry=self._idle_s,
            network_backend=self._backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its answer's content is read as it is asked for.

        Raises:
            httpx.TransportError: As httpx's own transport.
        """
        assert isinstance(request.stream, httpx.SyncByteStream)
        self._begin(request)
        url = request.url
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            with _mapped():
                answer = self._pool.handle_request(sent)
        except BaseException:
            self._end()
            raise
        assert isinstance(answer.stream, Iterable)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Stream(answer.stream, self._end),
            extensions=answer.extensions,
        )

    def _begin(self, request: httpx.Request) -> None:
        if not self._free.acquire(timeout=request.extensions["timeout"]["pool"]):
            raise httpx.PoolTimeout("all connections are in use", request=request)
        with self._lock:
            self._requests += 1
            self._under_way += 1
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._close_idle, name="http-idle", daemon=True)
                self._reaper.start()

    def _end(self) -> None:
        with self._lock:
            self._under_way -= 1
        self._free.release()

    def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        self._pool.close()
        if self._reaper is not None:
            self._reaper.join()

    def state(self) -> PoolState:
        """Return what the pool did and holds."""
        held = [connection for connection in self._pool.connections if not connection.is_closed()]
        idle = sum(connection.is_idle() for connection in held)
        return PoolState(self._requests, self._backend.opened, len(held) - idle, idle, self._maximum)

    def _close_idle(self) -> None:
        while not self._closed.wait(self._idle_s / 2):
            with self._lock:
                # while requests are under way httpcore closes what has expired, and only it knows who was given what
                for connection in self._pool.connections if not self._under_way else ():
                    if connection.has_expired():
                        connection.close()


class _Stream(httpx.SyncByteStream):
    """The content of an answer as it comes."""

    def __init__(self, stream: Iterable[bytes], end: Callable[[], None]) -> None:
        self._stream, self._end = stream, end
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        with _mapped():
            yield from self._stream

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        try:
            if close is not None:
                close()
        finally:
            if self._is_open:
                self._is_open = False
                self._end()


_ERRORS = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
)


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn the errors of httpcore into those of httpx, as httpx does."""
    try:
        yield
    except Exception as error:
        for kind, told in _ERRORS:
            if isinstance(error, kind):
                raise told(str(error)) from error
        raise
