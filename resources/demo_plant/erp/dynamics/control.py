"""How the Dynamics-like service is told to misbehave, request by request, and what it counts."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, get_args

FaultKind = Literal[
    "throttle",
    "unavailable",
    "bad_gateway",
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
    "foreign_link",
    "repeat_page",
    "empty_page",
    "cut_children",
    "ignore_filter",
    "miscount",
    "no_key",
    "odd_currency",
    "odd_date",
    "huge_field",
    "token_unavailable",
    "token_throttle",
    "token_html",
]
"""`throttle` 429, `unavailable` 503, `bad_gateway` 502, `server_error` 500 with its words in innererror, `forbidden`
403, `unauthorized` 401 with a token that is good, `slow` answers after `seconds`, `html_login` a sign-in page with
status 200, `redirect` 302 to one, `drop` breaks the connection in the middle of the body, `truncated` cuts the JSON
short, `not_utf8` sends Latin-1, `wrong_charset` sends windows-1252 and says so, `foreign_link` links to another host,
`repeat_page` links to the page itself, `empty_page` sends a page without records that links on, `cut_children` leaves
the rest of expanded lists to a link, `ignore_filter` answers as if there were no `$filter`, `miscount` adds one to the
count; `no_key`, `odd_currency`, `odd_date` and `huge_field` spoil the first record of the page; `token_unavailable`,
`token_throttle` and `token_html` are the token endpoint's 503, 429 and sign-in page."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour; `retry_after` goes into the header as it stands, `seconds` is the delay of `slow`."""

    kind: FaultKind
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class DynamicsControl:
    """Tells the service what to do next and counts what it did; safe to use from another thread."""

    registered: bool = True
    """False: the application has its token from Entra but is not registered inside Finance & Operations."""
    denied: set[str] = field(default_factory=set)
    """Entity sets that the user behind the application may not read."""
    metadata_changes: dict[str, str] = field(default_factory=dict)
    """What `$metadata` says -> what it says instead, as after an update."""
    token_requests: int = 0
    """Requests to the token endpoint."""
    requests: int = 0
    """Requests to the data service."""
    records_sent: int = 0
    """Records in the pages sent."""
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    """Path and query of the last requests to the data service, decoded."""
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
        found = next((k for k in get_args(FaultKind) if k == kind), None)
        if found is None:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(get_args(FaultKind))}")
        with self._lock:
            self._queue.extend([None] * after)
            self._queue.extend([Fault(found, retry_after, seconds)] * times)

    def behave(self) -> None:
        """Forget what was told: faults, denials, changed metadata."""
        with self._lock:
            self._queue.clear()
        self.denied.clear()
        self.metadata_changes.clear()
        self.registered = True

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
