"""Reading from one system over HTTP: pooled, verified, bounded, in turn, and retried only where that is safe.

One layer retries: `HttpClient`, on `UnreachableError` and `ThrottledError` alone; the token is fetched inside. A read
(GET, or a POST that says it is one) is retried; another request only where it cannot have been carried out: the
connection never stood, or the answer was 429.
Source: RFC 9110; facts of the systems in the connectors' README files.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpx
import stamina
import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.transport.answers import HttpAnswer, JsonAnswer, Media, as_utf8, check_kind, json_of
from resources.transport.auth import Authenticator, authenticator_of
from resources.transport.auth_config import AuthConfig
from resources.transport.call_stats import CallStats
from resources.transport.config import HttpConfig
from resources.transport.http_errors import connection_error, status_error
from resources.transport.origins import same_origin, shown
from resources.transport.tls import client_context

log = structlog.get_logger(__name__)

_ERROR_BODY_BYTES = 65_536
"""As much of an error's body is read as may hold its message."""

_DONE = frozenset({200, 201, 202, 204})


@dataclass(slots=True)
class _Request:
    """One request, sent as often as it takes."""

    method: str
    address: str
    headers: dict[str, str]
    media: Media
    lane: str
    content: bytes | None = None
    safe: bool = True
    """Carrying it out twice does no harm."""
    taken: frozenset[int] = frozenset()
    """Further statuses whose answer is given to the caller if it is of the kind wanted."""
    perhaps_done: bool = field(default=False)
    """The last attempt may have been carried out, though no answer came."""

    def __str__(self) -> str:
        return f"{self.method} {shown(self.address)}"


class HttpClient:
    """Talks to one system; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        source: str,
        config: HttpConfig,
        *,
        auth: AuthConfig | None = None,
        headers: Mapping[str, str] | None = None,
        stats: CallStats | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            source: Name of the system in messages and figures.
            config: Where, and the limits.
            auth: Who; nobody if absent.
            headers: Sent with every request.
            stats: Where response times are counted.
            clock: For tests.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self.source = source
        self.base_url = config.base_url
        self._config = config
        self._clock: Clock = clock or SystemClock()
        self._stats = stats
        self._auth: Authenticator = authenticator_of(source, auth, config, clock=self._clock)
        tls = client_context(
            ca_certificate=config.ca_certificate,
            allow_tls_1_2=config.allow_tls_1_2,
            pinned_sha256=config.pinned_sha256,
            client_certificate=self._auth.client_certificate,
            client_key=self._auth.client_key,
        )
        self._client = httpx.Client(
            verify=tls,
            timeout=config.timeout.total_seconds(),
            headers=dict(headers or {}),
            limits=httpx.Limits(max_connections=config.max_connections, keepalive_expiry=30.0),
            follow_redirects=False,
            trust_env=False,
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
        return self._auth.requests

    def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, lane: str = "", media: Media = Media.JSON
    ) -> HttpAnswer:
        """Return what `url` (a path of the system, or an address in it; encoded) answers.

        Args:
            url: What is read.
            headers: Of this request alone.
            lane: Dataset it is read for: lanes share the rate limit of an endpoint fairly.
            media: Kind of answer that is wanted; anything else, a login page above all, is refused.

        Raises:
            UnreachableError: No answer, after the configured attempts.
            ThrottledError: The system asks for a longer pause than is configured, or goes on asking.
            AuthError: Token, certificate or permission refused.
            ProtocolError: Another origin, not what was wanted, too large, or an error of the system.
        """
        return self._tried(_Request("GET", self._own_address(url), dict(headers or {}), media, lane))

    def get_json(self, url: str, *, headers: Mapping[str, str] | None = None, lane: str = "") -> JsonAnswer:
        """Return the JSON that `url` answers, parsed; for small answers, since pages are better split than parsed.

        Raises:
            SourceError: As `get`.
        """
        answer = self.get(url, headers=headers, lane=lane)
        return json_of(answer, source=self.source, asking=f"{self.source}: GET {shown(self._own_address(url))}")

    def post(  # noqa: PLR0913 - all but the first two by name, and optional
        self,
        url: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        safe: bool = False,
        lane: str = "",
        media: Media = Media.JSON,
        taken: frozenset[int] = frozenset(),
    ) -> HttpAnswer:
        """Return what `url` answers to `content`, whose Content-Type is among `headers`.

        Args:
            url: As in `get`.
            content: Body of the request.
            headers: Of this request alone.
            safe: True for a request that only reads (a query, a SOAP Get_, a $batch of reads): it is retried as a GET
                is. Otherwise it is sent again only where it cannot have been carried out.
            lane: As in `get`.
            media: As in `get`; an answer without content (204) is of any kind.
            taken: Statuses of errors whose answer, if it is of the kind wanted, is returned and not raised: SOAP 1.1
                sends its faults with 500.

        Raises:
            SourceError: As `get`.
        """
        request = _Request("POST", self._own_address(url), dict(headers or {}), media, lane, content, safe, taken)
        return self._tried(request)

    def _own_address(self, url: str) -> str:
        """Return the absolute address; the token must never leave the origin it was given for."""
        try:
            address = urljoin(self._config.base_url.rstrip("/") + "/", url)
        except ValueError:
            address = url
        if not same_origin(address, self._config.base_url):
            raise ProtocolError(
                f"{self.source}: refused to follow a link to {shown(address)}, which is not in "
                f"{shown(self._config.base_url)}: "
                "credentials would leak; a gateway in front of the system must rewrite its links",
                source=self.source,
            )
        return address

    def _tried(self, request: _Request) -> HttpAnswer:
        for attempt in stamina.retry_context(
            on=lambda error: self._pause(request, error),
            attempts=self._config.attempts,
            timeout=self._config.retry_time,
            wait_initial=0.5,
            wait_max=30.0,
        ):
            with attempt:
                return self._counted(request)
        raise AssertionError("stamina ends by an answer or by an error")

    def _pause(self, request: _Request, error: Exception) -> bool | float:
        """Tell the retries whether to go on, and after which pause."""
        if request.perhaps_done and not request.safe:
            return False
        if isinstance(error, ThrottledError) and error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self._config.retry_time.total_seconds() else False
        return isinstance(error, UnreachableError | ThrottledError)

    def _counted(self, request: _Request) -> HttpAnswer:
        started = time.perf_counter()
        try:
            answer = self._authorised(request)
        except SourceError as error:
            if self._stats:
                self._stats.failed(type(error).__name__)
            log.debug("call_failed", source=self.source, url=shown(request.address), error=type(error).__name__)
            raise
        if self._stats:
            self._stats.answered(time.perf_counter() - started)
            self._stats.token_until(self._auth.expires_at)
        return answer

    def _authorised(self, request: _Request) -> HttpAnswer:
        """Send with the current credentials; a 401 is answered with one new token, once."""
        credentials = self._auth.headers()
        try:
            return self._send(request, credentials)
        except _LogonRefusedError as refused:
            renewed = self._auth.renewed(credentials, str(refused.error))
            if renewed is None:
                raise refused.error from None
        try:
            return self._send(request, renewed)
        except _LogonRefusedError as refused:
            raise refused.error from None

    def _send(self, request: _Request, credentials: Mapping[str, str]) -> HttpAnswer:
        asking = f"{self.source}: {request}"
        headers = {"Accept": request.media.accept, **request.headers, **credentials}
        request.perhaps_done = True
        try:
            with self._client.stream(
                request.method, request.address, headers=headers, content=request.content
            ) as response:
                if not _is_answer(request, response):
                    self._refuse(request, response, asking, credentials)
                if response.status_code != 204:
                    check_kind(response.headers, request.media, source=self.source, asking=asking)
                body, cut = _read(response, self._config.max_response_bytes)
        except httpx.TransportError as error:
            request.perhaps_done = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            raise connection_error(error, source=self.source, asking=asking) from error
        except httpx.DecodingError as error:
            raise ProtocolError(f"{asking}: the answer's compression is damaged", source=self.source) from error
        if cut:
            raise ProtocolError(
                f"{asking}: the answer is larger than http.max_response_bytes "
                f"({self._config.max_response_bytes:,}); ask for smaller pages (http.page_size)",
                source=self.source,
            )
        if request.media in (Media.JSON, Media.CSV):
            body = as_utf8(body, response.headers, source=self.source, asking=asking)
        return HttpAnswer(body, response.headers, response.status_code)

    def _refuse(self, request: _Request, response: httpx.Response, asking: str, credentials: Mapping[str, str]) -> None:
        body = _read(response, _ERROR_BODY_BYTES)[0]
        error = status_error(
            response,
            body,
            source=self.source,
            asking=asking,
            now=self._clock.now(),
            secrets=self._auth.secrets(credentials),
        )
        # what is refused is not carried out; a server that fails or is cut off by its gateway may have done it
        request.perhaps_done = response.status_code >= 500
        if response.status_code == 401 and credentials:
            raise _LogonRefusedError(error)
        raise error


def _is_answer(request: _Request, response: httpx.Response) -> bool:
    if response.status_code in request.taken:
        return request.media.takes(response.headers.get("content-type", ""))
    return response.status_code == 200 if request.method == "GET" else response.status_code in _DONE


class _LogonRefusedError(Exception):
    """A 401 that a new token may cure; never leaves this module."""

    def __init__(self, error: SourceError) -> None:
        super().__init__()
        self.error = error


def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """Return the unpacked body up to `limit` bytes, and whether there was more."""
    pieces, size = [], 0
    for piece in response.iter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return b"".join(pieces)[:limit], True
    return b"".join(pieces), False
