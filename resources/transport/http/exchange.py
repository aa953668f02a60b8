"""One request sent once: over the pool, in its turn, its answer judged and read within bounds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx

from resources.core.clock import Clock
from resources.core.errors import ProtocolError, SourceError, ThrottledError
from resources.transport.auth.authenticators import Authenticator
from resources.transport.connections.config import HttpConfig
from resources.transport.connections.errors import SlowAnswerError, connection_error, status_error
from resources.transport.connections.pool import PooledTransport
from resources.transport.http.answers import HttpAnswer, Media, as_utf8, check_kind
from resources.transport.origins import endpoint_of, shown
from resources.transport.trust.tls import client_context
from resources.transport.turns.turnstile import Turnstile

_ERROR_BODY_BYTES = 65_536
"""As much of an error's body is read as may hold its message."""

_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

_DONE = {"GET": frozenset({200}), "POST": frozenset({200, 201, 202, 204})}


@dataclass(slots=True)
class HttpRequest:
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
    sent_at: float = 0.0
    """When the last attempt was sent, in seconds of `time.perf_counter`."""
    perhaps_done: bool = False
    """The last attempt may have been carried out, though no answer came."""
    pause_s: float | None = None
    """How long the endpoint asked all of us to pause, at the last attempt."""

    def __str__(self) -> str:
        """Name it for a message."""
        return f"{self.method} {shown(self.address)}"


class LogonRefusedError(Exception):
    """A 401, which other credentials may cure; `error` is what it is if they do not."""

    def __init__(self, error: SourceError) -> None:
        """Keep the error."""
        super().__init__()
        self.error = error


class Exchange:
    """Sends the requests to one system; threads may share it."""

    def __init__(
        self,
        source: str,
        config: HttpConfig,
        *,
        auth: Authenticator,
        headers: Mapping[str, str],
        limits: Path | None,
        clock: Clock,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            source: Name of the system in messages.
            config: Where, and the limits.
            auth: Whose certificate is shown, and whose secrets are hidden in messages.
            headers: Sent with every request.
            limits: Folder where processes share rate limits and pauses; None: this process alone.
            clock: For tests.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self._source, self._config, self._auth, self._clock = source, config, auth, clock
        tls = client_context(
            ca_certificate=config.ca_certificate,
            allow_tls_1_2=config.allow_tls_1_2,
            pinned_sha256=config.pinned_sha256,
            client_certificate=auth.client_certificate,
            client_key=auth.client_key,
        )
        self._pool = PooledTransport(config, tls)
        self._client = httpx.Client(
            transport=self._pool,
            timeout=config.timeout.total_seconds(),
            headers=dict(headers),
            # cookies are kept where they are wanted (csrf.py): a gateway's would tie all reads to one of its servers
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )
        self._turnstile = Turnstile(
            source,
            config.rate_limit_per_minute,
            folder=limits,
            clock=clock,
            patience_s=config.retry_time.total_seconds(),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def figures(self) -> dict[str, float]:
        """Return what the pool did and holds, and how long requests waited for their turn."""
        return {**asdict(self._pool.state()), "waited_s": self._turnstile.waited_s}

    def send(self, request: HttpRequest, credentials: Mapping[str, str]) -> HttpAnswer:
        """Return the answer to `request`, sent with `credentials`.

        Raises:
            LogonRefusedError: The credentials are refused.
            SourceError: As `HttpClient.get`.
        """
        asking, endpoint = f"{self._source}: {request}", endpoint_of(request.address)
        headers = {"Accept": request.media.accept, **request.headers, **credentials}
        self._turnstile.pass_through(endpoint, request.lane)
        request.perhaps_done, request.sent_at = True, time.perf_counter()
        try:
            with self._client.stream(
                request.method, request.address, headers=headers, content=request.content
            ) as response:
                if not _is_answer(request, response):
                    self._refuse(request, response, asking, credentials)
                if response.status_code != 204:
                    check_kind(response.headers, request.media, source=self._source, asking=asking)
                body = self._read(response, asking)
        except httpx.TransportError as error:
            # no connection stood: nothing can have been carried out
            request.perhaps_done = not isinstance(error, _NOT_CONNECTED)
            raise connection_error(error, source=self._source, asking=asking) from error
        except httpx.DecodingError as error:
            raise ProtocolError(f"{asking}: the answer's compression is damaged", source=self._source) from error
        if request.media in (Media.JSON, Media.CSV):
            body = as_utf8(body, response.headers, source=self._source, asking=asking)
        self._turnstile.answered(endpoint)
        return HttpAnswer(body, response.headers, response.status_code)

    def _read(self, response: httpx.Response, asking: str) -> bytes:
        ends = time.perf_counter() + self._config.answer_timeout.total_seconds()
        body, cut = _read(response, self._config.max_response_bytes, ends)
        if cut:
            raise ProtocolError(
                f"{asking}: the answer is larger than http.max_response_bytes "
                f"({self._config.max_response_bytes:,}); ask for smaller pages (http.page_size)",
                source=self._source,
            )
        return body

    def _refuse(
        self, request: HttpRequest, response: httpx.Response, asking: str, credentials: Mapping[str, str]
    ) -> None:
        patience = min(self._config.timeout, self._config.answer_timeout)
        error = status_error(
            response,
            _read(response, _ERROR_BODY_BYTES, time.perf_counter() + patience.total_seconds())[0],
            source=self._source,
            asking=asking,
            now=self._clock.now(),
            secrets=self._auth.secrets(credentials),
        )
        # what is refused is not carried out; a server that fails, or its gateway that gives up, may have done it
        request.perhaps_done = response.status_code >= 500
        if isinstance(error, ThrottledError):
            request.pause_s = self._turnstile.throttled(endpoint_of(request.address), error.retry_after_s)
        if response.status_code == 401 and credentials:
            raise LogonRefusedError(error)
        raise error


def _is_answer(request: HttpRequest, response: httpx.Response) -> bool:
    if response.status_code in request.taken:
        return request.media.takes(response.headers.get("content-type", ""))
    return response.status_code in _DONE[request.method]


def _read(response: httpx.Response, limit: int, ends: float) -> tuple[bytes, bool]:
    """Return the unpacked body up to `limit` bytes, and whether there was more; `ends` is of `time.perf_counter`."""
    pieces, size = [], 0
    for piece in response.iter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return b"".join(pieces)[:limit], True
        if time.perf_counter() > ends:
            raise SlowAnswerError("the answer does not come to its end", request=response.request)
    return b"".join(pieces), False
