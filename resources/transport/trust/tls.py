"""TLS contexts for clients: verified, TLS 1.3 at least; what is weaker has to be asked for by name."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from pathlib import Path

from resources.core.errors import ConfigError
from resources.transport.trust.pinning import pin


def client_context(
    *,
    ca_certificate: Path | None = None,
    allow_tls_1_2: bool = False,
    client_certificate: Path | None = None,
    client_key: Path | None = None,
    pinned_sha256: Collection[str] = (),
) -> ssl.SSLContext:
    """Return a context that verifies the server's chain, host name and, where there is one, pin.

    Args:
        ca_certificate: PEM of the CA that signed the server; the system's store if absent.
        allow_tls_1_2: Also accepts TLS 1.2, with forward secrecy and AEAD ciphers only.
        client_certificate: PEM certificate (chain) shown to a server that asks for one.
        client_key: PEM private key of `client_certificate`.
        pinned_sha256: Fingerprints of which the server's certificate must have one.

    Raises:
        ConfigError: A file is missing or is not PEM; the message names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if allow_tls_1_2 else ssl.TLSVersion.TLSv1_3
    if allow_tls_1_2:
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    if ca_certificate is None:
        context.load_default_certs()
    else:
        _load_authority(context, ca_certificate)
    pin(context, pinned_sha256)
    if client_certificate is not None:
        try:
            context.load_cert_chain(client_certificate, client_key)
        except OSError as error:
            raise ConfigError(
                f"client certificate {client_certificate} with key {client_key}: cannot be used "
                f"({error.strerror or error}); both must be PEM files that belong together"
            ) from error
    return context


def _load_authority(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"ca_certificate {path}: cannot be used ({error.strerror or error}); it must be a readable PEM file "
            "of the CA that signed the server's certificate"
        ) from error
