"""A proxy that tunnels TLS: the system's certificate is judged through it, and the token's way leads through it, too."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import stamina
from pydantic import ValidationError

from resources.core.errors import AuthError
from resources.transport.auth.config import OAuthConfig
from resources.transport.connections.config import HttpConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.transport.web_server import Answer, WebServer, serving


class Tunnel(socketserver.ThreadingTCPServer):
    """An HTTP proxy that knows CONNECT alone; `asked` holds what it was asked with which login."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connect)
        self.asked: list[tuple[str, str]] = []
        self.refuse = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Connect(socketserver.StreamRequestHandler):
    server: Tunnel

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        headers = {}
        while (text := self.rfile.readline().decode().strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        self.server.asked.append((line.split(" ")[1], headers.get("proxy-authorization", "")))
        if self.server.refuse:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = line.split(" ")[1].rpartition(":")
        with socket.create_connection((host, int(port)), 10) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: upstream, upstream: self.connection}
            while True:
                readable, _, _ = select.select(list(ends), [], [], 30)
                for end in readable:
                    piece = end.recv(65536)
                    if not piece:
                        return
                    ends[end].sendall(piece)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("P", "proxy-password")
    monkeypatch.setenv("S", "secret")
    with serving(authority) as served, stamina.set_testing(True, attempts=1):
        served.answer = lambda _: Answer(b'{"access_token": "t", "expires_in": 600}')
        yield served


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    with Tunnel() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def through(tunnel: Tunnel, **changes: Any) -> dict[str, Any]:
    return {"proxy_url": tunnel.url, "proxy_username": "u", "proxy_password": "${P}", **changes}


def test_requests_and_tokens_when_there_is_a_proxy_go_through_its_tunnel(server: WebServer, tunnel: Tunnel) -> None:
    auth = OAuthConfig(token_url=f"{server.url}/token", client_id="gl", client_secret="${S}")
    with server.client(auth=auth, http=through(tunnel)) as http:
        for _ in range(3):
            http.get("/x")
        assert http.figures()["opened"] == 1
    target = server.url.removeprefix("https://")
    assert tunnel.asked == [(target, "Basic dTpwcm94eS1wYXNzd29yZA==")] * 2  # the token's, and the reads'
    assert [asked.path for asked in server.asked] == ["/token", "/x", "/x", "/x"]
    assert all("proxy-authorization" not in asked.headers for asked in server.asked)


def test_a_certificate_when_another_is_pinned_is_refused_through_the_tunnel_as_well(
    server: WebServer, tunnel: Tunnel
) -> None:
    pinned = through(tunnel, pinned_sha256="ab" * 32)
    with server.client(http=pinned) as http, pytest.raises(AuthError, match="is not the one pinned"):
        http.get("/")
    with (
        server.client(http=through(tunnel, ca_certificate=None)) as http,
        pytest.raises(AuthError, match="not trusted"),
    ):
        http.get("/")
    assert not server.asked


def test_a_proxy_when_it_refuses_is_told(server: WebServer, tunnel: Tunnel) -> None:
    tunnel.refuse = True
    with (
        server.client(http=through(tunnel)) as http,
        pytest.raises(AuthError, match="the proxy does not connect us .407") as met,
    ):
        http.get("/")
    assert "proxy-password" not in str(met.value)
    assert not server.asked


@pytest.mark.parametrize(
    "changes",
    [
        {"proxy_username": "u", "proxy_password": "${P}"},
        {"proxy_url": "http://proxy:3128", "proxy_username": "u"},
        {"proxy_url": "http://proxy:3128", "proxy_password": "${P}"},
        {"proxy_url": "http://user:secret@proxy:3128"},
        {"proxy_url": "socks5://proxy"},
    ],
)
def test_a_proxy_when_not_whole_or_with_a_secret_in_its_address_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        HttpConfig.model_validate({"base_url": "https://erp", **changes})
