"""The ways of logging on to SAP, and a system behind a gateway with a path of its own."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from resources.core.errors import AuthError, SourceError
from resources.demo_plant.erp.sap.login import SapLogin, Way
from resources.demo_plant.erp.sap.service import TOKEN_PATH
from resources.erp.connector import Day
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SapServer, sap_server

DAY = date(2026, 11, 18)
LOGIN = SapLogin()


def count(config: SapConfig) -> int:
    with SapClient("sap", config) as client:
        return sum(len(page.records) for page in client.fetch("energy_consumption", Day(DAY)))


def configured(server: SapServer, auth: dict[str, Any]) -> SapConfig:
    settings = server.settings(http={"rate_limit_per_minute": None})
    del settings["oauth"]
    return SapConfig.model_validate({**settings, "auth": auth})


@pytest.mark.parametrize(
    ("way", "auth", "secret"),
    [
        ("basic", {"type": "basic", "username": LOGIN.user, "password": "${SAP_PASSWORD}"}, LOGIN.password),
        ("api_key", {"type": "api_key", "key": "${SAP_PASSWORD}", "header": "APIKey"}, LOGIN.api_key),
    ],
)
def test_a_secret_in_every_request_when_right_lets_in_and_when_wrong_is_sent_once(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, way: Way, auth: dict[str, Any], secret: str
) -> None:
    with sap_server(authority, login=SapLogin(ways=frozenset({way}))) as server:
        monkeypatch.setenv("SAP_PASSWORD", secret)
        assert count(configured(server, auth)) == 192
        monkeypatch.setenv("SAP_PASSWORD", "not-the-password")
        before = server.control.requests
        with SapClient("sap", configured(server, auth)) as client:
            for _ in range(2):
                with pytest.raises(AuthError) as refused:
                    list(client.fetch("energy_consumption", Day(DAY)))
                assert "not-the-password" not in str(refused.value)
        assert server.control.requests - before == 1


def assertion(*, issuer: str = LOGIN.saml_issuer, life: timedelta = timedelta(minutes=5)) -> str:
    until = (datetime.now(UTC) + life).isoformat()
    return (
        '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">'
        f"<saml:Issuer>{issuer}</saml:Issuer><saml:Conditions NotOnOrAfter='{until}'/></saml:Assertion>"
    )


def test_a_saml_assertion_when_valid_lets_in_and_when_not_is_told(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sap_server(authority) as server:
        auth = {
            "type": "saml_bearer",
            "token_url": f"https://127.0.0.1:{server.port}{TOKEN_PATH}?sap-client=100",
            "client_id": LOGIN.client_id,
            "client_secret": "${SAP_CLIENT_SECRET}",
            "scope": LOGIN.scope,
            "assertion": "${SAP_ASSERTION}",
        }
        monkeypatch.setenv("SAP_CLIENT_SECRET", LOGIN.client_secret)
        monkeypatch.setenv("SAP_ASSERTION", base64.urlsafe_b64encode(assertion().encode()).decode())
        assert count(configured(server, auth)) == 192
        for wrong in (assertion(issuer="somebody"), assertion(life=timedelta(minutes=-1))):
            monkeypatch.setenv("SAP_ASSERTION", wrong)
            server.control.expire_tokens()
            with pytest.raises(AuthError, match="invalid_grant"):
                count(configured(server, auth))


def test_a_client_certificate_when_shown_lets_in_and_when_missing_does_not(authority: CertificateAuthority) -> None:
    issued = authority.issue("gl-platform")
    with sap_server(authority, login=SapLogin(ways=frozenset({"x509"})), demand_certificate=True) as server:
        auth = {
            "type": "mutual_tls",
            "client_certificate": str(issued.certificate),
            "client_key": str(issued.key),
        }
        assert count(configured(server, auth)) == 192
        without = configured(server, {"type": "api_key", "key": "${PATH}"})
        with pytest.raises(SourceError, match="sap: "):
            count(without)


def test_services_when_below_a_path_of_a_gateway_are_found_there(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAP_PASSWORD", LOGIN.api_key)
    with sap_server(authority, login=SapLogin(ways=frozenset({"api_key"})), base_path="/s4hanacloud") as server:
        settings = server.settings(http={"rate_limit_per_minute": None})
        del settings["oauth"]
        settings["http"]["base_url"] += "/s4hanacloud"
        settings["auth"] = {"type": "api_key", "key": "${SAP_PASSWORD}"}
        settings["datasets"] = ["energy_consumption", "production_schedule"]
        config = SapConfig.model_validate(settings)
        assert count(config) == 192
        with SapClient("sap", config) as client:
            assert {finding.level for finding in client.look()} == {"ok"}
            assert set(client.describe().properties) == {"energy_consumption", "production_schedule"}
