"""Under which name rows are stored: the collector's own, that of what was read from history, that of corrections.

Rows of one name are replaced by a later revision of their window; those of another name stay. What fills a gap and what
corrects a rejected row must outlive the next revision of the window, so each goes under a name of its own.
"""

from __future__ import annotations

HISTORY_SUFFIX = "-history"
"""Ends the name that history is stored under; no collector may be called so."""

CORRECTED_SUFFIX = "-corrected"
"""Ends the name that corrected readings are stored under; no collector may be called so."""

SUFFIXES = (HISTORY_SUFFIX, CORRECTED_SUFFIX)
"""How no collector's name may end."""


def history_of(collector: str) -> str:
    """Return the name under which the history of a collector's sources is stored."""
    return collector + HISTORY_SUFFIX


def corrected_of(collector: str) -> str:
    """Return the name under which corrected readings of a collector are stored."""
    return collector + CORRECTED_SUFFIX


def names_of(collector: str) -> tuple[str, str, str]:
    """Return every name under which a collector's readings are stored: its own, of history, of corrections."""
    return collector, history_of(collector), corrected_of(collector)
