"""Reading from one system over HTTP: pooled, verified, bounded, in turn, and retried only where that is safe.

One layer retries: `HttpClient`, on `UnreachableError` and `ThrottledError` alone; the token is fetched inside. A read
(GET, or a POST that says it is one) is retried; another request only where it cannot have been carried out: the
connection never stood, or the answer was 429.
Source: RFC 9110; facts of the systems in the connectors' README files.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urljoin

import stamina
import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.core.process.closing import Closing
from resources.transport.auth.authenticators import Authenticator, authenticator_of
from resources.transport.auth.config import AuthConfig
from resources.transport.connections.config import HttpConfig
from resources.transport.http.answers import HttpAnswer, JsonAnswer, Media, json_of
from resources.transport.http.call_stats import CallStats
from resources.transport.http.exchange import Exchange, HttpRequest, LogonRefusedError
from resources.transport.origins import same_origin, shown

log = structlog.get_logger(__name__)


class HttpClient(Closing):
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
            stats: Where response times are counted; under its GL_HOME processes share rate limits, pauses and the
                knowledge of refused secrets.
            clock: For tests.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self.source = source
        self.base_url = config.base_url
        self._config = config
        self._clock: Clock = clock or SystemClock()
        self._stats = stats
        self._auth: Authenticator = authenticator_of(
            source, auth, config, headers=headers or {}, home=stats.home if stats else None, clock=self._clock
        )
        self._exchange = Exchange(
            source,
            config,
            auth=self._auth,
            headers=headers or {},
            limits=stats.home / "limits" if stats else None,
            clock=self._clock,
        )
        if stats:
            stats.watch(self._exchange.figures)

    def close(self) -> None:
        """Close the connections and write the figures."""
        self._exchange.close()
        self._auth.close()
        if self._stats:
            self._stats.flush()

    def figures(self) -> dict[str, float]:
        """Return what the pool of connections did and holds, and how long requests waited for their turn."""
        return self._exchange.figures()

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
        return self._tried(HttpRequest("GET", self._own_address(url), dict(headers or {}), media, lane))

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
        request = HttpRequest("POST", self._own_address(url), dict(headers or {}), media, lane, content, safe, taken)
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

    def _tried(self, request: HttpRequest) -> HttpAnswer:
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

    def _pause(self, request: HttpRequest, error: Exception) -> bool | float:
        """Tell the retries whether to go on, and after which pause."""
        if request.perhaps_done and not request.safe:
            return False
        if isinstance(error, ThrottledError):
            pause_s = error.retry_after_s if error.retry_after_s is not None else request.pause_s
            return True if pause_s is None else pause_s <= self._config.retry_time.total_seconds() and pause_s
        return isinstance(error, UnreachableError)

    def _counted(self, request: HttpRequest) -> HttpAnswer:
        try:
            answer = self._authorised(request)
        except SourceError as error:
            if self._stats:
                self._stats.failed(type(error).__name__)
            log.debug("call_failed", source=self.source, url=shown(request.address), error=type(error).__name__)
            raise
        if self._stats:
            self._stats.answered(time.perf_counter() - request.sent_at)
            self._stats.token_until(self._auth.expires_at)
        return answer

    def _authorised(self, request: HttpRequest) -> HttpAnswer:
        """Send with the current credentials; a 401 is answered with one new token, once."""
        credentials = self._auth.headers()
        try:
            return self._exchange.send(request, credentials)
        except LogonRefusedError as refused:
            renewed = self._auth.renewed(credentials, str(refused.error))
            if renewed is None:
                raise refused.error from None
        try:
            return self._exchange.send(request, renewed)
        except LogonRefusedError as refused:
            raise refused.error from None
