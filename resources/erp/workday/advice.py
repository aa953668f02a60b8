"""What to do about an error, in Workday's own terms."""

from __future__ import annotations

from resources.core.errors import SourceError

_ADVICE = (
    (
        "HTTP 401",
        "http.base_url must be the host that View API Clients shows for the REST API, and the token of this tenant",
    ),
    (
        "HTTP 403",
        "grant the domain to the security group of the user (a report: share it with the user), then activate pending "
        "security policy changes",
    ),
    ("HTTP 404", "data sources and reports are each tenant's own, and a report must be enabled as a web service"),
    ("HTTP 429", "lower http.rate_limit_per_minute, or move the schedule to a quieter hour"),
)
"""Words of an error -> what to do."""


def explained(error: SourceError) -> str:
    """Return an error's message with what to do about it in Workday; that of a token request stays as it is."""
    said = str(error)
    if "/ccx/oauth2/" in said:
        return said
    advice = next((advice for words, advice in _ADVICE if words in said), None)
    return f"{said}; {advice}" if advice and advice not in said else said
