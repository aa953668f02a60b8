"""Who may read the fake: client credentials at an identity domain of its own kind, and Basic.

Source: IDCS / OCI IAM, `/oauth2/v1/token`; the scope is the audience and the scope of the application, concatenated
without a blank.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from resources.core.clock import Clock
from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.oracle.faults import OracleControl

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105 - a path, no secret
"""Path of the token endpoint, as identity domains have it."""

LOGIN_PAGE = "<html><head><title>Sign In</title></head><body><form>User <input> Password <input></form></body></html>"


@dataclass(frozen=True, slots=True)
class OracleLogin:
    """Who may log on, and how."""

    client_id: str = "GL_PLATFORM"
    client_secret: str = "demo-oracle-secret"  # noqa: S105 - the demo's own
    scope: str = "urn:opc:resource:fa:instanceid=500001234urn:opc:resource:consumer::all"
    token_lifetime_s: float = 3600.0
    unmapped_client_id: str = "GL_UNMAPPED"
    """A client with the same secret that no Fusion user belongs to: every answer is empty."""
    username: str = "GL.INTEGRATION"
    password: str = "demo-oracle-password"  # noqa: S105 - the demo's own


@dataclass(frozen=True, slots=True)
class _Token:
    expires_at: float
    number: int
    mapped: bool


Standing = Literal["refused", "unmapped", "mapped"]
"""What a request may see: nothing at all, empty answers, or the records."""


@dataclass(slots=True)
class Gate:
    """Issues tokens and looks at them."""

    login: OracleLogin
    control: OracleControl
    clock: Clock
    _tokens: dict[str, _Token] = field(default_factory=dict)

    async def token(self, request: Request) -> Response:
        """Issue a token for client credentials (RFC 6749, 4.4)."""
        self.control.token_requests += 1
        fault = self.control.next_fault(token=True)
        if fault is not None:
            return _spoilt(fault)
        form = await request.form()
        client, secret = _credentials(request.headers.get("authorization", ""))
        client, secret = client or str(form.get("client_id", "")), secret or str(form.get("client_secret", ""))
        if client not in (self.login.client_id, self.login.unmapped_client_id) or not _same(
            secret, self.login.client_secret
        ):
            return _refused(401, "invalid_client", "Client authentication failed.")
        if form.get("grant_type") != "client_credentials":
            return _refused(400, "unsupported_grant_type", "The grant type is not allowed for this client.")
        if str(form.get("scope", "")) != self.login.scope:
            return _refused(400, "invalid_scope", "The scope is not one of the application's.")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = _Token(
            self.clock.monotonic() + self.login.token_lifetime_s,
            self.control.token_requests,
            client == self.login.client_id,
        )
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": int(self.login.token_lifetime_s)}
        )

    def standing(self, request: Request) -> Standing:
        """Return what a request may see."""
        header = request.headers.get("authorization", "")
        if header.startswith("Basic "):
            user, password = _credentials(header)
            return "mapped" if user == self.login.username and _same(password, self.login.password) else "refused"
        token = self._tokens.get(header.removeprefix("Bearer "))
        if token is None or token.expires_at <= self.clock.monotonic():
            return "refused"
        if not self.control.token_is_current(token.number):
            return "refused"
        return "mapped" if token.mapped else "unmapped"


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _refused(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def _spoilt(fault: Fault) -> Response:
    if fault.kind == "token_html":
        return HTMLResponse(LOGIN_PAGE)
    headers = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
    return Response("Service Unavailable", 503, headers=headers, media_type="text/plain")


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
