"""JSON as the wire of the agents allows it: no duplicate keys, bounded depth, numbers as IEEE 754 doubles.

Source: RFC 7493 (I-JSON) and RFC 8785, whose canonical form is only defined for such documents.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MOST_DEPTH = 64
"""Deepest nesting of objects and arrays that is read."""

_LARGEST_EXACT = 2**53 - 1
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class StrictJsonError(ValueError):
    """The text is not JSON as the wire allows it; the message never quotes the text."""


def loads(data: bytes) -> Any:
    """Return the document in UTF-8 `data`; integers beyond 2**53 become floats, as elsewhere.

    Raises:
        StrictJsonError: Not UTF-8, not JSON, a duplicate key, NaN or infinity, or nested deeper than MOST_DEPTH.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJsonError("not UTF-8") from error
    _refuse_depth(text)
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except StrictJsonError:
        raise
    except ValueError as error:
        raise StrictJsonError("not JSON") from error


def _refuse_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MOST_DEPTH:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise StrictJsonError(f"nested deeper than {MOST_DEPTH}")
        elif mark in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("a key occurs twice")
    return found


def _constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


def _integer(text: str) -> int | float:
    # int() of a very long text is slow and refused by Python; float() of it is what JavaScript does
    if len(text) > 17:
        return _float(text)
    number = int(text)
    return number if -_LARGEST_EXACT <= number <= _LARGEST_EXACT else float(number)


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise StrictJsonError("a number is larger than a double can hold")
    return number
