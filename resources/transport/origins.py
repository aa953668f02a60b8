"""Addresses: whether two are of the same origin, and how one is shown without its secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from resources.transport.text.foreign_text import foreign_text


def same_origin(one: str, other: str) -> bool:
    """Return whether two addresses share scheme, host and port; user names and odd ports make them differ."""
    return _origin(one) is not None and _origin(one) == _origin(other)


def _origin(address: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "\\" in address:
        return None
    return parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80)


def shown(address: str) -> str:
    """Return an address without user, query and fragment, fit for a message."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not an address)"
    return foreign_text(f"{parts.scheme}://{host}{parts.path}", limit=200)


def endpoint_of(address: str) -> str:
    """Return host, port and first part of the path of an address: what a rate limit and a back-off hold for."""
    parts = urlsplit(address)
    return f"{parts.netloc.rpartition('@')[2].lower()}/{parts.path.strip('/').partition('/')[0]}"
