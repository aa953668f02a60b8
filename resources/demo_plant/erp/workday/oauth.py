"""The fake Workday's token endpoint: the refresh token of an API client for integrations, and JWT bearer.

Source: RFC 6749, 6 (refresh), RFC 7523, 2.1 (JWT bearer). Workday issues tokens whose scopes are those of the client.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from resources.core.clock import Clock
from resources.demo_plant.erp.workday.control import WorkdayControl

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(slots=True)
class WorkdayLogin:
    """Who may log on, and how."""

    tenant: str = "gl_demo"
    client_id: str = "GL_PLATFORM"
    client_secret: str = "demo-workday-secret"  # noqa: S105 - the demo's own
    refresh_token: str = "demo-workday-refresh-token"  # noqa: S105 - as above
    rotates_refresh_token: bool = False
    """A refresh gives a new refresh token, and the one before stops working."""
    public_key: str | None = None
    """PEM of the key that JWT assertions are signed with; no JWT bearer if absent."""
    audience: str = "wd"
    """What an assertion must be meant for."""
    user: str = "ISU_GL"
    """The integration system user, without the tenant."""
    password: str = "demo-workday-password"  # noqa: S105 - as above
    api_key: str | None = None
    """What a gateway in front demands in the header X-API-Key of every data request; nothing if absent."""
    token_lifetime_s: float = 600.0

    @property
    def token_path(self) -> str:
        """Path of the token endpoint."""
        return f"/ccx/oauth2/{self.tenant}/token"


@dataclass(slots=True)
class Tokens:
    """The tokens that were issued."""

    login: WorkdayLogin
    control: WorkdayControl
    clock: Clock
    issued: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Token -> monotonic second of its expiry, number of its request."""

    def exchange(self, form: Mapping[str, Any], authorization: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of the answer to a token request."""
        grant = form.get("grant_type")
        if grant == "refresh_token":
            return self._refreshed(form, authorization)
        if grant == JWT_BEARER and self.login.public_key:
            return self._asserted(str(form.get("assertion", "")))
        return 400, {"error": "unsupported_grant_type"}

    def accepts(self, authorization: str) -> bool:
        """Return whether a header carries a token that is good, or user and password of the integration user."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            user, _, password = _decoded(value).partition(":")
            return self.knows(user, password)
        expires_at, number = self.issued.get(value, (0.0, 0))
        return self.clock.monotonic() < expires_at and self.control.token_is_current(number)

    def knows(self, user: str, password: str) -> bool:
        """Return whether user (`name@tenant`) and password are those of the integration user."""
        expected = self.login.password.encode()
        return user == f"{self.login.user}@{self.login.tenant}" and secrets.compare_digest(password.encode(), expected)

    def _refreshed(self, form: Mapping[str, Any], authorization: str) -> tuple[int, dict[str, Any]]:
        client, _, secret = _decoded(authorization.partition(" ")[2]).partition(":")
        client, secret = client or str(form.get("client_id", "")), secret or str(form.get("client_secret", ""))
        login = self.login
        if client != login.client_id or not secrets.compare_digest(secret.encode(), login.client_secret.encode()):
            return 401, {"error": "invalid_client", "error_description": f"client {client} unknown"}
        if not secrets.compare_digest(str(form.get("refresh_token", "")).encode(), login.refresh_token.encode()):
            return 400, {"error": "invalid_grant", "error_description": "refresh token is invalid"}
        more = {}
        if login.rotates_refresh_token:
            login.refresh_token = secrets.token_urlsafe(24)
            more = {"refresh_token": login.refresh_token}
        return 200, {**self._issue(), **more}

    def _asserted(self, assertion: str) -> tuple[int, dict[str, Any]]:
        assert self.login.public_key is not None
        try:
            claims = jwt.decode(assertion, RSAKey.import_key(self.login.public_key), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return 400, {"error": "invalid_grant", "error_description": "the assertion's signature is not valid"}
        now = self.clock.now().timestamp()
        good = (
            claims.get("iss") == self.login.client_id
            and claims.get("sub") == self.login.user
            and claims.get("aud") in (self.login.audience, [self.login.audience])
            and isinstance(claims.get("exp"), int)
            and now < claims["exp"] <= now + 3600
        )
        return (200, self._issue()) if good else (400, {"error": "invalid_grant", "error_description": "wrong claims"})

    def _issue(self) -> dict[str, Any]:
        token = secrets.token_urlsafe(32)
        life = self.login.token_lifetime_s
        self.issued[token] = (self.clock.monotonic() + life, self.control.token_requests)
        return {"access_token": token, "token_type": "Bearer", "expires_in": int(life)}


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
