"""The small parts of the transport: foreign words, pauses, JSON, TLS, origins, figures, configuration."""

from __future__ import annotations

import json
import multiprocessing
import ssl
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resources.core.clock import ManualClock
from resources.core.errors import AuthError, ConfigError, DataError, ProtocolError, UnreachableError
from resources.erp.sap.config import SapConfig
from resources.transport.connections.config import HttpConfig
from resources.transport.connections.errors import NoAnswerError, SlowAnswerError, connection_error
from resources.transport.http.call_stats import CallStats, read_stats, stats_path
from resources.transport.http.client import HttpClient
from resources.transport.origins import same_origin
from resources.transport.text.foreign_text import foreign_text
from resources.transport.text.json_text import dump_json, parse_json
from resources.transport.text.server_words import server_words
from resources.transport.trust.certificates import CertificateAuthority
from resources.transport.trust.tls import client_context
from resources.transport.turns.retry_after import retry_after_s

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@given(st.text())
def test_foreign_text_when_shown_is_one_printable_line(text: str) -> None:
    shown = foreign_text(text, limit=80)
    assert len(shown) <= 80
    assert shown.isprintable()
    assert not set(shown) & set("<>`")


def test_foreign_text_when_it_repeats_a_secret_hides_it() -> None:
    assert foreign_text("bad secret s3cr3t!\x1b[31m", secrets=("s3cr3t!",)) == "bad secret ***\\x1b[31m"


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 10:00:30 -0000", 30.0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("99999999999999", None),
    ],
)
def test_a_pause_when_asked_for_is_understood_in_both_forms(header: str | None, pause: float | None) -> None:
    assert retry_after_s(header, NOW) == pause


def test_json_when_read_and_written_keeps_every_digit() -> None:
    text = b'{"a":1.10,"b":12345678901234567890123,"c":[1,-2,1E+2,true,null],"d":"\xc3\xbc"}'
    assert dump_json(parse_json(text)) == text
    assert parse_json(b"\xef\xbb\xbf[1.5]") == [Decimal("1.5")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": ', "may be cut off"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "Infinity"),
        (b"[" * 200_000, "nested too deep"),
        (b"", "not JSON"),
    ],
)
def test_json_when_damaged_says_how(body: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_json(body)


@pytest.mark.parametrize("value", ["\ud800", {1, 2}])
def test_a_value_when_json_cannot_hold_it_is_a_data_error(value: Any) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        dump_json(value)


def test_a_context_when_made_verifies_and_starts_at_tls_1_3(authority: CertificateAuthority) -> None:
    context = client_context(ca_certificate=authority.certificate)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    older = client_context(allow_tls_1_2=True)
    assert older.minimum_version == ssl.TLSVersion.TLSv1_2
    assert all(c["name"].startswith(("TLS_", "ECDHE-")) for c in older.get_ciphers())


def test_a_context_when_given_a_client_certificate_uses_it(authority: CertificateAuthority, tmp_path: Path) -> None:
    issued = authority.issue("client")
    client_context(client_certificate=issued.certificate, client_key=issued.key)
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        client_context(client_certificate=tmp_path / "nowhere.pem")


@pytest.mark.parametrize("content", [None, b"no PEM"])
def test_a_ca_when_unusable_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        client_context(ca_certificate=path)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h/a", "https://h:443/b", True),
        ("https://H/a", "https://h/b", True),
        ("http://h/a", "https://h/a", False),
        ("https://h:444/a", "https://h/a", False),
        ("https://h.evil/a", "https://h/a", False),
        ("https://h@evil/a", "https://evil/a", False),
        ("https://evil\\@h/a", "https://h/a", False),
        ("https://h:bad/a", "https://h/a", False),
        ("file:///etc", "file:///etc", False),
    ],
)
def test_origins_when_compared_are_the_same_by_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(one, other) is same


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"error": {"code": "/IWBEP/1", "message": "no such"}}, "json", "/IWBEP/1 - no such"),
        ({"error": {"code": "1", "message": {"lang": "en", "value": "V2"}}}, "json", "1 - V2"),
        ({"error": {"message": "m", "details": [{"message": "d"}, 7]}}, "json", "m - d"),
        ({"error": "invalid_client", "error_description": "locked"}, "json", "invalid_client - locked"),
        ({"title": "t", "detail": "d"}, "json", "t - d"),
        ([1], "json", ""),
        ({}, "html", "(a page of HTML)"),
        ({}, "text/plain", "{}"),
        ({}, "octet", ""),
    ],
)
def test_a_servers_words_when_of_a_known_shape_are_found(body: Any, kind: str, words: str) -> None:
    assert server_words(json.dumps(body).encode(), kind) == words


def test_a_servers_words_when_cut_off_say_so() -> None:
    assert "ends in the middle" in server_words(b'{"error', "application/json")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (httpx.ConnectTimeout(""), UnreachableError, "no connection in time"),
        (httpx.WriteTimeout(""), UnreachableError, "could not be sent in time"),
        (httpx.PoolTimeout(""), UnreachableError, "no free connection"),
        (httpx.UnsupportedProtocol(""), ProtocolError, "not an http"),
        (httpx.ReadTimeout(""), NoAnswerError, "no answer in time"),
        (SlowAnswerError(""), NoAnswerError, "was not whole in time"),
        (httpx.ConnectError(""), UnreachableError, "cannot connect"),
        (httpx.ReadError(""), NoAnswerError, "the connection broke (ReadError)"),
    ],
)
def test_a_transport_error_when_met_is_told_apart(error: Any, kind: type[Exception], words: str) -> None:
    told = connection_error(error, source="sap", asking="sap: GET https://h/a")
    assert type(told) is kind
    assert words in str(told)


def test_a_failed_handshake_when_met_names_the_remedy() -> None:
    error = httpx.ConnectError("x")
    error.__cause__ = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] alert")
    told = connection_error(error, source="sap", asking="sap: GET https://h/a")
    assert isinstance(told, ProtocolError)
    assert "http.allow_tls_1_2" in str(told)
    assert not isinstance(told, AuthError)


def test_figures_when_written_by_two_clients_add_up(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    one, other = CallStats("sap", tmp_path, clock=clock), CallStats("sap", tmp_path, clock=clock)
    one.answered(0.1)
    other.answered(0.3)
    other.failed("ThrottledError")
    other.token_until(NOW + timedelta(hours=1))
    other.token_until(None)
    one.flush()
    clock.advance(2)
    other.answered(0.2)
    figures = read_stats(tmp_path)["sap"]
    assert figures["calls"] == 4
    assert figures["errors"] == 1
    assert figures["response_time_s"] == {"count": 3, "sum": pytest.approx(0.6), "p95": 0.3}
    assert figures["last_ok_at"] == (NOW + timedelta(seconds=2)).isoformat()
    assert figures["last_error_at"] == NOW.isoformat()
    one.flush()
    assert read_stats(tmp_path)["sap"] == figures


def _write_many(home: Path, system: str) -> None:
    stats = CallStats(system, home)
    for _ in range(50):
        stats.answered(0.01)
        stats.flush()


def test_figures_when_processes_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(tmp_path, name)) for name in ("a", "a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert {name: f["calls"] for name, f in read_stats(tmp_path).items()} == {"a": 100, "b": 50}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "systems": {}}', '{"version": 1, "systems": []}'])
def test_figures_when_damaged_are_as_none(tmp_path: Path, text: str) -> None:
    stats_path(tmp_path).parent.mkdir(parents=True)
    stats_path(tmp_path).write_text(text)
    assert read_stats(tmp_path) == {}


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "sap",
        "http": {"base_url": "https://h", **changes.pop("http", {})},
        "oauth": {"token_url": "https://h/t", "client_id": "c", "client_secret": "${S}", **changes.pop("oauth", {})},
        "company": "1000",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"http": {"base_url": "http://h"}}, "insecure_plain_http"),
        ({"oauth": {"token_url": "http://h/t"}}, "would travel readable"),
        ({"oauth": {"client_secret": "literal"}}, "ENVIRONMENT_VARIABLE"),
        ({"time_zone": "Mars/Olympus"}, "unknown time zone"),
        ({"service_root": "no-slash"}, "service_root"),
        ({"unit_codes": {"X": "furlong!"}}, "unknown unit"),
    ],
)
def test_a_sap_block_when_unsafe_or_wrong_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as met:
        SapConfig.model_validate(settings(**changes))
    assert words in str(met.value)


def test_a_sap_block_when_dumped_is_the_same_and_holds_no_secret() -> None:
    config = SapConfig.model_validate(settings(overlap="36h", http={"timeout": "500ms"}))
    dumped = config.model_dump(mode="json")
    assert SapConfig.model_validate(dumped) == config
    assert dumped["auth"]["client_secret"] == "${S}"
    assert dumped["http"]["timeout"] == "0.5s"


def test_a_server_when_it_speaks_tls_1_2_only_is_refused_unless_allowed(authority: CertificateAuthority) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    issued = authority.issue("old")
    old.load_cert_chain(issued.certificate, issued.key)
    server = HTTPServer(("127.0.0.1", 0), _Json)
    server.socket = old.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    base = {
        "base_url": f"https://127.0.0.1:{server.server_port}",
        "ca_certificate": str(authority.certificate),
        "attempts": 1,
    }
    try:
        with HttpClient("old", HttpConfig.model_validate(base)) as client, pytest.raises(ProtocolError) as met:
            client.get_json("/x")
        assert "no TLS session" in str(met.value)
        assert "http.allow_tls_1_2" in str(met.value)
        with HttpClient("old", HttpConfig.model_validate({**base, "allow_tls_1_2": True})) as client:
            assert client.get_json("/x").content == {"a": Decimal("1.0")}
            assert client.token_requests == 0
            with pytest.raises(ProtocolError, match="compression is damaged"):
                client.get_json("/gzip")
            with pytest.raises(ProtocolError, match="no content type in place of JSON; check"):
                client.get_json("/untyped")
            with pytest.raises(ProtocolError, match="refused to follow a link to"):
                client.get_json("//[bad")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Json(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        if self.path != "/untyped":
            self.send_header("Content-Type", "application/json")
        if self.path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(b'{"a": 1.0}')

    def log_message(self, *args: Any) -> None:
        pass
