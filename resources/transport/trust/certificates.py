"""A small certificate authority: for the demo plant, for tests, and for plants that have none of their own.

Keys are EC P-256, or RSA 2048 where OPC UA needs it. Private keys are written with mode 0600.
Source: RFC 5280; OPC 10000-6, 6.2.2 (ApplicationUri in the subject alternative name, key usages).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CLOCK_SLACK = timedelta(minutes=5)
"""A certificate is valid from a little before its making, for peers whose clocks are behind."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """Where a certificate, its key and the CA that signed it lie, all PEM."""

    certificate: Path
    key: Path
    authority: Path


class CertificateAuthority:
    """A CA in a folder: `ca.pem`, `ca.key`, and what it issued as `<name>.pem`, `<name>.key`."""

    def __init__(self, folder: Path, key: PrivateKey, certificate: x509.Certificate) -> None:
        """Use `create` or `load`."""
        self.folder = folder
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, folder: Path, *, common_name: str = "GL demo CA", valid_days: int = 3650) -> CertificateAuthority:
        """Return the CA in `folder`, made now if it is not there."""
        if (folder / "ca.pem").exists() and (folder / "ca.key").exists():
            return cls.load(folder)
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SLACK)
            .not_valid_after(now + timedelta(days=valid_days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(folder / "ca.key", _key_bytes(key), secret=True)
        _write(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), secret=False)
        return cls(folder, key, certificate)

    @classmethod
    def load(cls, folder: Path) -> CertificateAuthority:
        """Return the CA that `create` once made in `folder`."""
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise TypeError(f"{folder / 'ca.key'}: neither an EC nor an RSA key")
        return cls(folder, key, x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()))

    @property
    def certificate(self) -> Path:
        """Path of the CA's own certificate, PEM."""
        return self.folder / "ca.pem"

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1"),
        application_uri: str | None = None,
        rsa_key: bool = False,
        valid: tuple[datetime, datetime] | None = None,
    ) -> IssuedCertificate:
        """Return a certificate for `name`, good for servers and clients, made anew.

        Args:
            name: File name and common name.
            hosts: DNS names and IP addresses of the subject alternative name.
            application_uri: OPC UA application URI; also makes the key RSA, as its security policies need.
            rsa_key: True makes an RSA key.
            valid: First and last instant of validity; one year from now if absent.
        """
        key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
        if rsa_key or application_uri:
            key = rsa.generate_private_key(65537, 2048)
        now = datetime.now(UTC)
        first, last = valid or (now - CLOCK_SLACK, now + timedelta(days=365))
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(alternative_names(hosts, application_uri)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        issued = IssuedCertificate(self.folder / f"{name}.pem", self.folder / f"{name}.key", self.certificate)
        _write(issued.key, _key_bytes(key), secret=True)
        _write(issued.certificate, certificate.public_bytes(serialization.Encoding.PEM), secret=False)
        return issued


def alternative_names(hosts: Sequence[str], application_uri: str | None) -> list[x509.GeneralName]:
    """Return the entries of a subject alternative name: the URI first, then host names and addresses."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(application_uri)] if application_uri else []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=not ca,
        key_encipherment=not ca,
        data_encipherment=not ca,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, secret: bool) -> None:
    # created with its final mode: a key must never be readable, not even for a moment
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "wb") as file:
        file.write(content)
