"""Tokens of OAuth 2.0: one at a time for a client of a tenant, in memory only, renewed before it expires.

A refused secret is not sent again (`refusals.py`): repeated attempts lock the account (in SAP the OAuth client is an
ordinary user). Setting another secret in the environment is a new attempt.
Source: RFC 6749, 5.1 and 5.2 (answers); RFC 6750 (bearer tokens); the grants: `oauth_grants.py`.
"""

from __future__ import annotations

import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from authlib.deprecate import AuthlibDeprecationWarning
from authlib.integrations.base_client import OAuthError

from resources.core.clock import Clock, SystemClock
from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.transport.auth.config import RefreshTokenConfig, TokenGrant
from resources.transport.auth.oauth_grants import Credentials, credentials_of, token_request
from resources.transport.auth.refusals import Refusals
from resources.transport.connections.config import HttpConfig
from resources.transport.connections.errors import connection_error
from resources.transport.connections.pool import PooledTransport
from resources.transport.text.foreign_text import foreign_text
from resources.transport.turns.retry_after import retry_after_s

with warnings.catch_warnings():
    # Authlib announces its move from httpx to httpx2, which it would import instead if it were installed; it is not
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import OAuth2Client

log = structlog.get_logger(__name__)

LONGEST_MARGIN_S = 300.0
"""A token is renewed this long before it expires, or at 80 % of its life if that is earlier still."""

ASSUMED_LIFE_S = 3600.0
"""Life of a token whose server does not state it; a 401 renews it anyway."""


_NOT_THE_SECRET = frozenset(
    {
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "unsupported_grant_type",
        "server_error",
        "temporarily_unavailable",
    }
)
"""Errors of OAuth that say nothing against the secret: it may be sent again once the request is right."""


class _SecretRefusedError(AuthError):
    """The endpoint did not take the secret; never leaves this module."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; its text shows in no representation."""

    access_token: str
    expires_at: datetime
    renew_at: float
    """Monotonic second from which on it is renewed."""

    def __repr__(self) -> str:
        """Name the expiry only."""
        return f"Token(expires_at={self.expires_at.isoformat()})"


class TokenSource:
    """Gives the current token of one OAuth client; threads may share it, and only one of them fetches."""

    def __init__(
        self,
        source: str,
        config: TokenGrant,
        http: HttpConfig,
        *,
        tls: ssl.SSLContext,
        refused: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first `token()`.

        Args:
            source: Name of the system in messages.
            config: Endpoint and client.
            http: How long to wait, and through which proxy.
            tls: Whom to trust.
            refused: Folder where refused secrets are remembered; None: in memory.
            clock: For tests.
        """
        self._source = source
        self._refusals = Refusals(source, f"{source}\n{config.model_dump_json()}", refused)
        self._config = config
        self._http = http
        self._tls = tls
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._rotated: str | None = None
        self.requests = 0
        """Token requests sent so far."""
        self.users = 0
        """Clients that share it."""

    @property
    def expires_at(self) -> datetime | None:
        """When the current token expires; None before the first one."""
        return self._token.expires_at if self._token else None

    def token(self, *, instead_of: str | None = None) -> str:
        """Return a token that is good for a while.

        Args:
            instead_of: A token the system has just refused: a newer one is fetched unless another thread has one.

        Raises:
            AuthError: The endpoint refused the client, now or earlier with the same secret.
            ThrottledError: The endpoint asks for a pause.
            UnreachableError: The endpoint could not be reached.
            ProtocolError: The endpoint's answer is no token.
            ConfigError: The environment variable with the secret is not set.
        """
        with self._lock:
            current = self._token
            if current and current.access_token != instead_of and self._clock.monotonic() < current.renew_at:
                return current.access_token
            self._token = self._fetch()
            return self._token.access_token

    def _fetch(self) -> Token:
        held = credentials_of(self._config)
        self._refusals.check(held.digest)
        try:
            answer = self._ask(held)
        except _SecretRefusedError as error:
            self._refusals.note(held.digest, str(error), self._clock.now())
            log.warning("token_refused", source=self._source, endpoint=self._endpoint)
            raise AuthError(str(error), source=self._source) from None
        token = self._token_of(answer)
        self._keep_rotated(answer)
        log.debug("token_fetched", source=self._source, expires_at=token.expires_at.isoformat())
        return token

    def _keep_rotated(self, answer: dict[str, Any]) -> None:
        """Use a refresh token that came in place of the configured one for as long as this process lives."""
        if not isinstance(self._config, RefreshTokenConfig):
            return
        rotated = answer.get("refresh_token")
        if isinstance(rotated, str) and rotated and rotated != self._rotated:
            if self._rotated is None and rotated != credentials_of(self._config).material:
                # a client of an integration should have one that does not expire
                log.warning("refresh_token_rotated", source=self._source, variable=repr(self._config.refresh_token))
            self._rotated = rotated

    @property
    def _endpoint(self) -> str:
        parts = urlsplit(self._config.token_url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def _ask(self, held: Credentials) -> dict[str, Any]:
        asking = f"{self._source}: POST {self._endpoint}"
        if self._rotated is not None:
            held = Credentials(held.client_secret, self._rotated)
        request = token_request(self._config, held, self._clock.now())
        self.requests += 1
        client = OAuth2Client(
            client_id=self._config.client_id,
            client_secret=held.client_secret,
            token_endpoint_auth_method=request.auth_method,
            transport=PooledTransport(self._http, self._tls),
            timeout=self._http.timeout.total_seconds(),
            trust_env=False,
        )
        client.register_compliance_hook(
            "access_token_response", lambda response: self._judged(response, asking, held.secrets)
        )
        with client, _mapped(self._source, asking, held.secrets):
            answer: dict[str, Any] = client.fetch_token(self._config.token_url, **request.fields)
        return answer

    def _judged(self, response: httpx.Response, asking: str, secrets: tuple[str, ...]) -> httpx.Response:
        """Return the answer if it may hold a token or an OAuth error; raise what it is otherwise."""
        status, pause = response.status_code, retry_after_s(response.headers.get("retry-after"), self._clock.now())
        if status in (429, 503):
            raise ThrottledError(f"{asking}: HTTP {status}, asks for a pause", source=self._source, retry_after_s=pause)
        if status in (502, 504):
            raise UnreachableError(
                f"{asking}: HTTP {status}, the system behind the gateway does not answer", source=self._source
            )
        if status >= 500:
            raise ProtocolError(
                f"{asking}: HTTP {status}; ask the system's administrator for its log", source=self._source
            )
        if "json" in response.headers.get("content-type", ""):
            return response
        if status in (400, 401, 403):
            said = foreign_text(response.text, limit=120, secrets=secrets)
            # a 403 that is no answer of OAuth is a gateway's, which has not looked at the secret
            raise (AuthError if status == 403 else _SecretRefusedError)(
                f"{asking}: HTTP {status}, client {self._config.client_id} refused: {said}", source=self._source
            )
        kind = foreign_text(response.headers.get("content-type", "no content type"), limit=60)
        raise ProtocolError(
            f"{asking}: HTTP {status} with {kind} in place of JSON; check auth.token_url (is it a login page?)",
            source=self._source,
        )

    def _token_of(self, answer: dict[str, Any]) -> Token:
        text = answer.get("access_token")
        if not isinstance(text, str) or not text or str(answer.get("token_type", "bearer")).lower() != "bearer":
            raise ProtocolError(
                f"{self._source}: POST {self._endpoint}: the answer holds no bearer token; check auth.token_url",
                source=self._source,
            )
        # Authlib has made sure that a life that is stated is a whole number
        life = min(max(float(answer.get("expires_in") or ASSUMED_LIFE_S), 1.0), 86_400.0 * 365)
        return Token(
            access_token=text,
            expires_at=self._clock.now() + timedelta(seconds=life),
            renew_at=self._clock.monotonic() + life - min(LONGEST_MARGIN_S, 0.2 * life),
        )


@contextmanager
def _mapped(source: str, asking: str, secrets: tuple[str, ...]) -> Iterator[None]:
    """Turn what Authlib and httpx raise into the errors of this platform."""
    try:
        yield
    except SourceError:
        raise
    except OAuthError as error:
        said = foreign_text(f"{error.error}: {error.description or ''}", secrets=secrets)
        # the original holds the server's own words, which may repeat the secret
        raise (AuthError if error.error in _NOT_THE_SECRET else _SecretRefusedError)(
            f"{asking}: refused with {said}; check auth.client_id, the secret's environment variable and auth.scope",
            source=source,
        ) from None
    except httpx.TransportError as error:
        raise connection_error(error, source=source, asking=asking) from error
    except (TypeError, ValueError, httpx.HTTPError):
        raise ProtocolError(
            f"{asking}: the answer is not a JSON object with a token and its life in whole seconds; "
            "check auth.token_url",
            source=source,
        ) from None
