"""Pinned certificates: a TLS handshake that ends unless the peer shows exactly the certificate that was expected.

A pin is asked for beside the usual verification (chain, dates, host name), never in its place: it guards against a CA
that signs what it should not. The check is part of the handshake, so that nothing, a password least of all, is sent to
the wrong peer; it works for every user of a context, whether asyncio, httpx or paho.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Collection

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


class PinnedCertificateError(ssl.SSLCertVerificationError):
    """The peer's certificate is sound, but is not one of those pinned."""

    def __init__(self, found: str) -> None:
        """Keep the fingerprint that was found."""
        super().__init__(1, f"its SHA-256 fingerprint is {found}, which pinned_sha256 does not name")
        self.verify_code = 0
        self.verify_message = f"its SHA-256 fingerprint is {found}, which pinned_sha256 does not name"
        self.found = found


def fingerprint(certificate: x509.Certificate | bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate (or its DER) as 64 lower-case hexadecimal digits."""
    der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def pin(context: ssl.SSLContext, pinned_sha256: Collection[str]) -> None:
    """Let handshakes of `context` fail with PinnedCertificateError unless the peer's certificate is pinned.

    Nothing changes where `pinned_sha256` is empty. Fingerprints are as `fingerprint` returns them.
    """
    if not pinned_sha256:
        return
    pins = frozenset(pinned_sha256)

    # the hooks that the ssl module has for it: what wrap_socket and wrap_bio of this one context make
    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _check(self.getpeercert(binary_form=True), pins)

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _check(self.getpeercert(binary_form=True), pins)

    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject


def _check(der: bytes | None, pins: frozenset[str]) -> None:
    found = fingerprint(der) if der else "missing"
    if found not in pins:
        raise PinnedCertificateError(found)
