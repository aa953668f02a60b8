"""A real HTTP server on a free port, with TLS and client certificates where asked for, that answers as a test says."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from resources.core.clock import Clock
from resources.transport.connections.config import HttpConfig
from resources.transport.http.client import HttpClient
from resources.transport.trust.certificates import CertificateAuthority

JSON = "application/json"


@dataclass(slots=True)
class Answer:
    """What the server answers; `hang_up` closes the connection in place of an answer."""

    body: bytes = b"{}"
    status: int = 200
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    hang_up: bool = False
    packed: bool = False
    dripping: bool = False
    """The body comes byte by byte, again and again, until the client has had enough."""


@dataclass(slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    certificate: dict[str, Any] | None = None


@dataclass(slots=True)
class WebServer:
    """A running server: what it was asked, and what it answers next."""

    answer: Callable[[Asked], Answer] = field(default=lambda _: Answer())
    script: list[Answer] = field(default_factory=list)
    """Answered first, in order; `answer` follows."""
    asked: list[Asked] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    closed: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def client(self, **options: Any) -> HttpClient:
        """Return a client of this server; `http` overrides its settings."""
        config = HttpConfig.model_validate({**self.settings, **options.pop("http", {})})
        return HttpClient("erp", config, **options)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.number = self.client_address[1]
        self.server.state.connections.add(self.number)
        self.server.state.open.add(self.number)

    def finish(self) -> None:
        super().finish()
        self.server.state.open.discard(self.number)
        self.server.state.closed.set()

    def handle_any(self) -> None:
        state = self.server.state
        asked = Asked(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            self.number,
            getattr(self.connection, "getpeercert", lambda: None)(),
        )
        state.asked.append(asked)
        answer = state.script.pop(0) if state.script else state.answer(asked)
        if answer.hang_up:
            self.close_connection = True
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = gzip.compress(answer.body) if answer.packed else answer.body
        headers = [("Content-Type", answer.kind)] if answer.kind else []
        headers += [("Content-Encoding", "gzip")] if answer.packed else []
        headers += (
            [("Content-Length", str(len(body) * (1000 if answer.dripping else 1)))] if answer.status != 204 else []
        )
        self.send_response(answer.status)
        for name, value in (*headers, *answer.headers):
            self.send_header(name, value)
        self.end_headers()
        for _ in range(1000 if answer.dripping else 0):
            self.wfile.write(body)
            self.server.tick.wait(0.02)
        self.wfile.write(b"" if answer.dripping else body)

    do_GET = do_POST = handle_any  # noqa: N815 - names of the base class

    def log_message(self, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: WebServer
    tick = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that breaks off is what some tests are about


def _tls(authority: CertificateAuthority, client_certificates: bool, tls_1_2_only: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue("web")
    context.load_cert_chain(issued.certificate, issued.key)
    if client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.certificate)
    if tls_1_2_only:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextmanager
def serving(
    authority: CertificateAuthority | None = None, *, client_certificates: bool = False, tls_1_2_only: bool = False
) -> Iterator[WebServer]:
    """Run a server; with an authority it speaks TLS, and with `client_certificates` it asks for one of hers."""
    server = _Server(("127.0.0.1", 0), _Handler)
    state = server.state = WebServer()
    scheme, trust = "http", {"insecure_plain_http": True}
    if authority is not None:
        context = _tls(authority, client_certificates, tls_1_2_only)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme, trust = "https", {"ca_certificate": str(authority.certificate)}
    state.url = f"{scheme}://127.0.0.1:{server.server_port}"
    limits = {"rate_limit_per_minute": None, "timeout": "10s", "attempts": 3, "retry_time": "20s"}
    state.settings = {"base_url": state.url, **trust, **limits}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for(clock: Clock, condition: Callable[[], bool], tick: threading.Event) -> None:
    """Wait until `condition` holds, looking whenever `tick` is set, at most 30 s."""
    until = clock.monotonic() + 30
    while not condition():
        assert clock.monotonic() < until, "it did not come to pass"
        tick.wait(0.05)
        tick.clear()
