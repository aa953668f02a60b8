"""An OPC UA application instance certificate for this platform, self-signed.

Source: OPC 10000-6, 6.2.2 (application instance certificates: URI and host names in the subject alternative name, key
usages; a self-signed one may sign certificates, namely itself); OPC 10000-7 (Basic256Sha256 takes RSA 2048 to 4096).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from resources.core.errors import ConfigError
from resources.transport.trust.certificates import CLOCK_SLACK, alternative_names

KEY_SIZES = (2048, 3072, 4096)
"""RSA key sizes that every current security policy of OPC UA takes."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a client certificate is to say."""

    name: str
    """File name, and common name of the subject."""
    application_uri: str
    hosts: Sequence[str] = field(default_factory=tuple)
    valid_days: int = 730
    key_size: int = 2048


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What was made, and where it lies; all files have mode 0600."""

    certificate: x509.Certificate
    pem: Path
    der: Path
    key: Path


def create_client_certificate(folder: Path, request: CertificateRequest) -> ClientCertificate:
    """Return a self-signed client certificate, written now into `folder` as `.pem`, `.der` and `.key`.

    Raises:
        ConfigError: One of the files exists already (nothing is overwritten), or the folder cannot be written.
    """
    pem, der, key_path = (folder / f"{request.name}.{suffix}" for suffix in ("pem", "der", "key"))
    for path in (pem, der, key_path):
        if path.exists():
            raise ConfigError(
                f"{path} exists, and is not overwritten: a server may trust it. Give another name, or move it away"
            )
    key = rsa.generate_private_key(65537, request.key_size)
    certificate = _self_signed(request, key)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(key_path, secret)
        _write(pem, certificate.public_bytes(serialization.Encoding.PEM))
        _write(der, certificate.public_bytes(serialization.Encoding.DER))
    except OSError as error:
        raise ConfigError(f"{folder}: the certificate cannot be written there ({error.strerror})") from error
    return ClientCertificate(certificate, pem, der, key_path)


def _self_signed(request: CertificateRequest, key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, request.name)])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=request.valid_days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(alternative_names(request.hosts, request.application_uri)), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, content: bytes) -> None:
    # made with its final mode, and never over a file that is there: not even one that appeared a moment ago
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
