"""Who may log on to a fake SAP, by which way, and the tokens and sessions it has given out."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from xml.etree import ElementTree as ET

from resources.core.clock import Clock

Way = Literal["oauth", "basic", "api_key", "x509"]
"""`oauth`: bearer tokens; `basic`: the communication user; `api_key`: the header of the Hub's sandbox; `x509`: whoever
got through the TLS handshake, for a server that demands a client certificate."""

SAML_GRANT = "urn:ietf:params:oauth:grant-type:saml2-bearer"
_SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"


@dataclass(frozen=True, slots=True)
class SapLogin:
    """Who may log on, and how."""

    client_id: str = "GL_PLATFORM"
    client_secret: str = "demo-sap-secret"  # noqa: S105 - the demo's own
    scope: str = "API_MEASUREMENTDOCUMENT_0001"
    token_lifetime_s: float = 600.0
    sap_client: str = "100"
    user: str = "GL_COMM_USER"
    password: str = "demo-sap-password"  # noqa: S105 - the demo's own
    api_key: str = "demo-sap-api-key"
    saml_issuer: str = "demo-identity-provider"
    ways: frozenset[Way] = frozenset({"oauth"})


@dataclass(slots=True)
class Gatekeeper:
    """Gives out tokens and sessions, and knows them again; safe to use from several threads."""

    login: SapLogin
    clock: Clock
    token_requests: int = 0
    _expired_before: int = 0
    _tokens: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Token -> monotonic second of its expiry, number of its request."""
    _csrf: dict[str, str] = field(default_factory=dict)
    """Session cookie -> CSRF token."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""
        with self._lock:
            self._expired_before = self.token_requests

    def lose_sessions(self) -> None:
        """Forget every session, as a load balancer without stickiness does by asking another server."""
        with self._lock:
            self._csrf.clear()

    def token(self, header: str, form: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        """Answer a token request (RFC 6749, 4.4; RFC 7522): status and body."""
        client, secret = basic_credentials(header)
        client, secret = client or form.get("client_id", ""), secret or form.get("client_secret", "")
        login = self.login
        if not (client == login.client_id and secrets.compare_digest(secret.encode(), login.client_secret.encode())):
            told = f"client {client} unknown or locked"
            return 401, {"error": "invalid_client", "error_description": told}
        grant = form.get("grant_type")
        if grant not in ("client_credentials", SAML_GRANT):
            return 400, {"error": "unsupported_grant_type"}
        if grant == SAML_GRANT and (wrong := self._assertion_fault(form.get("assertion", ""))):
            return 400, {"error": "invalid_grant", "error_description": wrong}
        if form.get("scope", login.scope) != login.scope:
            return 400, {"error": "invalid_scope"}
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[token] = (self.clock.monotonic() + login.token_lifetime_s, self.token_requests)
        life = int(login.token_lifetime_s)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": life, "scope": login.scope}

    def _assertion_fault(self, encoded: str) -> str | None:
        """Return what is wrong with a SAML assertion; issuer and period are looked at, the signature is not."""
        try:
            text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            root = ET.fromstring(text)  # noqa: S314 - from our own client, in tests and in the demo
        except (ValueError, ET.ParseError):
            return "assertion is not a base64url encoded SAML 2.0 assertion"
        conditions = root.find(f"{_SAML}Conditions")
        if root.tag != f"{_SAML}Assertion" or root.findtext(f"{_SAML}Issuer") != self.login.saml_issuer:
            return "issuer of the assertion is not trusted"
        until = conditions.get("NotOnOrAfter", "") if conditions is not None else ""
        if not until or datetime.fromisoformat(until) <= self.clock.now():
            return "assertion is not valid (any more)"
        return None

    def admits(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Return whether a request may come in: by one of the ways, to the right client."""
        client = query.get("sap-client") or headers.get("sap-client") or self.login.sap_client
        return client == self.login.sap_client and any(self._admits_by(way, headers) for way in self.login.ways)

    def _admits_by(self, way: Way, headers: Mapping[str, str]) -> bool:
        if way == "x509":
            return True
        if way == "api_key":
            return headers.get("apikey") == self.login.api_key
        shown = headers.get("authorization", "")
        if way == "basic":
            return basic_credentials(shown) == (self.login.user, self.login.password)
        with self._lock:
            expires_at, number = self._tokens.get(shown.removeprefix("Bearer "), (0.0, 0))
        return self.clock.monotonic() < expires_at and number > self._expired_before

    def csrf_token(self, cookie: str | None) -> tuple[str, str]:
        """Return session cookie and CSRF token: those of `cookie`, or new ones."""
        with self._lock:
            if cookie is None or cookie not in self._csrf:
                cookie = secrets.token_urlsafe(16)
                self._csrf[cookie] = secrets.token_urlsafe(16)
            return cookie, self._csrf[cookie]

    def csrf_is_right(self, cookie: str | None, token: str) -> bool:
        """Return whether the token belongs to the session."""
        with self._lock:
            return cookie is not None and secrets.compare_digest(self._csrf.get(cookie, "\0").encode(), token.encode())


def basic_credentials(header: str) -> tuple[str, str]:
    """Return user and password of a Basic header, empty ones if it is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded).decode("latin-1").partition(":")
    except binascii.Error:
        return "", ""
    return user, password
