"""How the Dynamics-like service is told to misbehave, request by request, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from resources.demo_plant.erp.control import TokenControl

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


@dataclass(slots=True)
class DynamicsControl(TokenControl):
    """Tells the service what to do next and counts what it did; safe to use from another thread."""

    KINDS: ClassVar[tuple[str, ...]] = get_args(FaultKind)

    registered: bool = True
    """False: the application has its token from Entra but is not registered inside Finance & Operations."""
    metadata_changes: dict[str, str] = field(default_factory=dict)
    """What `$metadata` says -> what it says instead, as after an update."""

    def reset(self) -> None:
        """Forget what was told: faults, denials, changed metadata."""
        TokenControl.reset(self)
        self.metadata_changes.clear()
        self.registered = True
