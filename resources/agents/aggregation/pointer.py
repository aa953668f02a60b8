"""A value in a JSON document by its JSON Pointer.

Source: RFC 6901.
"""

from __future__ import annotations

import re
from typing import Any

from resources.core.errors import DataError

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_BAD_ESCAPE = re.compile(r"~(?![01])")


class Absent:
    """What a pointer that leads nowhere finds: JSON's null is a value."""


ABSENT = Absent()
"""The one Absent."""


def split_pointer(pointer: str) -> tuple[str, ...]:
    """Return the pointer's reference tokens, unescaped.

    Raises:
        DataError: The pointer is neither empty nor begins with a slash, or has a `~` that escapes nothing.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/") or _BAD_ESCAPE.search(pointer):
        raise DataError(
            f"path {pointer!r} is not a JSON Pointer: write it as /name/0/name, with ~1 for a slash and ~0 for a tilde"
        )
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def resolve(document: Any, tokens: tuple[str, ...]) -> Any:
    """Return the value that the tokens lead to, ABSENT if there is none."""
    found = document
    for token in tokens:
        if isinstance(found, dict):
            found = found.get(token, ABSENT)
        elif isinstance(found, list | tuple) and _INDEX.fullmatch(token) and int(token) < len(found):
            found = found[int(token)]
        else:
            return ABSENT
    return found
