"""Whether we trust the certificate a server shows: a fingerprint, a certificate, or a folder that people keep.

The folder (`trust_store`) holds `trusted/` (servers, and CAs whose servers are trusted), `issuers/` (CAs that complete
a chain without being trusted themselves) and `rejected/`, where a refused certificate is put so that somebody can look
at it and move it to `trusted/`. Files are PEM or DER; `*.crl` in the first two are revocation lists.
Source: OPC 10000-4, 6.1.3 (determining if a certificate is trusted); OPC 10000-12, 7.8 (trust lists).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from resources.core.errors import AuthError, ConfigError
from resources.core.process.logs import security_log
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.tls import load_certificates, refuse_outside_validity
from resources.transport.trust.pinning import fingerprint

_SUFFIXES = frozenset({".pem", ".der", ".crt", ".cer"})
_MOST_REJECTED = 50
"""Certificates kept in `rejected/`: whoever shows a new one each time must not fill the disk."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server showed before anything of it was trusted."""

    endpoint: str
    chain: tuple[x509.Certificate, ...]
    """Its own certificate, then the issuers it sent along."""
    application_uri: str | None
    """What it says its application URI is."""

    @property
    def certificate(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The folder's content at this moment."""

    folder: Path
    trusted: list[x509.Certificate] = field(default_factory=list)
    issuers: list[x509.Certificate] = field(default_factory=list)
    revocations: list[x509.CertificateRevocationList] = field(default_factory=list)

    @classmethod
    def load(cls, source: str, folder: Path) -> TrustStore:
        """Return what is in `folder`, made now if it is not there.

        Raises:
            ConfigError: It cannot be made, or a file in it is not what its name says.
        """
        try:
            for name in ("trusted", "issuers", "rejected"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"source {source}: trust_store {folder} cannot be made ({error.strerror}): check the path and its owner"
            ) from error
        places = (folder / "trusted", folder / "issuers")
        trusted, issuers = (
            [
                certificate
                for path in sorted(place.iterdir())
                if path.suffix.lower() in _SUFFIXES
                for certificate in load_certificates(source, "trust_store", path)
            ]
            for place in places
        )
        revocations = [_load_crl(source, path) for place in places for path in sorted(place.glob("*.crl"))]
        return cls(folder, trusted, issuers, revocations)

    def path_to_trust(
        self, certificate: x509.Certificate, sent: Sequence[x509.Certificate]
    ) -> list[x509.Certificate] | None:
        """Return the chain from `certificate` to one that is trusted, None if there is none."""
        return _path(certificate, self.trusted, [*self.issuers, *sent])

    def revoked(self, path: Sequence[x509.Certificate]) -> x509.Certificate | None:
        """Return the first certificate of `path` that a revocation list names."""
        for certificate in path:
            for listed in self.revocations:
                if (
                    listed.issuer == certificate.issuer
                    and listed.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
                ):
                    return certificate
        return None

    def reject(self, certificate: x509.Certificate) -> Path:
        """Put `certificate` into `rejected/`, in place of the oldest if there are many; return where it is."""
        folder = self.folder / "rejected"
        path = folder / f"{_file_name(certificate)}.der"
        if not path.exists():
            held = sorted(folder.glob("*.der"), key=lambda old: old.stat().st_mtime)
            for old in held[: max(0, len(held) + 1 - _MOST_REJECTED)]:
                old.unlink(missing_ok=True)
            path.write_bytes(certificate.public_bytes(Encoding.DER))
        return path

    def trust_first(self, source: str, certificate: x509.Certificate) -> bool:
        """Trust `certificate` if it is the first that `source` has ever shown; return whether it is."""
        folder = self.folder / "trusted"
        if any(folder.glob(f"{source}.first-use.*")):
            return False
        path = folder / f"{source}.first-use.{fingerprint(certificate)[:16]}.der"
        path.write_bytes(certificate.public_bytes(Encoding.DER))
        return True


def verify(source: str, config: OpcUaConfig, shown: Shown) -> None:
    """Do nothing if the configuration lets us trust the server that showed this.

    Raises:
        AuthError: It is not trusted, not valid now, revoked, or that of another application.
        ConfigError: A file that says whom to trust is missing or broken.
    """
    certificate, endpoint = shown.certificate, shown.endpoint
    refuse_outside_validity(source, f"the server {endpoint}", certificate)
    _check_pin(source, config, shown)
    known = (
        load_certificates(source, "server_certificate", config.server_certificate) if config.server_certificate else []
    )
    store = TrustStore.load(source, config.trust_store) if config.trust_store else None
    path = _path(certificate, known, shown.chain[1:])
    if path is None and store is not None:
        path = _by_store(source, config, shown, store)
    if path is None:
        if config.server_certificate is None and store is None:
            return  # its fingerprint names it, and nobody else
        raise _untrusted(source, config, shown, store)
    for issuer in path[1:]:
        refuse_outside_validity(source, f"the CA of the server {endpoint}", issuer)
    if store is not None and (revoked := store.revoked(path)) is not None:
        raise AuthError(
            f"source {source}: {endpoint} shows a certificate that is revoked, or whose CA is "
            f"({revoked.subject.rfc4514_string()}): have a new one issued for the server",
            source=source,
        )
    if len(path) > 1:
        # a CA vouches for many: only the URI tells which application this is
        _check_application_uri(source, config, shown)


def _check_pin(source: str, config: OpcUaConfig, shown: Shown) -> None:
    found = fingerprint(shown.certificate)
    if config.pinned_sha256 and found not in config.pinned_sha256:
        raise AuthError(
            f"source {source}: {shown.endpoint} shows a certificate whose SHA-256 fingerprint is {found}, which "
            "pinned_sha256 does not name: if the server's certificate was renewed on purpose, add the new fingerprint",
            source=source,
        )


def _by_store(source: str, config: OpcUaConfig, shown: Shown, store: TrustStore) -> list[x509.Certificate] | None:
    path = store.path_to_trust(shown.certificate, shown.chain[1:])
    if path is None and config.insecure_trust_on_first_use and store.trust_first(source, shown.certificate):
        security_log().warning(
            "server_trusted_on_first_use",
            source=source,
            endpoint=shown.endpoint,
            sha256=fingerprint(shown.certificate),
            folder=str(store.folder / "trusted"),
        )
        return [shown.certificate]
    return path


def _untrusted(source: str, config: OpcUaConfig, shown: Shown, store: TrustStore | None) -> AuthError:
    certificate = shown.certificate
    subject = certificate.subject.rfc4514_string()
    if store is None:
        return AuthError(
            f"source {source}: {shown.endpoint} shows a certificate ({subject}) that is neither the configured "
            "server_certificate nor signed by it: if the server's certificate was renewed on purpose, put the new one "
            "in its place",
            source=source,
        )
    path = store.reject(certificate)
    beside = "" if config.server_certificate is None else " neither by server_certificate nor"
    return AuthError(
        f"source {source}: {shown.endpoint} shows a certificate ({subject}) that is not trusted{beside} by "
        f"trust_store: it was put into {path}. Its SHA-256 fingerprint is {fingerprint(certificate)}: if the server's "
        f"own is the same, move the file to {store.folder / 'trusted'}",
        source=source,
    )


def _check_application_uri(source: str, config: OpcUaConfig, shown: Shown) -> None:
    wanted = config.server_application_uri or shown.application_uri
    named = application_uris(shown.certificate)
    if wanted is not None and wanted not in named:
        who = "server_application_uri is" if config.server_application_uri else "the server calls itself"
        raise AuthError(
            f"source {source}: {shown.endpoint} shows a certificate for {', '.join(named) or 'no application URI'}, "
            f"but {who} {wanted}: have the certificate issued anew, or trust this one certificate itself "
            "(server_certificate, or trusted/ of trust_store)",
            source=source,
        )


def application_uris(certificate: x509.Certificate) -> list[str]:
    """Return the URIs in the subject alternative name: the first is the application URI."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(uri) for uri in names.get_values_for_type(x509.UniformResourceIdentifier)]


def _path(
    certificate: x509.Certificate, trusted: Sequence[x509.Certificate], issuers: Sequence[x509.Certificate]
) -> list[x509.Certificate] | None:
    """Return the chain from `certificate` to one of `trusted`, by way of `issuers`; None if there is none."""
    if certificate in trusted:
        return [certificate]
    for anchor in trusted:
        if _signed_by(certificate, anchor):
            return [certificate, anchor]
    for number, issuer in enumerate(issuers):
        if _signed_by(certificate, issuer):
            # each issuer is gone through once at most: what a peer sends must not make us search for ever
            beyond = _path(issuer, trusted, [*issuers[:number], *issuers[number + 1 :]])
            return None if beyond is None else [certificate, *beyond]
    return None


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return True


def _load_crl(source: str, path: Path) -> x509.CertificateRevocationList:
    try:
        content = path.read_bytes()
        load = x509.load_pem_x509_crl if b"-----BEGIN" in content else x509.load_der_x509_crl
        return load(content)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"source {source}: {path} cannot be read ({error}): give a revocation list in PEM or DER"
        ) from error


def _file_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(names[0].value))[:60] if names else "server"
    return f"{name}-{fingerprint(certificate)[:16]}"
