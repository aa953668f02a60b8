"""Every certificate that a configuration names, and when it expires. Reads files, connects to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from pydantic import BaseModel

from resources.transport.trust.pinning import fingerprint

Role = Literal["client", "server", "ca", "peer"]
"""client: ours; server: a peer's, kept to compare; ca: whose signature counts; peer: shown by a peer at connecting."""

WARN_BEFORE = timedelta(days=30)
"""A certificate that expires sooner is warned of: time enough to have a new one issued."""

_ROLES: dict[str, Role] = {
    "client_certificate": "client",
    "user_certificate": "client",
    "server_certificate": "server",
    "ca_certificate": "ca",
}
_TRUST_STORE = "trust_store"
_TRUSTED_FOLDERS = ("trusted", "issuers")
_SUFFIXES = frozenset({".pem", ".der", ".crt", ".cer"})


@dataclass(frozen=True, slots=True)
class CertificateInUse:
    """One certificate, and which key of the configuration it belongs to."""

    key: str
    role: Role
    path: Path | None
    """The file; None for what a peer showed."""
    subject: str = ""
    issuer: str = ""
    expires_at: datetime | None = None
    """None where it could not be read; then `problem` says why."""
    sha256: str = ""
    problem: str | None = None

    def left(self, now: datetime) -> timedelta | None:
        """Return the time until it expires, below zero once it has; None where it could not be read."""
        return None if self.expires_at is None else self.expires_at - now

    def warning(self, now: datetime) -> str | None:
        """Return what is wrong with it or soon will be, and what to do; None if all is well."""
        left = self.left(now)
        if left is None:
            return f"{self.path} cannot be read: {self.problem}"
        if left > WARN_BEFORE:
            return None
        where = f"{self.path} ({self.subject})" if self.path else self.subject
        what = "expired" if left < timedelta(0) else "expires"
        assert self.expires_at is not None
        remedy = "have the peer's renewed" if self.role in ("server", "peer") else "have a new one issued"
        return f"{where} {what} on {self.expires_at:%Y-%m-%d}, {_days(left)}: {remedy}"


def certificates_in(value: object, path: str = "") -> Iterator[CertificateInUse]:
    """Yield every certificate that a configuration names, however deep, in the order of the file.

    A file that cannot be read is one entry with its problem. Of a client's or server's file the first certificate is
    meant (its chain may follow), of a CA's every one.
    """
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            found, where = getattr(value, name), f"{path}.{name}".lstrip(".")
            if isinstance(found, Path) and name in _ROLES:
                yield from _of_file(where, _ROLES[name], found)
            elif isinstance(found, Path) and name == _TRUST_STORE:
                yield from _of_store(where, found)
            else:
                yield from certificates_in(found, where)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from certificates_in(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from certificates_in(item, f"{path}.{number}")


def warnings_of(certificates: Iterable[CertificateInUse], now: datetime) -> list[tuple[CertificateInUse, str]]:
    """Return those that are to be warned of, with what is wrong and what to do."""
    return [(one, words) for one in certificates if (words := one.warning(now)) is not None]


def first_to_expire(certificates: Iterable[CertificateInUse]) -> datetime | None:
    """Return when the first of them expires, None where none could be read."""
    return min((one.expires_at for one in certificates if one.expires_at is not None), default=None)


def peer_in_use(key: str, facts: dict[str, str]) -> CertificateInUse | None:
    """Return the certificate that a peer showed, from what its connector told at connecting; None if it told none."""
    try:
        expires_at = datetime.fromisoformat(facts["certificate_expires_at"])
    except (KeyError, ValueError):
        return None
    return CertificateInUse(
        key,
        "peer",
        None,
        subject=facts.get("certificate_subject", ""),
        expires_at=expires_at,
        sha256=facts.get("certificate_sha256", ""),
    )


def _of_file(key: str, role: Role | None, path: Path) -> Iterator[CertificateInUse]:
    try:
        content = path.read_bytes()
        pem = b"-----BEGIN" in content
        found = x509.load_pem_x509_certificates(content) if pem else [x509.load_der_x509_certificate(content)]
    except OSError as error:
        yield CertificateInUse(key, role or "server", path, problem=error.strerror or str(error))
        return
    except ValueError as error:
        yield CertificateInUse(key, role or "server", path, problem=f"neither PEM nor DER ({error})")
        return
    for certificate in found if role == "ca" else found[:1]:
        yield CertificateInUse(
            key,
            role or ("ca" if _is_authority(certificate) else "server"),
            path,
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            certificate.not_valid_after_utc,
            fingerprint(certificate),
        )


def _of_store(key: str, folder: Path) -> Iterator[CertificateInUse]:
    # what lies in `rejected` is not in use
    for name in _TRUSTED_FOLDERS:
        for path in sorted(folder.joinpath(name).glob("*")):
            if path.suffix.lower() in _SUFFIXES:
                yield from _of_file(f"{key}/{name}", None, path)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _days(left: timedelta) -> str:
    days = abs(left).days
    return f"{days} days ago" if left < timedelta(0) else f"in {days} days"
