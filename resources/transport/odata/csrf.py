"""CSRF tokens of SAP Gateway: whoever posts needs a token, and the session that it was given in.

The token is fetched with a read of the service root, kept with the cookies of its session, and fetched once more when
a post is refused because it is missing or has expired (403 with `x-csrf-token: Required`).
Source: SAP Gateway Foundation, Cross-Site Request Forgery Protection; RFC 6265, 4.2 (Cookie).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from resources.core.errors import ProtocolError
from resources.transport.connections.errors import CsrfRequiredError
from resources.transport.http.answers import HttpAnswer, Media
from resources.transport.http.client import HttpClient

_COOKIE = re.compile(r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e\"]*)\s*(?:;|$)")


@dataclass(frozen=True, slots=True)
class _Session:
    headers: dict[str, str] = field(repr=False)
    """Token and cookies; empty where the service gives none, since it then asks for none."""


class CsrfSession:
    """Posts to one service with its CSRF token; threads may share it."""

    def __init__(self, http: HttpClient, service_root: str) -> None:
        """Prepare; the token of `service_root` (a path) is fetched before the first post."""
        self._http = http
        self._root = service_root.rstrip("/") + "/"
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def post(
        self,
        url: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        safe: bool = False,
        lane: str = "",
        media: Media = Media.JSON,
    ) -> HttpAnswer:
        """Return what `url` answers to `content`; arguments as of `HttpClient.post`.

        Raises:
            SourceError: As `HttpClient.post`; an AuthError also where a new token is refused, too.
        """
        session = self._fetched(None, lane)
        try:
            return self._http.post(
                url, content, headers={**(headers or {}), **session.headers}, safe=safe, lane=lane, media=media
            )
        except CsrfRequiredError:
            # a request without a token that counts is not carried out, so it may be sent again
            session = self._fetched(session, lane)
        return self._http.post(
            url, content, headers={**(headers or {}), **session.headers}, safe=safe, lane=lane, media=media
        )

    def _fetched(self, instead_of: _Session | None, lane: str) -> _Session:
        """Return the session, a new one if there is none or it is `instead_of`."""
        with self._lock:
            if self._session is None or self._session is instead_of:
                answer = self._http.get(self._root, headers={"X-CSRF-Token": "Fetch"}, lane=lane, media=Media.ANY)
                self._session = _Session(self._headers(answer.headers))
            return self._session

    def _headers(self, answered: httpx.Headers) -> dict[str, str]:
        token = answered.get("x-csrf-token", "").strip()
        if token.lower() == "required" or not token.isprintable():
            raise ProtocolError(
                f"{self._http.source}: {self._root} was asked for a CSRF token and gave none; "
                "check that the service is called by its own root",
                source=self._http.source,
            )
        found = (_COOKIE.match(cookie) for cookie in answered.get_list("set-cookie"))
        cookies = {match.group(1): match.group(2) for match in found if match is not None and match.group(2)}
        headers = {"X-CSRF-Token": token} if token else {}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return headers
