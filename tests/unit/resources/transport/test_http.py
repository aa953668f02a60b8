"""The HTTP client over real sockets: what it sends, what it takes for an answer, when it sends again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stamina

from resources.core.clock import SystemClock
from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.transport.http.answers import Media
from resources.transport.http.call_stats import CallStats, read_stats
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.transport.web_server import Answer, WebServer, serving, wait_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: CertificateAuthority) -> Iterator[WebServer]:
    with serving(authority) as served:
        yield served


@pytest.fixture
def plain() -> Iterator[WebServer]:
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


def test_a_read_when_answered_brings_the_bytes_as_they_came(server: WebServer) -> None:
    server.script = [Answer(b'{"a": 1.10}', headers=(("X-Told", "yes"),), packed=True)]
    with server.client(headers={"sap-client": "100"}) as http:
        answer = http.get("/path?x=%20y", headers={"Prefer": "odata.maxpagesize=5"})
    assert (answer.body, answer.headers["x-told"], answer.status) == (b'{"a": 1.10}', "yes", 200)
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("GET", "/path?x=%20y")
    assert asked.headers["sap-client"] == "100"
    assert asked.headers["prefer"] == "odata.maxpagesize=5"
    assert asked.headers["accept"] == "application/json"


def test_connections_when_pages_follow_each_other_are_reused_and_counted(server: WebServer, tmp_path: Path) -> None:
    stats = CallStats("erp", tmp_path)
    with server.client(stats=stats) as http:
        for number in range(25):
            http.get(f"/page{number}")
        assert http.figures() == {
            "requests": 25, "opened": 1, "active": 0, "idle": 1, "maximum": 50, "waited_s": 0.0
        }  # fmt: skip
        stats.flush()
        assert read_stats(tmp_path)["erp"]["pool"] == {"active": 0, "idle": 1, "maximum": 50}
    assert len(server.connections) == 1
    figures = read_stats(tmp_path)["erp"]
    assert (figures["requests"], figures["connections_opened"], figures["reuse"]) == (25, 1, 0.96)
    assert figures["pool"] == {"active": 0, "idle": 0, "maximum": 50}
    with server.client(stats=CallStats("erp", tmp_path)) as http:
        http.get("/once")
    figures = read_stats(tmp_path)["erp"]
    assert (figures["requests"], figures["connections_opened"], figures["calls"]) == (26, 2, 26)


def test_connections_when_many_threads_read_are_as_many_as_allowed_at_most(server: WebServer) -> None:
    with server.client(http={"max_connections": 3}) as http, ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda number: http.get(f"/{number}"), range(60)))
        assert http.figures()["opened"] <= 3
    assert len(server.connections) <= 3
    assert len(server.asked) == 60


def test_a_connection_when_idle_for_long_is_closed_though_nobody_asks_again(server: WebServer) -> None:
    with server.client(http={"idle_timeout": "50ms"}) as http:
        http.get("/")
        wait_for(SystemClock(), lambda: not server.open, server.closed)
        wait_for(SystemClock(), lambda: http.figures()["idle"] == 0, threading.Event())
        http.get("/")
    assert len(server.connections) == 2


def test_cookies_when_set_by_a_gateway_are_not_sent_back(server: WebServer) -> None:
    server.script = [Answer(headers=(("Set-Cookie", "ROUTE=a; Path=/"),))]
    with server.client() as http:
        http.get("/")
        http.get("/")
    assert "cookie" not in server.asked[1].headers


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        ("ü".encode(), "application/json", "ü"),
        ("ü".encode("latin-1"), "application/json; charset=ISO-8859-1", "ü"),
        ("ü".encode("cp1252"), 'application/json;odata=x; charset="windows-1252"', "ü"),
        ("x".encode("utf-16"), "application/json; charset=utf-16", "x"),
        (b"\xef\xbb\xbfx", "text/json; charset=latin-1", "x"),
        (b"\xef\xbb\xbf\xc3\xbc", "application/vnd.oracle.adf.resourcecollection+json", "ü"),
    ],
)
def test_text_when_in_another_charset_is_given_as_utf_8(plain: WebServer, body: bytes, kind: str, found: str) -> None:
    plain.script = [Answer(body, kind=kind)]
    with plain.client() as http:
        assert http.get("/").body.decode() == found


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(b"\xff", kind="application/json"), "is not UTF-8 at byte 0 of 1"),
        (Answer(b"\xff", kind="application/json; charset=klingon"), "'klingon', which nobody knows"),
        (Answer(b"<form>", kind="text/html; charset=utf-8"), "it looks like a login page"),
        (Answer(b"{}", kind=""), "HTTP 200 with no content type in place of JSON"),
        (Answer(b"{}", kind="text/plain"), "with text/plain in place of JSON; check http.base_url"),
        (Answer(b"x" * 2000), "larger than http.max_response_bytes (1,024)"),
        (Answer(b"x" * 2_000_000, packed=True), "larger than http.max_response_bytes (1,024)"),
        (Answer(b"{}", headers=(("Content-Encoding", "gzip"),)), "the answer's compression is damaged"),
        (Answer(b"", status=302, headers=(("Location", "https://login.invalid/"),)), "sends us to another address"),
        (Answer(b"{}", status=204), "HTTP 204"),
    ],
)
def test_an_answer_when_it_is_not_data_is_refused(plain: WebServer, answer: Answer, words: str) -> None:
    plain.answer = lambda _: answer
    with plain.client(http={"max_response_bytes": 1024}) as http, pytest.raises(ProtocolError) as met:
        http.get("/things?secret=1")
    assert words in str(met.value)
    assert "erp: GET http://127.0.0.1:" in str(met.value)
    assert "secret" not in str(met.value)
    assert len(plain.asked) == 1


@pytest.mark.parametrize(
    ("media", "kind", "taken"),
    [
        (Media.XML, "application/xml", True),
        (Media.XML, "text/xml; charset=utf-8", True),
        (Media.XML, "application/soap+xml", True),
        (Media.XML, "application/json", False),
        (Media.CSV, "text/csv", True),
        (Media.CSV, "text/html", False),
        (Media.MULTIPART, "multipart/mixed; boundary=x", True),
        (Media.ANY, "text/html", True),
    ],
)
def test_a_kind_of_answer_when_wanted_is_the_only_one_taken(
    plain: WebServer, media: Media, kind: str, taken: bool
) -> None:
    plain.answer = lambda _: Answer(b"<x/>", kind=kind)
    with plain.client() as http:
        if taken:
            assert http.get("/", media=media).body == b"<x/>"
        else:
            with pytest.raises(ProtocolError):
                http.get("/", media=media)
    assert plain.asked[0].headers["accept"] == media.accept


@pytest.mark.parametrize(
    "link",
    ["https://evil.invalid/x", "//evil.invalid/x", "http://user@127.0.0.1/x", "http://[bad", "ftp://127.0.0.1/"],
)
def test_a_link_when_to_another_origin_is_not_followed(plain: WebServer, link: str) -> None:
    with plain.client() as http, pytest.raises(ProtocolError, match="refused to follow a link"):
        http.get(link)
    assert not plain.asked


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([Answer(status=503), Answer(status=429, headers=(("Retry-After", "1"),)), Answer()], 3),
        ([Answer(status=502, kind="text/html"), Answer(status=504), Answer()], 3),
        ([Answer(hang_up=True), Answer()], 2),
    ],
)
def test_a_read_when_a_fault_passes_is_tried_again(plain: WebServer, answers: list[Answer], asked: int) -> None:
    plain.script = answers
    with plain.client() as http:
        assert http.get("/").status == 200
        assert http.post("/", b"query", safe=True).status == 200
    assert len(plain.asked) == asked + 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=503), ThrottledError),
        (Answer(status=502), UnreachableError),
        (Answer(status=500), ProtocolError),
        (Answer(hang_up=True), UnreachableError),
    ],
)
def test_a_post_when_it_may_have_been_carried_out_is_not_sent_again(
    plain: WebServer, answer: Answer, error: type[SourceError]
) -> None:
    plain.answer = lambda _: answer
    with plain.client() as http, pytest.raises(error):
        http.post("/", b"{}", headers={"Content-Type": "application/json"})
    assert len(plain.asked) == 1


def test_a_post_when_it_cannot_have_been_carried_out_is_sent_again(plain: WebServer) -> None:
    plain.script = [Answer(status=429), Answer(b'{"id": 1}', status=201), Answer(b"", status=204, kind="")]
    with plain.client() as http:
        answer = http.post("/", b'{"a": 1}', headers={"Content-Type": "application/json"})
        assert (answer.status, answer.body) == (201, b'{"id": 1}')
        assert http.post("/", b"").status == 204
    assert [request.body for request in plain.asked] == [b'{"a": 1}', b'{"a": 1}', b""]


def test_an_error_answer_when_the_protocol_uses_it_is_given_to_the_caller(plain: WebServer) -> None:
    plain.answer = lambda _: Answer(b"<Fault/>", status=500, kind="text/xml")
    with plain.client() as http:
        assert http.post("/", b"", media=Media.XML, taken=frozenset({500})).status == 500
        with pytest.raises(ProtocolError, match="HTTP 500"):
            http.post("/", b"", media=Media.JSON, taken=frozenset({500}))


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_when_it_only_drips_is_not_waited_for_without_end(plain: WebServer, status: int) -> None:
    plain.answer = lambda _: Answer(b" ", status, dripping=True)
    told = "the answer was not whole in time; raise http.answer_timeout"
    with (
        stamina.set_testing(True, attempts=1),
        plain.client(http={"answer_timeout": "100ms"}) as http,
        pytest.raises(UnreachableError, match=told),
    ):
        http.get("/")


def test_a_system_when_nobody_is_there_is_unreachable_and_a_post_may_be_repeated(
    plain: WebServer, tmp_path: Path
) -> None:
    stats = CallStats("erp", tmp_path)
    away = plain.client(http={"base_url": "http://127.0.0.1:1"}, stats=stats)
    with away as http, pytest.raises(UnreachableError, match="cannot connect"):
        http.post("/", b"{}")
    assert read_stats(tmp_path)["erp"]["errors"] == 3


def test_a_pause_when_longer_than_is_waited_for_holds_every_request_of_the_endpoint(
    plain: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamina, "is_testing", lambda: False)
    plain.script = [Answer(status=429, headers=(("Retry-After", "600"),))]
    with plain.client() as http:
        with pytest.raises(ThrottledError, match=r"asks for a pause of 600 s"):
            http.get("/api/one")
        with pytest.raises(ThrottledError, match=r"asked for a pause that ends in (600|599) s"):
            http.get("/api/two")
        assert http.get("/other").status == 200
    assert [request.path for request in plain.asked] == ["/api/one", "/other"]


def test_json_when_small_is_parsed_with_every_digit(plain: WebServer) -> None:
    plain.script = [Answer(b'{"a": 1.10}'), Answer(b'{"a": ')]
    with plain.client() as http:
        assert str(http.get_json("/").content["a"]) == "1.10"
        with pytest.raises(ProtocolError, match="erp: GET http://127.0.0.1:.*it may be cut off"):
            http.get_json("/")


def test_tls_when_older_than_allowed_is_refused_and_when_allowed_is_used(authority: CertificateAuthority) -> None:
    with serving(authority, tls_1_2_only=True) as server:
        with server.client() as http, pytest.raises(ProtocolError, match="TLS 1.3 is the minimum"):
            http.get("/")
        with server.client(http={"allow_tls_1_2": True}) as http:
            assert http.get("/").status == 200


def test_an_environment_when_it_names_proxies_and_logins_changes_nothing(
    plain: WebServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with plain.client() as http:
        http.get("/")
    assert "authorization" not in plain.asked[0].headers


def test_a_proxy_when_configured_is_used_with_its_login(plain: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", "p")
    login = {"proxy_username": "u", "proxy_password": "${PROXY_PASSWORD}"}
    target = {"base_url": "http://erp.invalid:8000"}
    with plain.client(http={**target, **login, "proxy_url": plain.url}) as http:
        http.get("/x")
    assert plain.asked[0].path == "http://erp.invalid:8000/x"
    assert plain.asked[0].headers["proxy-authorization"] == "Basic dTpw"
    away = plain.client(http={**target, "proxy_url": "http://127.0.0.1:1"})
    with away as http, pytest.raises(UnreachableError, match="cannot connect"):
        http.get("/x")


def test_a_client_certificate_when_the_server_asks_for_one_is_the_log_on(authority: CertificateAuthority) -> None:
    from resources.transport.auth.config import MutualTlsConfig

    issued = authority.issue("GL platform")
    auth = MutualTlsConfig(type="mutual_tls", client_certificate=issued.certificate, client_key=issued.key)
    with serving(authority, client_certificates=True) as server:
        with server.client(auth=auth) as http:
            assert http.get("/").status == 200
        with server.client() as http, pytest.raises((ProtocolError, UnreachableError, AuthError)):
            http.get("/")
    assert len(server.asked) == 1
    assert server.asked[0].certificate is not None
