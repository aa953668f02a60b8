"""RFC 8785 canonical JSON, fast where it can be: every message that comes is hashed in this form.

Source: RFC 8785 (JSON Canonicalization Scheme). The library `rfc8785` is right and written in Python; orjson writes the
same bytes much faster as long as no value is one that the two write differently. A property test holds them equal.
"""

from __future__ import annotations

from typing import Any

import orjson
import rfc8785

_LARGEST_INTEGER = 2**53 - 1


def canonical(value: Any) -> bytes:
    """Return the canonical form of a JSON document.

    Raises:
        rfc8785.CanonicalizationError: It has none (a lone surrogate, an integer beyond 2**53, not JSON).
    """
    if _same_in_both(value):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            # a lone surrogate, or nested too deep: rfc8785 says which
            return _by_the_book(value)
    return _by_the_book(value)


def _by_the_book(value: Any) -> bytes:
    try:
        return rfc8785.dumps(value)
    except UnicodeEncodeError as error:
        # the library tells a lone surrogate in a value in its own way, and in a key so
        raise rfc8785.CanonicalizationError("a key holds half a surrogate pair") from error


def _same_in_both(value: Any) -> bool:
    """Return whether orjson writes `value` as RFC 8785 does."""
    if isinstance(value, str | bool) or value is None:
        return True
    if isinstance(value, int):
        return -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
    if isinstance(value, float):
        # beyond these ECMAScript has another threshold for exponents, and it writes 1.0 as 1
        return 1e-4 <= abs(value) < 1e15 and not value.is_integer()
    if isinstance(value, dict):
        # by UTF-16 code units there, by UTF-8 here: the same order for ASCII
        return all(isinstance(key, str) and key.isascii() and _same_in_both(item) for key, item in value.items())
    return isinstance(value, list) and all(map(_same_in_both, value))
