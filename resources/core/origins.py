"""Under which name rows are stored: the collector's own, or that of what was read from history in its place.

Rows of one name are replaced by a later revision of their window; those of another name stay. What fills a gap must
outlive the next revision of the window, so it goes under a name of its own.
"""

from __future__ import annotations

HISTORY_SUFFIX = "-history"
"""Ends the name that history is stored under; no collector may be called so."""


def history_of(collector: str) -> str:
    """Return the name under which the history of a collector's sources is stored."""
    return collector + HISTORY_SUFFIX
