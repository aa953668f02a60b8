"""Which certificates of a server are trusted, and what becomes of the others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from resources.core.errors import AuthError, ConfigError
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.sessions.trust import Shown, TrustStore, verify
from resources.transport.trust.pinning import fingerprint

NOW = datetime.now(UTC)
URI = "urn:gl:test:server"


class Issuer:
    """A CA, itself signed by `above`, or a server's certificate where `ca` is false."""

    def __init__(self, name: str, above: "Issuer | None" = None, *, ca: bool = True, days: int = 30) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = above or self
        built = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(by.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=60))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI)])
            built = built.add_extension(names, critical=False)
        self.certificate = built.sign(by.key, hashes.SHA256())

    def revoke(self, *certificates: x509.Certificate) -> x509.CertificateRevocationList:
        built = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(NOW)
        built = built.next_update(NOW + timedelta(days=1))
        for certificate in certificates:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(NOW)
            built = built.add_revoked_certificate(entry.build())
        return built.sign(self.key, hashes.SHA256())


def config(**trust: Any) -> OpcUaConfig:
    return OpcUaConfig.model_validate(
        {
            "kind": "opc_ua",
            "endpoint_url": "opc.tcp://plant:4840",
            "client_certificate": "client.pem",
            "client_key": "client.key",
            "tags": [{"sensor_id": "a", "unit": "1", "node_id": "i=2258"}],
        }
        | trust
    )


def shown(*chain: Issuer, uri: str | None = URI) -> Shown:
    return Shown("opc.tcp://plant:4840", tuple(issuer.certificate for issuer in chain), uri)


def put(folder: Path, name: str, thing: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(thing.public_bytes(Encoding.PEM))


@pytest.mark.parametrize("sent_along", [True, False], ids=["the server sends its issuers", "issuers/ has them"])
def test_verify_when_the_chain_ends_at_a_trusted_ca_then_it_is_accepted(tmp_path: Path, sent_along: bool) -> None:
    root = Issuer("root")
    middle = Issuer("middle", root)
    server = Issuer("server", middle, ca=False)
    put(tmp_path / "trusted", "root.pem", root.certificate)
    if not sent_along:
        put(tmp_path / "issuers", "middle.crt", middle.certificate)
    chain = (server, middle) if sent_along else (server,)
    verify("rig", config(trust_store=tmp_path), shown(*chain))


def test_verify_when_only_issuers_knows_the_ca_then_it_is_refused(tmp_path: Path) -> None:
    root = Issuer("root")
    put(tmp_path / "issuers", "root.pem", root.certificate)
    with pytest.raises(AuthError, match="is not trusted by trust_store: it was put into"):
        verify("rig", config(trust_store=tmp_path), shown(Issuer("server", root, ca=False), root))


def test_verify_when_the_signer_is_no_ca_then_it_is_refused(tmp_path: Path) -> None:
    someone = Issuer("someone", ca=False)
    put(tmp_path / "trusted", "someone.pem", someone.certificate)
    with pytest.raises(AuthError, match="is not trusted"):
        verify("rig", config(trust_store=tmp_path), shown(Issuer("server", someone, ca=False)))


def test_verify_when_server_certificate_is_another_but_the_trust_store_has_it_then_it_is_accepted(
    tmp_path: Path,
) -> None:
    server, other = Issuer("server", ca=False), Issuer("other", ca=False)
    put(tmp_path, "other.pem", other.certificate)
    both = config(trust_store=tmp_path / "store", server_certificate=tmp_path / "other.pem")
    with pytest.raises(AuthError, match="trusted neither by server_certificate nor by trust_store"):
        verify("rig", both, shown(server))
    put(tmp_path / "store" / "trusted", "server.cer", server.certificate)
    verify("rig", both, shown(server))


@pytest.mark.parametrize("whose", ["server", "middle"])
def test_verify_when_a_certificate_of_the_chain_is_revoked_then_it_is_refused(tmp_path: Path, whose: str) -> None:
    root = Issuer("root")
    middle = Issuer("middle", root)
    server = Issuer("server", middle, ca=False)
    put(tmp_path / "trusted", "root.pem", root.certificate)
    put(tmp_path / "trusted", "root.crl", root.revoke(*([middle.certificate] if whose == "middle" else [])))
    put(tmp_path / "issuers", "middle.pem", middle.certificate)
    put(tmp_path / "issuers", "middle.crl", middle.revoke(*([server.certificate] if whose == "server" else [])))
    with pytest.raises(AuthError, match=rf"is revoked, or whose CA is \(CN={whose}\)"):
        verify("rig", config(trust_store=tmp_path), shown(server))


def test_verify_when_a_certificate_of_the_chain_has_expired_then_it_is_refused(tmp_path: Path) -> None:
    old = Issuer("old CA", days=-1)
    put(tmp_path / "trusted", "old.pem", old.certificate)
    with pytest.raises(AuthError, match=r"certificate of the CA of the server .* expired on"):
        verify("rig", config(trust_store=tmp_path), shown(Issuer("server", old, ca=False)))
    late = Issuer("late", ca=False, days=-1)
    with pytest.raises(AuthError, match=r"certificate of the server opc.tcp://plant:4840 expired on"):
        verify("rig", config(pinned_sha256=fingerprint(late.certificate)), shown(late))


def test_verify_when_the_application_uri_is_another_then_only_a_certificate_trusted_by_itself_passes(
    tmp_path: Path,
) -> None:
    root = Issuer("root")
    server = Issuer("server", root, ca=False)
    put(tmp_path / "trusted", "root.pem", root.certificate)
    trusting = config(trust_store=tmp_path)
    with pytest.raises(AuthError, match=r"for urn:gl:test:server, but the server calls itself urn:other"):
        verify("rig", trusting, shown(server, uri="urn:other"))
    verify("rig", trusting, shown(server, uri=None))
    put(tmp_path / "trusted", "server.pem", server.certificate)
    verify("rig", trusting, shown(server, uri="urn:other"))


def test_verify_when_a_ca_signed_certificate_names_no_uri_then_it_is_refused(tmp_path: Path) -> None:
    root = Issuer("root")
    put(tmp_path / "trusted", "root.pem", root.certificate)
    with pytest.raises(AuthError, match="shows a certificate for no application URI"):
        verify("rig", config(trust_store=tmp_path), shown(Issuer("sub CA", root)))


def test_reject_when_many_come_then_the_oldest_make_room(tmp_path: Path) -> None:
    store = TrustStore.load("rig", tmp_path)
    paths = [store.reject(Issuer(f"server {number} /..", ca=False).certificate) for number in range(53)]
    held = set((tmp_path / "rejected").iterdir())
    assert len(held) == 50
    assert paths[-1] in held
    assert paths[-1].parent == tmp_path / "rejected"


def test_load_when_a_file_is_not_what_its_name_says_then_config_error_names_it(tmp_path: Path) -> None:
    TrustStore.load("rig", tmp_path)
    (tmp_path / "trusted" / "readme.txt").write_text("not looked at")
    (tmp_path / "trusted" / "bad.pem").write_text("rubbish")
    with pytest.raises(ConfigError, match=r"trust_store .*bad\.pem cannot be read"):
        TrustStore.load("rig", tmp_path)
    (tmp_path / "trusted" / "bad.pem").rename(tmp_path / "trusted" / "bad.crl")
    with pytest.raises(ConfigError, match=r"bad\.crl cannot be read .*revocation list"):
        TrustStore.load("rig", tmp_path)


def test_load_when_the_folder_cannot_be_made_then_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="trust_store .* cannot be made"):
        TrustStore.load("rig", tmp_path / "file")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "one of server_certificate, trust_store, pinned_sha256"),
        ({"server_certificate": "a.pem", "insecure_trust_on_first_use": True}, "needs a trust_store"),
        ({"trust_store": "a", "username": "a"}, "username and password go together"),
        ({"trust_store": "a", "user_key": "a"}, "user_certificate and user_key go together"),
        (
            {"trust_store": "a", "user_certificate": "a", "user_key": "b", "username": "a", "password": "${A}"},
            "by username or by user_certificate",
        ),
        ({"trust_store": "a", "subscription_lifetime": "10s"}, "at least three times keep_alive_interval"),
    ],
)
def test_config_when_settings_do_not_go_together_then_it_says_which(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**settings)


def test_config_when_a_tag_has_two_deadbands_then_value_error() -> None:
    tag = {"sensor_id": "a", "unit": "1", "node_id": "i=1", "server_deadband": 1, "server_deadband_percent": 1}
    with pytest.raises(ValueError, match="exclude each other"):
        config(trust_store="a", tags=[tag])
