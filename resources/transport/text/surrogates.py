"""Lone surrogates in JSON text: an escaped half of a pair without the other half, which strict parsers refuse."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\(?:[^u]|u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|[dD][89a-fA-F][0-9a-fA-F]{2}|))"
)


def without_lone_surrogates(text: bytes) -> bytes:
    r"""Return JSON text of the same length, in which `\uFFFD` stands for every lone surrogate.

    What is no surrogate stays where it is, so that a position in one text is the same place in the other.
    """
    return _ESCAPE.sub(lambda found: b"\\uFFFD" if _is_lone(found[0]) else found[0], text)


def _is_lone(escape: bytes) -> bool:
    # \ud83d\ude00 is a pair, 12 bytes; what is left of 6 bytes has no other half
    return len(escape) == 6
