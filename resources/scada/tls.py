"""TLS for the connectors, and plain words for what goes wrong on the way to a peer.

Every message says which source, what was tried, what came back and what to do.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from resources.core.errors import AuthError, ConfigError, ProtocolError, SourceError, UnreachableError
from resources.transport.trust.pinning import PinnedCertificateError, fingerprint, pin

_VERIFY_EXPIRED, _VERIFY_NOT_YET = 10, 9
_VERIFY_HOST, _VERIFY_ADDRESS = 62, 64
_OUR_CERTIFICATE_ALERTS = (
    "CERTIFICATE_REQUIRED", "CERTIFICATE_EXPIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_REVOKED", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "DECRYPT_ERROR",
)  # fmt: skip
_VERSION_ALERTS = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Which files secure a connection."""

    ca_certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    allow_tls_1_2: bool = False
    pinned_sha256: tuple[str, ...] = ()


def client_context(source: str, files: TlsFiles) -> ssl.SSLContext:
    """Return a context that verifies the peer, its host name and its pin, TLS 1.3 unless 1.2 is allowed.

    Raises:
        ConfigError: A file is missing or is not what it should be.
        AuthError: The client certificate is outside its validity.
    """
    try:
        context = ssl.create_default_context(cafile=files.ca_certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"source {source}: ca_certificate {files.ca_certificate} cannot be used ({error}): give a PEM file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if files.allow_tls_1_2 else ssl.TLSVersion.TLSv1_3
    pin(context, files.pinned_sha256)
    if files.client_certificate is not None and files.client_key is not None:
        load_certificates(source, "client_certificate", files.client_certificate, check_validity=True)
        try:
            context.load_cert_chain(files.client_certificate, files.client_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"source {source}: client_certificate {files.client_certificate} and client_key {files.client_key} "
                f"cannot be used together ({error}): give a PEM certificate and its own, unencrypted PEM key"
            ) from error
    return context


def load_certificates(source: str, key: str, path: Path, *, check_validity: bool = False) -> list[x509.Certificate]:
    """Return the certificates in `path`, PEM or DER; `key` names the setting in messages.

    Raises:
        ConfigError: The file is missing or holds no certificate.
        AuthError: `check_validity`, and the first certificate is outside its validity.
    """
    try:
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            certificates = x509.load_pem_x509_certificates(content)
        else:
            certificates = [x509.load_der_x509_certificate(content)]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"source {source}: {key} {path} cannot be read ({error}): give a PEM or DER certificate"
        ) from error
    if check_validity:
        refuse_outside_validity(source, f"{key} {path}", certificates[0])
    return certificates


def refuse_outside_validity(source: str, what: str, certificate: x509.Certificate, now: datetime | None = None) -> None:
    """Do nothing if `certificate` is valid now.

    Raises:
        AuthError: It has expired, or is not valid yet.
    """
    now = now or datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise AuthError(
            f"source {source}: the certificate of {what} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} "
            "UTC: have a new one issued and put it in its place",
            source=source,
        )
    if certificate.not_valid_before_utc > now:
        raise AuthError(
            f"source {source}: the certificate of {what} is valid only from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on: check the clock of this machine, or "
            "have the certificate issued anew",
            source=source,
        )


def explain(error: BaseException | None, *, source: str, peer: str, doing: str = "connecting") -> SourceError:
    """Return the error of the platform that says what `error`, met while `doing` something with `peer`, means."""
    tried = f"source {source}: {doing} to {peer}" if doing == "connecting" else f"source {source}: {doing} at {peer}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthError(f"{tried}: {_verification(error)}", source=source)
    if isinstance(error, ssl.SSLError):
        return _handshake(error, tried, source)
    if isinstance(error, socket.gaierror):
        return UnreachableError(
            f"{tried}: the host name does not resolve ({error.strerror}): check its spelling and the DNS server",
            source=source,
        )
    if isinstance(error, TimeoutError):
        return UnreachableError(
            f"{tried}: no answer in time: check that the host is up and that no firewall drops the packets",
            source=source,
        )
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(
            f"{tried}: refused: check that the server runs, that host and port are right, and the firewall",
            source=source,
        )
    came_back = (
        (getattr(error, "strerror", None) or str(error)) if error is not None else "the peer closed the connection"
    )
    return UnreachableError(
        f"{tried}: connection lost ({came_back}): check the server and the network in between", source=source
    )


def _verification(error: ssl.SSLCertVerificationError) -> str:
    if isinstance(error, PinnedCertificateError):
        return (
            f"the server's certificate is not the one pinned ({error.verify_message}): if it was renewed on purpose, "
            "add the new fingerprint; otherwise somebody else answers there"
        )
    if error.verify_code == _VERIFY_EXPIRED:
        return "the server's certificate has expired: have it renewed there"
    if error.verify_code == _VERIFY_NOT_YET:
        return "the server's certificate is not valid yet: check the clocks of both machines"
    if error.verify_code in (_VERIFY_HOST, _VERIFY_ADDRESS):
        return f"the server's certificate is for another host ({error.verify_message}): use the name it was issued for"
    return (
        f"the server's certificate is not trusted ({error.verify_message}): set ca_certificate to the CA that signed it"
    )


def _handshake(error: ssl.SSLError, tried: str, source: str) -> SourceError:
    reason = error.reason or str(error)
    if _any_in(_VERSION_ALERTS, reason):
        return ProtocolError(
            f"{tried}: the server has no TLS 1.3 ({reason}): set allow_tls_1_2: true, or have it renewed", source=source
        )
    if _any_in(_OUR_CERTIFICATE_ALERTS, reason):
        return AuthError(
            f"{tried}: the server refuses this client's certificate ({reason}): set client_certificate and client_key "
            "to a pair that the server trusts and that has not expired",
            source=source,
        )
    return ProtocolError(
        f"{tried}: no TLS there ({reason}): check the port, and whether the server speaks TLS on it", source=source
    )


def _any_in(parts: Sequence[str], text: str) -> bool:
    return any(part in text for part in parts)


def peer_certificate(transport_ssl: ssl.SSLObject | None) -> x509.Certificate | None:
    """Return the certificate the peer showed, None without TLS."""
    der = transport_ssl.getpeercert(binary_form=True) if transport_ssl is not None else None
    return x509.load_der_x509_certificate(der) if der else None


def certificate_facts(certificate: x509.Certificate | None) -> dict[str, str]:
    """Return what `StatusSink.connected` is told of the certificate that the peer showed; nothing without one."""
    if certificate is None:
        return {}
    return {
        "certificate_subject": certificate.subject.rfc4514_string(),
        "certificate_expires_at": certificate.not_valid_after_utc.isoformat(),
        "certificate_sha256": fingerprint(certificate),
    }
