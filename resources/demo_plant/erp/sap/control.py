"""How the SAP-like service is told to misbehave, request by request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from resources.demo_plant.erp.control import Control, Fault
from resources.demo_plant.erp.sap.login import Gatekeeper

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
    "foreign_link",
    "repeat_page",
    "miscount",
    "other_day",
    "empty_page",
    "wrong_charset",
    "huge_field",
    "no_key",
    "xml_error",
    "deep_error",
    "csrf_lost",
    "token_unavailable",
    "token_html",
]
"""`throttle` 429, `unavailable` 503, `bad_gateway` 502, `server_error` 500, `forbidden` 403, `unauthorized` 401 with a
token that is good, `slow` answers after `seconds`, `html_login` a login page with status 200, `redirect` 302 to one,
`drop` breaks the connection in the middle of the body, `truncated` cuts the JSON short, `not_utf8` sends Latin-1,
`foreign_link` links to another host, `repeat_page` links to the page itself, `miscount` adds one to the count,
`other_day` ignores the day asked for, `empty_page` sends no records but the link, `wrong_charset` sends and declares
Latin-1, `huge_field` makes one text 10 MB long, `no_key` takes the key off the first record; `xml_error` and
`deep_error` are errors of the service as XML and with details, `csrf_lost` a 403 that asks for another CSRF token;
`token_unavailable` and `token_html` are the token endpoint's 503 and login page."""


@dataclass(slots=True)
class SapControl(Control):
    """Tells the service what to do next and counts what it did; safe to use from another thread."""

    KINDS: ClassVar[tuple[str, ...]] = get_args(FaultKind)

    links: Literal["relative", "absolute"] = "relative"
    """Form of @odata.nextLink and __next."""
    largest_expand: int | None = None
    """Most entities that `$expand` is answered for at once; more run into the time limit (500)."""
    warnings: tuple[str, ...] = ()
    """Texts that come with every good answer: in the header `sap-messages`, and in V4 as SAP__Messages."""
    metadata_changes: dict[str, str] = field(default_factory=dict)
    """Text in `$metadata` -> what stands there in its place: a release that renamed a property."""
    gatekeeper: Gatekeeper | None = None
    """Set by the service."""

    def reset(self) -> None:
        """Behave again: no faults, no denials, no warnings; the counts stay."""
        Control.reset(self)
        self.links, self.largest_expand, self.warnings = "relative", None, ()
        self.metadata_changes.clear()

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""
        self.gate().expire_tokens()

    @property
    def token_requests(self) -> int:
        """Requests to the token endpoint."""
        return self.gate().token_requests

    def gate(self) -> Gatekeeper:
        """Return who gives out the tokens of the service that this controls."""
        assert self.gatekeeper is not None, "the control belongs to no service yet"
        return self.gatekeeper

    def count(self, query: str) -> Fault | None:
        """Count a request for data; return the fault it is to meet."""
        self.requests += 1
        self.seen.append(query)
        return self.next_fault()
