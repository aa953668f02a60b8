"""The pause a server asks for. Source: RFC 9110, 10.2.3 (Retry-After)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for, by number or by HTTP date; None if it says nothing usable."""
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:  # "-0000" leaves the zone unknown; HTTP dates are GMT
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
