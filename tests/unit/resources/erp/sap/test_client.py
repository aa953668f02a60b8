"""The SAP client over real TLS sockets against the SAP-like service, behaving and misbehaving."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import stamina

from resources.core.errors import AuthError, ConfigError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.core.process.home import gl_home
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig
from resources.transport.http.call_stats import read_stats
from resources.transport.text.json_text import parse_json
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

DAY = date(2026, 11, 20)
DOCUMENTS = 8 * 24


@pytest.fixture(autouse=True)
def _retries_without_waiting() -> Any:
    with stamina.set_testing(True, attempts=3):
        yield


def pull(config: SapConfig, day: date = DAY) -> tuple[list[dict[str, Any]], list[int | None]]:
    records: list[dict[str, Any]] = []
    counts = []
    with SapClient("sap", config) as client:
        for page in client.fetch_energy_consumption(day):
            records += map(parse_json, page.records)
            counts.append(page.server_count)
    return records, counts


def test_a_day_when_pulled_brings_every_document_once(sap: SapServer) -> None:
    records, counts = pull(sap.config())
    assert len(records) == len({r["MeasurementDocument"] for r in records}) == DOCUMENTS
    assert counts == [DOCUMENTS] * 4
    assert {r["MsmtRdngDate"] for r in records} == {"2026-11-20"}
    assert isinstance(records[0]["MeasurementReadingInEntryUoM"], Decimal)
    assert sap.control.seen[0] == (
        "$filter=MsmtRdngDate eq 2026-11-20&$select=MeasurementDocument,MeasuringPoint,MsmtRdngDate,MsmtRdngTime,"
        "Characteristic,CharcValueUnit,MeasurementReadingInEntryUoM,MeasurementReadingEntryUoM,"
        "MeasurementCounterReading,MsmtCounterReadingDifference,MsmtCntrReadingDiffIsEntered,MsmtValuationCode,"
        "MeasurementDocumentText,MsmtRdngStatus,MsmtRdngIsReversed&$orderby=MeasurementDocument&$count=true&sap-client=100"
        "&sap-language=EN"
    )


def test_next_links_when_absolute_on_the_same_origin_are_followed(sap: SapServer) -> None:
    sap.control.links = "absolute"
    assert len(pull(sap.config())[0]) == DOCUMENTS


def test_a_token_when_it_expires_in_the_middle_of_a_pull_is_renewed(sap: SapServer) -> None:
    with SapClient("sap", sap.config()) as client:
        pages = client.fetch_energy_consumption(DAY)
        records = next(pages).records
        sap.control.expire_tokens()
        for page in pages:
            records += map(parse_json, page.records)
        assert len(records) == DOCUMENTS
        assert client.token_requests == 2


def test_short_lived_tokens_when_80_percent_of_their_life_is_over_are_renewed(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority, login=SapLogin(token_lifetime_s=60.0)) as server:
        assert len(pull(server.config())[0]) == DOCUMENTS
        assert server.control.token_requests == 1


def test_a_wrong_secret_when_used_again_is_sent_once_only(sap: SapServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "not-the-secret")
    with SapClient("sap", sap.config()) as client:
        messages = []
        for _ in range(3):
            with pytest.raises(AuthError) as refused:
                list(client.fetch_energy_consumption(DAY))
            messages.append(str(refused.value))
        assert "invalid_client" in messages[0]
        assert "SAP_CLIENT_SECRET" not in messages[0]
        assert "not-the-secret" not in "".join(messages)
        assert sap.control.token_requests == 1
        monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
        assert sum(len(page.records) for page in client.fetch_energy_consumption(DAY)) == DOCUMENTS


def test_a_token_when_refused_twice_is_an_auth_error(sap: SapServer) -> None:
    sap.control.misbehave("unauthorized", times=2)
    with pytest.raises(AuthError, match="a new token is refused too"):
        pull(sap.config())
    assert sap.control.token_requests == 2


def test_a_secret_when_its_variable_is_unset_is_a_config_error(sap: SapServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET_VARIABLE)
    with pytest.raises(ConfigError, match=SECRET_VARIABLE):
        pull(sap.config())


@pytest.mark.parametrize("kind", ["throttle", "unavailable", "bad_gateway", "drop"])
def test_a_passing_fault_when_it_ends_in_time_costs_nothing(sap: SapServer, kind: str) -> None:
    sap.control.misbehave(kind, times=2, after=1)
    assert len(pull(sap.config())[0]) == DOCUMENTS
    assert sap.control.requests == 6


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("throttle", ThrottledError, "HTTP 429, the server says: 429 - told to answer throttle; it asks for a pause"),
        ("bad_gateway", UnreachableError, "the system behind the gateway does not answer"),
        ("server_error", ProtocolError, "HTTP 500"),
        ("forbidden", AuthError, "lacks the permission"),
        ("html_login", ProtocolError, "HTTP 200 with text/html; charset=utf-8 in place of JSON; it looks like a login"),
        ("redirect", ProtocolError, "sends us to another address"),
        ("truncated", ProtocolError, "may be cut off"),
        ("not_utf8", ProtocolError, "the answer is not UTF-8 at byte"),
        ("foreign_link", ProtocolError, "refused to follow a link to https://other-host.invalid/"),
        ("repeat_page", ProtocolError, "holds the records of the page before it again"),
        ("drop", UnreachableError, "the connection broke"),
        ("token_unavailable", ThrottledError, "/sap/bc/sec/oauth2/token: HTTP 503"),
        ("token_html", ProtocolError, "check auth.token_url"),
    ],
)
def test_a_lasting_fault_when_met_is_told_as_what_it_is(
    sap: SapServer, kind: str, error: type[SourceError], words: str
) -> None:
    sap.control.misbehave(kind, times=10)
    with pytest.raises(error) as met:
        pull(sap.config())
    assert words in str(met.value)
    assert str(met.value).startswith("sap: ")
    assert "$filter" not in str(met.value)
    assert met.value.source == "sap"
    assert sap.control.requests + sap.control.token_requests <= 4


def test_a_pause_when_longer_than_configured_is_not_waited_for(sap: SapServer) -> None:
    sap.control.misbehave("throttle", times=5, retry_after="3600")
    with pytest.raises(ThrottledError, match="a pause of 3600 s"):
        pull(sap.config())
    assert sap.control.requests == 1


def test_a_slow_system_when_past_the_timeout_is_unreachable(sap: SapServer) -> None:
    sap.control.misbehave("slow", times=3, seconds=5)
    with pytest.raises(UnreachableError, match=r"connected, but no (whole )?answer in time"):
        pull(sap.config(http={"timeout": "100ms"}))


def test_an_untrusted_certificate_when_shown_is_an_auth_error(sap: SapServer, tmp_path: Any) -> None:
    other = CertificateAuthority.create(tmp_path / "other")
    with pytest.raises(AuthError, match=r"certificate is not trusted .*http.ca_certificate"):
        pull(sap.config(http={"ca_certificate": str(other.certificate)}))
    assert sap.control.token_requests == 0


def test_no_server_when_asked_is_unreachable(sap: SapServer) -> None:
    config = sap.config()
    sap.stop()
    with pytest.raises(UnreachableError, match="cannot connect"):
        pull(config)


def test_a_wrong_sap_client_when_used_is_an_auth_error(sap: SapServer) -> None:
    with pytest.raises(AuthError, match="sap_client"):
        pull(sap.config(sap_client="200"))


def test_a_large_answer_when_above_the_limit_is_refused(sap: SapServer) -> None:
    with pytest.raises(ProtocolError, match=r"http.max_response_bytes"):
        pull(sap.config(http={"max_response_bytes": 2048}))


def test_documents_of_another_day_when_sent_are_refused(sap: SapServer) -> None:
    sap.control.misbehave("other_day")
    with pytest.raises(ProtocolError, match=r"page 1 holds records of 2026-11-19: the service ignores \$filter"):
        pull(sap.config())


def test_response_times_when_a_client_closes_are_in_the_file(sap: SapServer) -> None:
    pull(sap.config())
    sap.control.misbehave("server_error")
    with pytest.raises(ProtocolError):
        pull(sap.config())
    figures = read_stats(gl_home())["sap"]
    assert figures["calls"] == 5
    assert figures["errors"] == 1
    assert figures["last_error"] == "ProtocolError"
    assert figures["response_time_s"]["count"] == 4
    assert figures["response_time_s"]["p95"] > 0
    assert figures["token_expires_at"] is not None
