"""What a token request carries, for each grant of OAuth 2.0.

Source: RFC 6749, 4.4 (client credentials) and 6 (refresh); RFC 7523 (JWT as grant and as client authentication);
RFC 7522 (SAML 2.0 as grant); RFC 8705 (the client proved by its certificate); RFC 7515, 4.1.7 (x5t).
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc7523.assertion import sign_jwt_bearer_assertion
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwk
from joserfc.errors import JoseError

from resources.core.configuration.settings import EnvSecret
from resources.core.errors import ConfigError
from resources.transport.auth.config import (
    JwtBearerConfig,
    OAuthConfig,
    RefreshTokenConfig,
    SamlBearerConfig,
    TokenGrant,
)

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SAML_BEARER = "urn:ietf:params:oauth:grant-type:saml2-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PEM = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets of a client as they are now; their text shows in no representation."""

    client_secret: str | None = field(default=None, repr=False)
    material: str | None = field(default=None, repr=False)
    """Refresh token, private key or assertion."""

    @property
    def digest(self) -> bytes:
        """What tells whether they are the same as before."""
        return hashlib.sha256(repr((self.client_secret, self.material)).encode()).digest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown though a server echoes it."""
        return tuple(secret for secret in (self.client_secret, self.material) if secret)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request: how the client proves itself, and the form fields."""

    auth_method: str
    fields: dict[str, str] = field(repr=False)


def credentials_of(config: TokenGrant) -> Credentials:
    """Return the secrets as the environment has them now.

    Raises:
        ConfigError: A variable is not set, or the file it names cannot be read.
    """
    secret = config.client_secret.reveal() if isinstance(config.client_secret, EnvSecret) else None
    if isinstance(config, RefreshTokenConfig):
        return Credentials(secret, _revealed(config.refresh_token))
    if isinstance(config, JwtBearerConfig):
        return Credentials(secret, _content(config.private_key))
    if isinstance(config, SamlBearerConfig):
        return Credentials(secret, _assertion(_content(config.assertion)))
    return Credentials(secret)


def token_request(config: TokenGrant, held: Credentials, now: datetime) -> TokenRequest:
    """Return what is sent for a token.

    Raises:
        ConfigError: The private key or the certificate cannot be used.
    """
    match config:
        case OAuthConfig():
            # RFC 8705, 2.1: the certificate is the proof, the form names the client
            method = "none" if config.client_auth == "tls_client_auth" else config.client_auth
            fields = {"grant_type": "client_credentials"}
        case RefreshTokenConfig():
            method = config.client_auth if held.client_secret else "none"
            fields = {"grant_type": "refresh_token", "refresh_token": str(held.material)}
        case SamlBearerConfig():
            method = config.client_auth if held.client_secret else "none"
            # ABAP asks for the client id in the form, too
            fields = {"grant_type": _SAML_BEARER, "assertion": str(held.material), "client_id": config.client_id}
        case JwtBearerConfig():
            jwt = _signed(config, str(held.material), now)
            method = "client_secret_basic" if held.client_secret else "none"
            fields = {"grant_type": _JWT_BEARER, "assertion": jwt}
            if config.used_as == "client_assertion":
                fields = {
                    "grant_type": "client_credentials",
                    "client_assertion_type": _CLIENT_ASSERTION,
                    "client_assertion": jwt,
                }
    if config.scope is not None:
        fields["scope"] = config.scope
    return TokenRequest(method, {**config.extra, **fields})


def _signed(config: JwtBearerConfig, pem: str, now: datetime) -> str:
    issued = int(now.timestamp())
    header: dict[str, Any] = {"alg": config.algorithm, "typ": "JWT"}
    if config.key_id is not None:
        header["kid"] = config.key_id
    if config.certificate is not None:
        header |= _thumbprints(config.certificate)
    try:
        key = jwk.import_key(pem, "EC" if config.algorithm.startswith("ES") else "RSA")
        signed: str = sign_jwt_bearer_assertion(
            key,
            issuer=config.issuer or config.client_id,
            audience=config.audience or config.token_url,
            subject=config.subject or config.client_id,
            issued_at=issued,
            expires_at=issued + int(config.life.total_seconds()),
            claims={"nbf": issued},
            header=header,
        )
    except (JoseError, ValueError, TypeError) as error:
        # the error's own words may hold the key
        raise ConfigError(
            f"{config.private_key.variable}: no private key that can sign {config.algorithm} "
            f"({type(error).__name__}); it must be PEM without password, or the path of such a file"
        ) from None
    return signed


def _thumbprints(path: Path) -> dict[str, str]:
    try:
        der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    except (OSError, ValueError) as error:
        raise ConfigError(f"certificate {path}: no readable PEM certificate ({error})") from error
    # RFC 7515 has the SHA-1 one for what is old; some servers look for it alone
    sha1 = hashlib.sha1(der, usedforsecurity=False).digest()
    return {"x5t": _base64url(sha1), "x5t#S256": _base64url(hashlib.sha256(der).digest())}


def _revealed(secret: object) -> str:
    assert isinstance(secret, EnvSecret)  # the configuration accepts nothing else
    return secret.reveal()


def _content(secret: object) -> str:
    """Return what the variable holds, or what the file holds that it names."""
    text = _revealed(secret)
    if text.lstrip().startswith((_PEM, "<")) or not os.path.isfile(text):
        return text
    try:
        return Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        assert isinstance(secret, EnvSecret)
        raise ConfigError(f"{secret.variable}: the file it names cannot be read ({type(error).__name__})") from None


def _assertion(text: str) -> str:
    text = text.strip()
    return _base64url(text.encode()) if text.startswith("<") else text


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")
