"""How the fake is told to misbehave, request by request, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, get_args

from resources.demo_plant.erp.control import TokenControl

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


@dataclass(slots=True)
class OracleControl(TokenControl):
    """Tells the fake what to do next and counts what it did; safe to use from another thread."""

    KINDS: ClassVar[tuple[str, ...]] = get_args(FaultKind)

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
    hidden: set[str] = field(default_factory=set)
    """Resources whose records no data access set shows to the role: an empty 200."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Attribute -> the name that descriptions give it."""
    pages: dict[str, bytes] = field(default_factory=dict)
    """Resource -> the last page sent of it, which `repeat_page` sends again."""

    def reset(self) -> None:
        """Behave as at the start, with nothing counted; tokens stay good."""
        fresh = OracleControl()
        with self._lock:
            for each in fields(self):
                if each.name not in ("_lock", "_expired_before", "token_requests"):
                    setattr(self, each.name, getattr(fresh, each.name))
