"""How the fake Workday is told to misbehave, request by request, and what it counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from resources.demo_plant.erp.control import Fault, TokenControl

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


@dataclass(slots=True)
class WorkdayControl(TokenControl):
    """Tells the service what to do next and counts what it did; safe to use from another thread."""

    KINDS: ClassVar[tuple[str, ...]] = get_args(FaultKind)

    headers: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=1_000))
    """Headers of the same requests."""
    metadata_changes: dict[str, str] = field(default_factory=dict)
    """Text in WSDLs, fields, schemas and answers of SOAP -> what stands there instead."""

    def reset(self) -> None:
        """Behave: forget what was told to go wrong, was denied or renamed."""
        TokenControl.reset(self)
        self.metadata_changes.clear()


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
