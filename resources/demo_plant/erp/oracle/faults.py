"""How the fake is told to misbehave, request by request, and what it counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, get_args

FaultKind = Literal[
    "throttle",
    "unavailable",
    "bad_gateway",
    "gateway_timeout",
    "server_error",
    "forbidden",
    "unauthorized",
    "slow",
    "html_login",
    "redirect",
    "drop",
    "truncated",
    "not_utf8",
    "wrong_charset",
    "not_json",
    "foreign_link",
    "repeat_page",
    "empty_page",
    "miscount",
    "no_more",
    "other_day",
    "ignore_filter",
    "no_key",
    "unknown_currency",
    "other_date_format",
    "huge_field",
    "token_unavailable",
    "token_html",
]
"""`throttle` 429, `unavailable` 503, `bad_gateway` 502, `gateway_timeout` 504, `server_error` 500, `forbidden` 403,
`unauthorized` 401 with a token that is good, `slow` answers after `seconds`, `html_login` a login page with status 200,
`redirect` 302 to one, `drop` breaks the connection in the middle of the body, `truncated` cuts the JSON short,
`not_utf8` sends Latin-1, `wrong_charset` UTF-16 and says so, `not_json` a collection without items, `foreign_link`
gives children a link to another host, `repeat_page` sends the page before again, `empty_page` no records but hasMore,
`miscount` adds one to totalResults, `no_more` says hasMore false whatever there is, `other_day` dates the records a day
later, `ignore_filter` answers as if there were no q, `no_key` leaves the key of the first record out,
`unknown_currency` writes XXZ, `other_date_format` writes dates as 20-NOV-2026, `huge_field` puts 10 MB into a text of
the first record; `token_unavailable` and `token_html` are the token endpoint's 503 and login page."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour; `retry_after` goes into the header as it stands, `seconds` is the delay of `slow`."""

    kind: FaultKind
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class OracleControl:
    """Tells the fake what to do next and counts what it did; safe to use from another thread."""

    cap: int = 500
    """Most records of a page: a larger limit is cut to it, silently."""
    nested_limit: int = 25
    """Most children of a record in its own page; more are at the link of the children."""
    honest_total: bool = True
    """False: totalResults never exceeds the page, as some pods answer a limit at the cap."""
    heavy_above: int | None = None
    """A page of more records than this with expanded children takes so long that the gateway gives up (504)."""
    clock_skew_s: float = 0.0
    """How far the server's clock, seen in its Date header, is ahead."""
    denied: set[str] = field(default_factory=set)
    """Resources that the role may not read: 403."""
    hidden: set[str] = field(default_factory=set)
    """Resources whose records no data access set shows to the role: an empty 200."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Attribute -> the name that descriptions give it."""
    pages: dict[str, bytes] = field(default_factory=dict)
    """Resource -> the last page sent of it, which `repeat_page` sends again."""
    token_requests: int = 0
    """Requests to the token endpoint."""
    requests: int = 0
    """Requests for data."""
    records_sent: int = 0
    """Records of the first level in the pages sent."""
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    """Path and query of the last requests for data, decoded."""
    _queue: deque[Fault | None] = field(default_factory=deque)
    _expired_before: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def misbehave(
        self, kind: str, *, times: int = 1, after: int = 0, retry_after: str | None = None, seconds: float = 0.0
    ) -> None:
        """Let `after` requests pass and then `times` requests meet the fault `kind`; further calls queue behind.

        Raises:
            ValueError: There is no such kind.
        """
        found = next((known for known in get_args(FaultKind) if known == kind), None)
        if found is None:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(get_args(FaultKind))}")
        with self._lock:
            self._queue.extend([None] * after)
            self._queue.extend([Fault(found, retry_after, seconds)] * times)

    def reset(self) -> None:
        """Behave as at the start, with nothing counted; tokens stay good."""
        fresh = OracleControl()
        with self._lock:
            for name in self.__dataclass_fields__:
                if name not in ("_lock", "_expired_before", "token_requests"):
                    setattr(self, name, getattr(fresh, name))

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""
        with self._lock:
            self._expired_before = self.token_requests

    def token_is_current(self, number: int) -> bool:
        """Return whether the token of the `number`th token request still counts."""
        return number > self._expired_before

    def next_fault(self, *, token: bool = False) -> Fault | None:
        """Return the fault of this request: of the token endpoint, or of the data service."""
        with self._lock:
            if not self._queue:
                return None
            due = self._queue[0]
            if (due is not None and due.kind.startswith("token_")) != token:
                return None
            return self._queue.popleft()
