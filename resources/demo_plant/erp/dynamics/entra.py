"""The token endpoint of Microsoft Entra: client credentials by secret or by an assertion that a certificate signs.

Both generations: `/<tenant>/oauth2/v2.0/token` with `scope=<resource>/.default`, `/<tenant>/oauth2/token` with
`resource=<resource>`. The resource must be the environment's address to the letter, without a slash at its end.
Source: RFC 6749, 4.4; RFC 7523, 2.2 (client assertions); Microsoft identity platform, certificate credentials.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from resources.core.clock import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = ["RS256", "PS256"]


@dataclass(frozen=True, slots=True)
class EntraApp:
    """The application that may sign in, and what it proves itself with."""

    tenant: str = "contoso.example"
    client_id: str = "0d3c7a52-6a3e-4f6e-9d0b-0a5f2f6f0d01"
    client_secret: str = "demo-dynamics-secret"  # noqa: S105 - the demo's own
    certificate: bytes | None = None
    """PEM of the certificate that its assertions are signed with; secrets alone if absent."""
    token_lifetime_s: float = 3599.0


class TokenError(Exception):
    """The client, the grant or the resource is refused; `answer` is the JSON that says so."""

    def __init__(self, status: int, error: str, description: str) -> None:
        """Keep the status and the words."""
        super().__init__(description)
        self.status = status
        self.answer = {"error": error, "error_description": description, "error_codes": [70011]}


@dataclass(slots=True)
class EntraTokens:
    """Issues tokens and knows them again."""

    app: EntraApp
    clock: Clock
    issued: dict[str, tuple[float, int, str]] = field(default_factory=dict)
    """Token -> monotonic second of its expiry, number of its request, audience."""

    def answer(self, form: Mapping[str, Any], *, version: int, number: int, endpoint: str) -> dict[str, Any]:
        """Return the token's JSON.

        Args:
            form: The request's form.
            version: 1 or 2 of the endpoint.
            number: Number of the request.
            endpoint: Address of the endpoint, the audience of an assertion.

        Raises:
            TokenError: Refused.
        """
        self._check_client(form, endpoint)
        if form.get("grant_type") != "client_credentials":
            raise TokenError(400, "unsupported_grant_type", "AADSTS70003: the grant type is not supported.")
        audience = _audience(form, version)
        token = secrets.token_urlsafe(48)
        life = self.app.token_lifetime_s
        self.issued[token] = (self.clock.monotonic() + life, number, audience)
        # the first generation sends its numbers as text
        expires: str | int = str(int(life)) if version == 1 else int(life)
        return {"token_type": "Bearer", "expires_in": expires, "ext_expires_in": expires, "access_token": token}

    def known(self, token: str, audience: str) -> int | None:
        """Return the number of the request that brought a token for `audience`, None if it is none or too old."""
        expires_at, number, of = self.issued.get(token, (0.0, 0, ""))
        return number if self.clock.monotonic() < expires_at and of == audience else None

    def _check_client(self, form: Mapping[str, Any], endpoint: str) -> None:
        if form.get("client_id") != self.app.client_id:
            raise TokenError(
                400, "unauthorized_client", "AADSTS700016: the application was not found in the directory."
            )
        if "client_assertion" in form:
            self._check_assertion(form, endpoint)
            return
        given = str(form.get("client_secret", ""))
        if not secrets.compare_digest(given.encode(), self.app.client_secret.encode()):
            raise TokenError(401, "invalid_client", "AADSTS7000215: invalid client secret provided.")

    def _check_assertion(self, form: Mapping[str, Any], endpoint: str) -> None:
        refused = TokenError(401, "invalid_client", "AADSTS700027: the assertion failed signature validation.")
        if form.get("client_assertion_type") != ASSERTION_TYPE or self.app.certificate is None:
            raise refused
        certificate = x509.load_pem_x509_certificate(self.app.certificate)
        public = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            token = jwt.decode(str(form["client_assertion"]), RSAKey.import_key(public), algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            raise refused from None
        claims, now = token.claims, self.clock.now().timestamp()
        if not _names(token.header, certificate):
            raise TokenError(401, "invalid_client", "AADSTS700027: the certificate of the assertion is not registered.")
        times_fit = float(claims.get("nbf", 0)) - 300 <= now < float(claims.get("exp", 0)) + 300
        if claims.get("iss") != self.app.client_id or claims.get("sub") != self.app.client_id or not claims.get("jti"):
            raise refused
        if claims.get("aud") != endpoint or not times_fit:
            raise TokenError(401, "invalid_client", "AADSTS700024: the assertion is not within its valid time range.")


def _names(header: Mapping[str, Any], certificate: x509.Certificate) -> bool:
    """Return whether a header names the certificate by its thumbprint, of SHA-1 or SHA-256."""
    sha1 = hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER), usedforsecurity=False).digest()
    sha256 = certificate.fingerprint(hashes.SHA256())
    return header.get("x5t") == _base64url(sha1) or header.get("x5t#S256") == _base64url(sha256)


def _base64url(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _audience(form: Mapping[str, Any], version: int) -> str:
    if version == 1:
        if not form.get("resource"):
            raise TokenError(400, "invalid_request", "AADSTS900144: the request body must contain 'resource'.")
        return str(form["resource"])
    scope = str(form.get("scope", ""))
    if not scope.endswith("/.default"):
        raise TokenError(400, "invalid_scope", "AADSTS1002012: the scope of client credentials must end in /.default.")
    return scope.removesuffix("/.default")
