from __future__ import annotations

import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from resources.core.errors import ConfigError
from resources.integrations import Integrations
from resources.scada.tls import certificate_facts
from resources.transport.trust.certificate_files import certificates_in, peer_in_use
from resources.transport.trust.certificates import CertificateAuthority
from resources.transport.trust.client_certificate import CertificateRequest, create_client_certificate
from resources.transport.trust.pinning import fingerprint

NOW = datetime.now(UTC)


def issued(authority: CertificateAuthority, name: str, days: float, *, uri: str | None = None) -> Any:
    return authority.issue(name, application_uri=uri, valid=(NOW - timedelta(days=400), NOW + timedelta(days=days)))


@pytest.fixture
def config(authority: CertificateAuthority, tmp_path: Path) -> Integrations:
    client = issued(authority, "opc", 400, uri="urn:x")
    soon = issued(authority, "soon", 10)
    store = tmp_path / "trust"
    for folder, pair in (("trusted", issued(authority, "trusted", -2)), ("rejected", soon)):
        (store / folder).mkdir(parents=True)
        shutil.copy(pair.certificate, store / folder / "one.pem")
    (store / "issuers").mkdir()
    authority_certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    (store / "issuers" / "ca.der").write_bytes(authority_certificate.public_bytes(serialization.Encoding.DER))
    (store / "issuers" / "notes.txt").write_text("not a certificate")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.certificate.read_bytes() + soon.certificate.read_bytes())
    chain = tmp_path / "chain.pem"
    chain.write_bytes(soon.certificate.read_bytes() + authority.certificate.read_bytes())
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    tag = {"sensor_id": "a", "unit": "1"}
    return Integrations.model_validate(
        {
            "site": "plant",
            "start": "2026-11-01T00:00:00Z",
            "sources": {
                "boilers": {
                    "kind": "opc_ua",
                    "endpoint_url": "opc.tcp://h:1",
                    "client_certificate": client.certificate,
                    "client_key": client.key,
                    "trust_store": store,
                    "tags": [tag | {"node_id": "nsu=u;s=a"}],
                },
                "meters": {
                    "kind": "mqtt",
                    "broker": {
                        "host": "h",
                        "ca_certificate": bundle,
                        "client_certificate": chain,
                        "client_key": soon.key,
                    },
                    "client_id": "c",
                    "topic_filters": ["x"],
                    "tags": [tag | {"sensor_id": "b", "topic": "x"}],
                },
                "furnace": {
                    "kind": "modbus",
                    "host": "h",
                    "tls": True,
                    "ca_certificate": broken,
                    "tags": [tag | {"sensor_id": "c", "address": 1}],
                },
                "heat": {
                    "kind": "modbus",
                    "host": "h",
                    "tls": True,
                    "ca_certificate": tmp_path / "nowhere.pem",
                    "tags": [tag | {"sensor_id": "d", "address": 1}],
                },
            },
        }
    )


def test_certificates_when_a_configuration_names_them_then_each_is_found_with_its_role(config: Integrations) -> None:
    found = [(one.key, one.role, one.subject) for one in certificates_in(config)]
    assert found == [
        ("sources.boilers.client_certificate", "client", "CN=opc"),
        ("sources.boilers.trust_store/trusted", "server", "CN=trusted"),
        ("sources.boilers.trust_store/issuers", "ca", "CN=GL demo CA"),
        ("sources.meters.broker.ca_certificate", "ca", "CN=GL demo CA"),
        ("sources.meters.broker.ca_certificate", "ca", "CN=soon"),
        ("sources.meters.broker.client_certificate", "client", "CN=soon"),
        ("sources.furnace.ca_certificate", "ca", ""),
        ("sources.heat.ca_certificate", "ca", ""),
    ]


def test_warning_when_it_expires_soon_or_cannot_be_read_then_it_says_when_and_what_to_do(config: Integrations) -> None:
    warnings = {(one.key, one.subject): one.warning(NOW) for one in certificates_in(config)}
    assert warnings["sources.boilers.client_certificate", "CN=opc"] is None
    soon = warnings["sources.meters.broker.client_certificate", "CN=soon"]
    assert soon is not None
    assert "expires on" in soon
    assert soon.endswith("have a new one issued")
    gone = warnings["sources.boilers.trust_store/trusted", "CN=trusted"]
    assert gone is not None
    assert "expired on" in gone
    assert "2 days ago: have the peer's renewed" in gone
    assert "neither PEM nor DER" in (warnings["sources.furnace.ca_certificate", ""] or "")
    assert "No such file" in (warnings["sources.heat.ca_certificate", ""] or "")


@pytest.mark.parametrize(("days", "warned"), [(31, False), (29, True), (0, True), (-1, True)])
def test_warning_when_days_are_left_then_thirty_are_the_limit(
    authority: CertificateAuthority, days: int, warned: bool
) -> None:
    certificate = x509.load_pem_x509_certificate(issued(authority, "limit", days).certificate.read_bytes())
    peer = peer_in_use("sources.x", certificate_facts(certificate))
    assert peer is not None
    assert (peer.warning(NOW) is not None) is warned
    assert peer.sha256 == fingerprint(certificate)


def test_peer_when_a_connector_told_no_certificate_then_there_is_none() -> None:
    assert peer_in_use("sources.x", {"endpoint": "h"}) is None
    assert peer_in_use("sources.x", {"certificate_expires_at": "soon"}) is None


def test_create_when_asked_then_certificate_and_key_are_as_opc_ua_wants_them(tmp_path: Path) -> None:
    request = CertificateRequest("client", "urn:here:gl:plant", ("here", "10.0.0.1"), 100, 3072)
    made = create_client_certificate(tmp_path / "new", request)
    certificate = x509.load_pem_x509_certificate(made.pem.read_bytes())
    assert certificate == x509.load_der_x509_certificate(made.der.read_bytes())
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:here:gl:plant"]
    assert names.get_values_for_type(x509.DNSName) == ["here"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ExtendedKeyUsageOID.CLIENT_AUTH in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    certificate.verify_directly_issued_by(certificate)
    assert (certificate.not_valid_after_utc - NOW).days in (99, 100)
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 3072
    assert key.public_key() == certificate.public_key()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made.pem, made.der, made.key)} == {0o600}


@pytest.mark.parametrize("suffix", ["pem", "der", "key"])
def test_create_when_a_file_is_there_then_nothing_is_overwritten(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"client.{suffix}").write_text("precious")
    with pytest.raises(ConfigError, match="exists, and is not overwritten"):
        create_client_certificate(tmp_path, CertificateRequest("client", "urn:x"))
    assert [path.name for path in tmp_path.iterdir()] == [f"client.{suffix}"]
    assert (tmp_path / f"client.{suffix}").read_text() == "precious"


def test_create_when_the_folder_cannot_be_written_then_it_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written there"):
        create_client_certificate(tmp_path / "file" / "folder", CertificateRequest("client", "urn:x"))
