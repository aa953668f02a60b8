"""What went wrong over HTTP, told in the errors of this platform: what was asked, what the server said, what to do."""

from __future__ import annotations

import ssl
from collections.abc import Container, Iterable
from datetime import datetime
from typing import TypeVar

import httpx

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.transport.text.foreign_text import foreign_text
from resources.transport.text.server_words import server_words
from resources.transport.trust.pinning import PinnedCertificateError
from resources.transport.turns.retry_after import retry_after_s

Raised = TypeVar("Raised", bound=BaseException)


class NoAnswerError(UnreachableError):
    """Connected, but no whole answer came: what was asked for may be too heavy, where other requests are answered."""


class SlowAnswerError(httpx.ReadTimeout):
    """An answer that goes on coming, and does not come to its end."""


_TIMEOUTS: tuple[tuple[type[httpx.TimeoutException], str], ...] = (
    (httpx.ConnectTimeout, "no connection in time; check host, port and firewall"),
    (
        SlowAnswerError,
        "the answer was not whole in time; raise http.answer_timeout or ask for smaller pages (http.page_size)",
    ),
    (
        httpx.ReadTimeout,
        "connected, but no answer in time; raise http.timeout or ask for smaller pages (http.page_size)",
    ),
    (httpx.WriteTimeout, "connected, but the request could not be sent in time"),
    (httpx.PoolTimeout, "no free connection in the pool in time; too many pulls from this system at once"),
)


_ADVICE: tuple[tuple[Container[int], type[SourceError], str], ...] = (
    ((502, 504), NoAnswerError, "the system behind the gateway does not answer"),
    (
        (401,),
        AuthError,
        "the log-on is refused (of OAuth, a new token is refused too): check auth, the roles of its user and, for SAP, "
        "sap_client",
    ),
    ((403,), AuthError, "the client lacks the permission: have its communication arrangement or role extended"),
    (
        range(300, 400),
        ProtocolError,
        "it sends us to another address (a login page?): check http.base_url, and that the client is a technical user",
    ),
    ((404, 410), ProtocolError, "check http.base_url and that the service is activated there"),
)
"""Statuses -> what they are, and what to do."""


class CsrfRequiredError(AuthError):
    """A post was refused because its CSRF token is missing or has expired (`odata/csrf.py`)."""


def connection_error(error: httpx.TransportError, *, source: str, asking: str) -> SourceError:
    """Return the platform's error for a request that got no whole answer; `asking` says what was tried, on what."""
    meaning = next((meaning for kind, meaning in _TIMEOUTS if isinstance(error, kind)), None)
    if meaning is not None:
        late = NoAnswerError if isinstance(error, httpx.ReadTimeout) else UnreachableError
        return late(f"{asking}: {meaning}", source=source)
    certificate = _cause(error, ssl.SSLCertVerificationError)
    if certificate is not None:
        return AuthError(f"{asking}: {_not_trusted(certificate)}", source=source)
    handshake = _cause(error, ssl.SSLError)
    if handshake is not None:
        return ProtocolError(
            f"{asking}: no TLS session ({foreign_text(str(handshake))}); TLS 1.3 is the minimum, "
            "http.allow_tls_1_2 accepts an older server",
            source=source,
        )
    if isinstance(error, httpx.UnsupportedProtocol):
        return ProtocolError(f"{asking}: not an http or https address", source=source)
    if isinstance(error, httpx.ProxyError):
        return _proxy_error(error, source=source, asking=asking)
    said = foreign_text(str(error) or type(error).__name__)
    if isinstance(error, httpx.ConnectError):
        said = f"cannot connect ({said}); check host, port, DNS and firewall"
    else:
        said = f"the connection broke ({said})"
    kind = UnreachableError if isinstance(error, httpx.ConnectError) else NoAnswerError
    return kind(f"{asking}: {said}", source=source)


def _proxy_error(error: httpx.ProxyError, *, source: str, asking: str) -> SourceError:
    # a refused log-on at the proxy is not repeated either
    kind = AuthError if str(error).startswith("407") else UnreachableError
    return kind(
        f"{asking}: the proxy does not connect us ({foreign_text(str(error))}); check http.proxy_url and its login",
        source=source,
    )


def _not_trusted(error: ssl.SSLCertVerificationError) -> str:
    if isinstance(error, PinnedCertificateError):
        return (
            f"the server's certificate is not the one pinned ({error.verify_message}); if it was renewed on purpose, "
            "add the new fingerprint to http.pinned_sha256; otherwise somebody else answers there"
        )
    return (
        f"the server's certificate is not trusted ({foreign_text(error.verify_message)}); check http.ca_certificate, "
        "and that base_url carries the name the certificate was issued for"
    )


def _cause(error: BaseException, kind: type[Raised]) -> Raised | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def status_error(
    response: httpx.Response, body: bytes, *, source: str, asking: str, now: datetime, secrets: Iterable[str] = ()
) -> SourceError:
    """Return the platform's error for an answer whose status is not 200; `body` is what was read of it."""
    status = response.status_code
    said = foreign_text(server_words(body, response.headers.get("content-type", "")), secrets=secrets)
    told = f"{asking}: HTTP {status}" + (f", the server says: {said}" if said else "")
    if status in (429, 503):
        pause = retry_after_s(response.headers.get("retry-after"), now)
        return ThrottledError(
            f"{told}; it asks for a pause" + (f" of {pause:.0f} s" if pause is not None else ""),
            source=source,
            retry_after_s=pause,
        )
    if status == 403 and response.headers.get("x-csrf-token", "").lower() == "required":
        return CsrfRequiredError(
            f"{told}; a CSRF token is required and a new one is refused, too: behind a load balancer the session "
            "has to stay with one server",
            source=source,
        )
    for statuses, kind, advice in _ADVICE:
        if status in statuses:
            return kind(f"{told}; {advice}", source=source)
    return ProtocolError(told, source=source)
