"""Reading JSON over HTTP from one system: pooled, verified, bounded, and retried only where that is safe.

One layer retries: `HttpClient.get_json`, on `UnreachableError` and `ThrottledError` alone; the token is fetched inside.
Source: RFC 9110; facts of the systems in the connectors' README files.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx
import stamina
import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import DataError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.transport.call_stats import CallStats
from resources.transport.config import HttpConfig, OAuthConfig
from resources.transport.foreign_text import foreign_text
from resources.transport.http_errors import connection_error, status_error
from resources.transport.json_text import parse_json
from resources.transport.oauth import TokenSource
from resources.transport.tls import client_context

log = structlog.get_logger(__name__)

_ERROR_BODY_BYTES = 65_536
"""As much of an error's body is read as may hold its message."""


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """What a system answered, parsed, with the headers that came with it."""

    content: Any
    headers: httpx.Headers


class HttpClient:
    """Reads from one system; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        source: str,
        config: HttpConfig,
        *,
        oauth: OAuthConfig | None = None,
        headers: Mapping[str, str] | None = None,
        stats: CallStats | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            source: Name of the system in messages and figures.
            config: Where, and the limits.
            oauth: Who; no Authorization header if absent.
            headers: Sent with every request.
            stats: Where response times are counted.
            clock: For tests.

        Raises:
            ConfigError: The CA certificate cannot be used.
        """
        self.source = source
        self._config = config
        self._clock: Clock = clock or SystemClock()
        self._stats = stats
        tls = client_context(
            ca_certificate=config.ca_certificate,
            allow_tls_1_2=config.allow_tls_1_2,
            pinned_sha256=config.pinned_sha256,
        )
        timeout_s = config.timeout.total_seconds()
        self._tokens = TokenSource(source, oauth, tls=tls, timeout_s=timeout_s, clock=self._clock) if oauth else None
        self._client = httpx.Client(
            verify=tls,
            timeout=timeout_s,
            headers={"Accept": "application/json", **(headers or {})},
            limits=httpx.Limits(max_connections=config.max_connections, keepalive_expiry=30.0),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and write the figures."""
        self._client.close()
        if self._stats:
            self._stats.flush()

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._tokens.requests if self._tokens else 0

    def get_json(self, url: str, *, headers: Mapping[str, str] | None = None) -> JsonAnswer:
        """Return what `url` (a path of the system, or an address in it; encoded) answers.

        Raises:
            UnreachableError: No answer, after the configured attempts.
            ThrottledError: The system asks for a longer pause than is configured, or goes on asking.
            AuthError: Token, certificate or permission refused.
            ProtocolError: Another origin, not JSON, too large, or an error of the system.
        """
        address = self._own_address(url)
        for attempt in stamina.retry_context(
            on=self._pause,
            attempts=self._config.attempts,
            timeout=self._config.retry_time,
            wait_initial=0.5,
            wait_max=30.0,
        ):
            with attempt:
                return self._counted(address, headers)
        raise AssertionError("stamina ends by an answer or by an error")

    def _own_address(self, url: str) -> str:
        """Return the absolute address; the token must never leave the origin it was given for."""
        try:
            address = urljoin(self._config.base_url.rstrip("/") + "/", url)
        except ValueError:
            address = url
        if not same_origin(address, self._config.base_url):
            raise ProtocolError(
                f"{self.source}: refused to follow a link to {_shown(address)}, which is not in "
                f"{_shown(self._config.base_url)}: "
                "credentials would leak; a gateway in front of the system must rewrite its links",
                source=self.source,
            )
        return address

    def _pause(self, error: Exception) -> bool | float:
        """Tell the retries whether to go on, and after which pause."""
        if isinstance(error, ThrottledError) and error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self._config.retry_time.total_seconds() else False
        return isinstance(error, UnreachableError | ThrottledError)

    def _counted(self, address: str, headers: Mapping[str, str] | None) -> JsonAnswer:
        started = time.perf_counter()
        try:
            answer = self._authorised(address, headers)
        except SourceError as error:
            if self._stats:
                self._stats.failed(type(error).__name__)
            log.debug("call_failed", source=self.source, url=_shown(address), error=type(error).__name__)
            raise
        if self._stats:
            self._stats.answered(time.perf_counter() - started)
            self._stats.token_until(self._tokens.expires_at if self._tokens else None)
        return answer

    def _authorised(self, address: str, headers: Mapping[str, str] | None) -> JsonAnswer:
        """Send with the current token; a 401 is answered with one new token, once."""
        if self._tokens is None:
            return self._send(address, dict(headers or {}), None)
        token = self._tokens.token()
        try:
            return self._send(address, dict(headers or {}), token)
        except _TokenRefusedError:
            token = self._tokens.token(instead_of=token)
        try:
            return self._send(address, dict(headers or {}), token)
        except _TokenRefusedError as refused:
            raise refused.error from None

    def _send(self, address: str, headers: dict[str, str], token: str | None) -> JsonAnswer:
        asking = f"{self.source}: GET {_shown(address)}"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            with self._client.stream("GET", address, headers=headers) as response:
                if response.status_code != 200:
                    body = _read(response, _ERROR_BODY_BYTES)[0]
                    self._refuse(response, body, asking, token)
                self._check_json(response, asking)
                body, cut = _read(response, self._config.max_response_bytes)
        except httpx.TransportError as error:
            raise connection_error(error, source=self.source, asking=asking) from error
        except httpx.DecodingError as error:
            raise ProtocolError(f"{asking}: the answer's compression is damaged", source=self.source) from error
        if cut:
            raise ProtocolError(
                f"{asking}: the answer is larger than http.max_response_bytes "
                f"({self._config.max_response_bytes:,}); ask for smaller pages (http.page_size)",
                source=self.source,
            )
        try:
            return JsonAnswer(parse_json(body), response.headers)
        except DataError as error:
            raise ProtocolError(f"{asking}: the answer is {error}", source=self.source) from error

    def _refuse(self, response: httpx.Response, body: bytes, asking: str, token: str | None) -> None:
        error = status_error(
            response, body, source=self.source, asking=asking, now=self._clock.now(), secrets=(token,) if token else ()
        )
        if response.status_code == 401 and token is not None:
            raise _TokenRefusedError(error)
        raise error

    def _check_json(self, response: httpx.Response, asking: str) -> None:
        kind = response.headers.get("content-type", "")
        if "json" in kind.partition(";")[0].lower():
            return
        named = foreign_text(kind, limit=60) or "no content type"
        hint = (
            "it looks like a login page: the client must be a technical user"
            if "html" in kind
            else "check http.base_url"
        )
        raise ProtocolError(f"{asking}: HTTP 200 with {named} in place of JSON; {hint}", source=self.source)


class _TokenRefusedError(Exception):
    """A 401 that a new token may cure; never leaves this module."""

    def __init__(self, error: SourceError) -> None:
        super().__init__()
        self.error = error


def same_origin(one: str, other: str) -> bool:
    """Return whether two addresses share scheme, host and port; user names and odd ports make them differ."""
    return _origin(one) is not None and _origin(one) == _origin(other)


def _origin(address: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "\\" in address:
        return None
    return parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80)


def _shown(address: str) -> str:
    """Return an address without user, query and fragment, fit for a message."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not an address)"
    return foreign_text(f"{parts.scheme}://{host}{parts.path}", limit=200)


def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """Return the unpacked body up to `limit` bytes, and whether there was more."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > limit:
            return bytes(body[:limit]), True
    return bytes(body), False
