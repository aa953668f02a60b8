"""Tokens: when they are renewed, by whom, and what is said when they are refused. Real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.transport.auth.config import OAuthConfig
from resources.transport.auth.oauth import TokenSource
from resources.transport.connections.config import HttpConfig
from resources.transport.trust.certificates import CertificateAuthority
from resources.transport.trust.tls import client_context
from tests.unit.resources.transport.test_parts import NOW
from tests.unit.resources.transport.web_server import serving

SECRET = "a-secret-of-the-test"
JSON = "application/json"
HTTP = HttpConfig(base_url="http://127.0.0.1:1", insecure_plain_http=True, timeout="5s")


class Endpoint:
    """A token endpoint that answers as told."""

    def __init__(self) -> None:
        self.status, self.kind, self.body = 200, JSON, '{"access_token": "t%d", "expires_in": 60}'
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                endpoint.requests.append((self.headers.get("Authorization", ""), body))
                text = endpoint.body.replace("%d", str(len(endpoint.requests))).encode()
                self.send_response(endpoint.status)
                for name, value in {"Content-Type": endpoint.kind, **endpoint.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/token"


@contextmanager
def running(endpoint: Endpoint) -> Iterator[Endpoint]:
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.server.shutdown()
        endpoint.server.server_close()
        thread.join()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("TEST_SECRET", SECRET)
    with running(Endpoint()) as served:
        yield served


def tokens(endpoint: Endpoint, clock: ManualClock | None = None, **changes: Any) -> TokenSource:
    config = OAuthConfig.model_validate(
        {"token_url": endpoint.url, "client_id": "gl", "client_secret": "${TEST_SECRET}", **changes}
    )
    return TokenSource("sap", config, HTTP, tls=client_context(), clock=clock or ManualClock(NOW))


@pytest.mark.parametrize(("life", "kept", "renewed"), [(60, 47, 49), (3600, 3299, 3301), (1500, 1199, 1201)])
def test_a_token_when_20_percent_or_300_s_are_left_is_renewed(
    endpoint: Endpoint, life: int, kept: float, renewed: float
) -> None:
    endpoint.body = f'{{"access_token": "t%d", "expires_in": {life}}}'
    clock = ManualClock(NOW)
    source = tokens(endpoint, clock)
    assert source.expires_at is None
    assert source.token() == "t1"
    clock.advance(kept)
    assert source.token() == "t1"
    clock.advance(renewed - kept)
    assert source.token() == "t2"
    assert SECRET not in repr(source._token)


def test_threads_when_they_ask_at_once_make_one_request(endpoint: Endpoint) -> None:
    source, found = tokens(endpoint), []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(source.token())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["t1"] * 8
    # threads that were refused with the same token renew it once
    assert {source.token(instead_of="t1"), source.token(instead_of="t1")} == {"t2"}
    assert len(endpoint.requests) == 2


def test_the_client_when_it_proves_itself_does_as_configured(endpoint: Endpoint) -> None:
    tokens(endpoint, scope="A B").token()
    tokens(endpoint, client_auth="client_secret_post").token()
    (basic, first), (none, second) = endpoint.requests
    assert basic.startswith("Basic ")
    assert "scope=A+B" in first
    assert SECRET not in first
    assert none == ""
    assert f"client_secret={SECRET}" in second


def test_a_life_when_not_stated_is_assumed(endpoint: Endpoint) -> None:
    endpoint.body = '{"access_token": "t%d", "expires_in": null}'
    clock = ManualClock(NOW)
    source = tokens(endpoint, clock)
    source.token()
    clock.advance(3000)
    assert source.token() == "t1"


@pytest.mark.parametrize(
    ("status", "kind", "body", "error", "words"),
    [
        (401, JSON, f'{{"error": "invalid_client", "error_description": "no {SECRET}"}}', AuthError, "no ***"),
        (400, JSON, '{"error": "invalid_scope"}', AuthError, "invalid_scope"),
        (401, "text/html", f"<h1>{SECRET}</h1>", AuthError, "client gl refused: ‹h1›***"),
        (429, JSON, "{}", ThrottledError, "HTTP 429"),
        (503, "text/html", "", ThrottledError, "HTTP 503"),
        (504, "text/html", "", UnreachableError, "behind the gateway"),
        (500, JSON, "{}", ProtocolError, "HTTP 500"),
        (200, "text/html", "<form>", ProtocolError, "is it a login page?"),
        (200, JSON, "[]", ProtocolError, "not a JSON object"),
        (200, JSON, "{", ProtocolError, "not a JSON object"),
        (200, JSON, '{"access_token": "x", "expires_in": "soon"}', ProtocolError, "its life in whole seconds"),
        (200, JSON, "{}", ProtocolError, "holds no bearer token"),
        (200, JSON, '{"access_token": "x", "token_type": "mac"}', ProtocolError, "holds no bearer token"),
    ],
)
def test_an_endpoint_when_it_gives_no_token_is_told_as_what_it_is(
    endpoint: Endpoint, status: int, kind: str, body: str, error: type[SourceError], words: str
) -> None:
    endpoint.status, endpoint.kind, endpoint.body = status, kind, body
    with pytest.raises(error) as met:
        tokens(endpoint).token()
    assert words in str(met.value)
    assert SECRET not in str(met.value)
    assert met.value.source == "sap"


def test_a_pause_when_the_endpoint_asks_for_one_is_kept(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 429, {"Retry-After": "9"}
    with pytest.raises(ThrottledError) as met:
        tokens(endpoint).token()
    assert met.value.retry_after_s == 9.0


def test_an_endpoint_when_it_is_away_is_unreachable(endpoint: Endpoint) -> None:
    config = OAuthConfig.model_validate(
        {"token_url": "http://127.0.0.1:1/token", "client_id": "gl", "client_secret": "${TEST_SECRET}"}
    )
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:1/token: cannot connect"):
        TokenSource("sap", config, HTTP, tls=client_context()).token()


@pytest.mark.parametrize(
    ("status", "kind", "body", "requests"),
    [
        (401, JSON, '{"error": "invalid_client"}', 1),
        (400, JSON, '{"error": "invalid_grant"}', 1),
        (401, "text/html", "<h1>no</h1>", 1),
        (400, JSON, '{"error": "invalid_scope"}', 2),
        (403, "text/html", "<h1>blocked</h1>", 2),
    ],
)
def test_a_secret_when_refused_is_sent_once_and_when_not_looked_at_again(
    endpoint: Endpoint, status: int, kind: str, body: str, requests: int
) -> None:
    endpoint.status, endpoint.kind, endpoint.body = status, kind, body
    source = tokens(endpoint)
    for _ in range(2):
        with pytest.raises(AuthError) as met:
            source.token()
        assert type(met.value) is AuthError
    assert len(endpoint.requests) == requests


def test_an_endpoint_when_not_trusted_was_not_sent_the_secret(endpoint: Endpoint, tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path)
    with serving(authority) as server:
        config = OAuthConfig.model_validate(
            {"token_url": server.url, "client_id": "gl", "client_secret": "${TEST_SECRET}"}
        )
        source = TokenSource("sap", config, HTTP, tls=client_context(), refused=tmp_path / "refused")
        for _ in range(2):
            with pytest.raises(AuthError, match="is not trusted"):
                source.token()
    assert not (tmp_path / "refused").exists()
