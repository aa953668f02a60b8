"""How the fake Workday is told to misbehave, request by request, and what it counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

FaultKind = Literal[
    "throttle", "unavailable", "bad_gateway", "server_error", "forbidden", "unauthorized", "not_found", "slow",
    "html_login", "redirect", "drop", "truncated", "not_utf8", "wrong_charset", "repeat_page", "empty_page", "miscount",
    "no_key", "odd_currency", "odd_date", "other_day", "huge_field", "validation_fault", "processing_fault", "entities",
    "foreign_import", "token_unavailable", "token_html",
]  # fmt: skip
"""`throttle` 429, `unavailable` 503, `bad_gateway` 502, `server_error` 500, `forbidden` 403, `not_found` 404,
`unauthorized` 401 with a token that is good, `slow` answers after `seconds`, `html_login` a login page with status 200,
`redirect` 302 to one, `drop` breaks the connection in the middle of the body, `truncated` cuts the body short,
`not_utf8` sends Latin-1, `wrong_charset` sends it and says so, `repeat_page` sends the first page again, `empty_page`
none of the records it counts, `miscount` adds one to the count, `no_key`, `odd_currency`, `odd_date` and `other_day`
spoil the first record, `huge_field` makes its memo 10 MB, `validation_fault` and `processing_fault` are SOAP faults,
`entities` declares an entity in the XML, `foreign_import` lets the WSDL import a schema of another host;
`token_unavailable` and `token_html` are the token endpoint's 503 and login page."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour; `retry_after` goes into the header as it stands, `seconds` is the delay of `slow`."""

    kind: FaultKind
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class WorkdayControl:
    """Tells the service what to do next and counts what it did; safe to use from another thread."""

    token_requests: int = 0
    """Requests to the token endpoint."""
    requests: int = 0
    """Requests to the data services."""
    records_sent: int = 0
    """Records in the answers sent."""
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    """Path and query of the last requests to the data services, decoded; of SOAP and of a query by POST the body."""
    headers: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=1_000))
    """Headers of the same requests."""
    denied: set[str] = field(default_factory=set)
    """Data sources, reports and SOAP operations whose permission was taken away."""
    metadata_changes: dict[str, str] = field(default_factory=dict)
    """Text in WSDLs, fields, schemas and answers of SOAP -> what stands there instead."""
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

    def reset(self) -> None:
        """Behave: forget what was told to go wrong, was denied or renamed."""
        with self._lock:
            self._queue.clear()
            self.denied.clear()
            self.metadata_changes.clear()

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""
        with self._lock:
            self._expired_before = self.token_requests

    def token_is_current(self, number: int) -> bool:
        """Return whether the token of the `number`th token request still counts."""
        return number > self._expired_before

    def next_fault(self, *, token: bool = False) -> Fault | None:
        """Return the fault of this request: of the token endpoint, or of a data service."""
        with self._lock:
            if not self._queue:
                return None
            due = self._queue[0]
            if (due is not None and due.kind.startswith("token_")) != token:
                return None
            return self._queue.popleft()


def spoilt(things: Sequence[dict[str, Any]], fault: Fault | None) -> list[dict[str, Any]]:
    """Return journals with the first one spoilt as the fault says."""
    if fault is None or not things or "lines" not in things[0]:
        return list(things)
    first, *rest = things
    line, *others = first["lines"]
    changes: dict[str, dict[str, Any]] = {
        "no_key": {"number": None, "wid": None},
        "odd_currency": {"currency": "QQQ"},
        "odd_date": {"accounting_date": "20/11/2026"},
        "other_day": {"accounting_date": "2025-01-02"},
        "huge_field": {"lines": [{**line, "memo": "x" * 10_000_000 if fault.kind == "huge_field" else ""}, *others]},
    }
    return [{**first, **changes.get(fault.kind, {})}, *rest]
