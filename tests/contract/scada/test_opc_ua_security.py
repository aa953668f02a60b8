"""Whom the OPC UA connector trusts, and how it logs in, against a real server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from resources.core.errors import AuthError, ConfigError
from resources.scada.tls import load_certificates
from resources.transport.trust.certificates import CertificateAuthority, IssuedCertificate
from resources.transport.trust.pinning import fingerprint
from tests.contract.scada.complete_opc_ua_rig import ready
from tests.contract.scada.complete_opc_ua_server import CompleteServer
from tests.contract.scada.recorder import running


def security(client_pair: IssuedCertificate, **trust: Any) -> dict[str, Any]:
    return {
        "insecure_no_security": False,
        "client_certificate": client_pair.certificate,
        "client_key": client_pair.key,
    } | trust


def server_certificate(authority: CertificateAuthority) -> Path:
    return authority.folder / "complete-server.pem"


async def connects(server: CompleteServer, **settings: Any) -> str:
    """Return what the connection says of its security."""
    client, recorder = ready(server.port, "a", **settings)
    async with running(client, recorder):
        return str(recorder.facts[0]["security"])


async def refused(server: CompleteServer, **settings: Any) -> str:
    client, recorder = ready(server.port, "a", **settings)
    with pytest.raises((AuthError, ConfigError)) as caught:
        await asyncio.wait_for(client.run(recorder.emit, recorder), 60)
    return str(caught.value)


async def test_run_when_a_certificate_is_unknown_then_it_is_kept_for_a_person_who_may_move_it_to_trusted(
    complete_server: CompleteServer, authority: CertificateAuthority, client_pair: IssuedCertificate, tmp_path: Path
) -> None:
    store = tmp_path / "trust"
    await complete_server.add("a")
    settings = security(client_pair, trust_store=store)
    message = await refused(complete_server, **settings)
    (rejected,) = (store / "rejected").iterdir()
    (certificate,) = load_certificates("rig", "x", server_certificate(authority))
    assert str(rejected) in message
    assert fingerprint(certificate) in message
    assert f"move the file to {store / 'trusted'}" in message
    assert await refused(complete_server, **settings)
    assert len(list((store / "rejected").iterdir())) == 1
    rejected.rename(store / "trusted" / rejected.name)
    assert await connects(complete_server, **settings) == "Basic256Sha256 SignAndEncrypt, anonymous"


async def test_run_when_the_ca_is_in_the_trust_store_then_its_server_is_trusted(
    complete_server: CompleteServer, authority: CertificateAuthority, client_pair: IssuedCertificate, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "ca.pem").write_bytes(authority.certificate.read_bytes())
    settings = security(client_pair, trust_store=tmp_path)
    assert await connects(complete_server, **settings)
    wrong = await refused(complete_server, **settings, server_application_uri="urn:another:server")
    assert "shows a certificate for urn:gl:test:server, but server_application_uri is urn:another:server" in wrong


async def test_run_when_the_fingerprint_is_pinned_then_only_that_certificate_is_accepted(
    complete_server: CompleteServer, authority: CertificateAuthority, client_pair: IssuedCertificate
) -> None:
    (certificate,) = load_certificates("rig", "x", server_certificate(authority))
    pin = fingerprint(certificate)
    assert await connects(complete_server, **security(client_pair, pinned_sha256=[pin]))
    message = await refused(
        complete_server,
        **security(client_pair, pinned_sha256=["ab" * 32], server_certificate=client_pair.authority),
    )
    assert f"fingerprint is {pin}, which pinned_sha256 does not name" in message


async def test_run_when_the_first_certificate_is_to_be_trusted_then_a_second_one_is_not(
    complete_server: CompleteServer, client_pair: IssuedCertificate, authority: CertificateAuthority, tmp_path: Path
) -> None:
    settings = security(client_pair, trust_store=tmp_path, insecure_trust_on_first_use=True)
    with capture_logs() as logs:
        assert await connects(complete_server, **settings)
    assert [entry["event"] for entry in logs].count("server_trusted_on_first_use") == 1
    (trusted,) = (tmp_path / "trusted").iterdir()
    assert trusted.name.startswith("rig.first-use.")
    assert await connects(complete_server, **settings)
    other = authority.issue("somebody-else", application_uri="urn:x")
    trusted.write_bytes(other.certificate.read_bytes())
    assert "is not trusted by trust_store" in await refused(complete_server, **settings)


@pytest.mark.parametrize("secure", [True, False], ids=["Basic256Sha256", "without security"])
async def test_run_when_the_user_logs_in_by_certificate_then_the_server_knows_whom_it_has(
    complete_server: CompleteServer, authority: CertificateAuthority, client_pair: IssuedCertificate, secure: bool
) -> None:
    await complete_server.add("a")
    user = authority.issue("operator", rsa_key=True)
    login = {"user_certificate": user.certificate, "user_key": user.key}
    settings = security(client_pair, server_certificate=client_pair.authority) if secure else {}
    assert (await connects(complete_server, **settings, **login)).endswith(", user certificate operator.pem")
    assert complete_server.users.came[-1] == "CN=operator"


async def test_run_when_a_login_is_refused_then_auth_error_names_the_setting(
    complete_server: CompleteServer,
    authority: CertificateAuthority,
    client_pair: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRANGER_PASSWORD", "secret")
    settings = security(client_pair, server_certificate=client_pair.authority)
    by_name = await refused(complete_server, **settings, username="stranger", password="${STRANGER_PASSWORD}")
    assert "user name or password refused: check username" in by_name
    user = authority.issue("stranger", rsa_key=True)
    by_certificate = await refused(complete_server, **settings, user_certificate=user.certificate, user_key=user.key)
    assert "user certificate refused: have the server's administrator allow user_certificate" in by_certificate


async def test_run_when_the_users_key_is_no_rsa_key_then_config_error(
    complete_server: CompleteServer, authority: CertificateAuthority, tmp_path: Path
) -> None:
    user = authority.issue("elliptic")
    message = await refused(complete_server, user_certificate=user.certificate, user_key=user.key)
    assert "user_key" in message
    assert "cannot be used (it is not RSA)" in message
    rubbish = tmp_path / "rubbish.key"
    rubbish.write_text("-----BEGIN RUBBISH-----")
    assert "cannot be used" in await refused(complete_server, user_certificate=user.certificate, user_key=rubbish)


async def test_run_when_a_password_would_go_in_the_open_then_the_security_log_says_so(
    complete_server: CompleteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READER_PASSWORD", "secret")
    await complete_server.add("a")
    policies = [endpoint for endpoint in complete_server.server.iserver.endpoints if endpoint.SecurityMode == 1]
    for endpoint in policies:
        for token in endpoint.UserIdentityTokens:
            monkeypatch.setattr(token, "SecurityPolicyUri", "http://opcfoundation.org/UA/SecurityPolicy#None")
    with capture_logs() as logs:
        assert await connects(complete_server, username="reader", password="${READER_PASSWORD}")
    assert [entry["event"] for entry in logs].count("password_sent_unencrypted") == 1
    assert "secret" not in str(logs)
