"""How a connector keeps the original of what it could not turn into a reading: JSON text, capped."""

from __future__ import annotations

import base64
import math
from typing import Any

import orjson

RAW_LIMIT = 4096
"""Most bytes of an original that are kept; what is longer is cut, and its true size is kept beside it."""


def raw_payload(payload: bytes) -> str:
    """Return JSON text of bytes from the wire: the JSON itself if it is JSON, else its text, else base64."""
    size, cut = len(payload), payload[:RAW_LIMIT]
    # PostgreSQL's jsonb takes no escaped NUL: such a text is kept as text
    if size <= RAW_LIMIT and b"\\u0000" not in payload:
        try:
            return orjson.dumps(orjson.loads(payload)).decode()
        except orjson.JSONDecodeError:
            pass
    original: dict[str, Any] = {}
    try:
        # a cut may go through a character: what is left of it is dropped
        original["text"] = cut.decode("utf-8", "strict" if size <= RAW_LIMIT else "ignore")
        if "\x00" in original["text"]:
            raise ValueError("jsonb holds no NUL")
    except ValueError:
        original = {"base64": base64.b64encode(cut).decode("ascii")}
    if size > RAW_LIMIT:
        original["bytes"] = size
    return orjson.dumps(original).decode()


def raw_value(**parts: object) -> str:
    """Return JSON text of what was received, part by part; what JSON cannot hold is given as text."""
    return orjson.dumps({name: _plain(value) for name, value in parts.items()}).decode()


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    # neither NUL nor half a surrogate pair is allowed in the database
    return str(value)[:RAW_LIMIT].replace("\x00", "").encode("utf-8", "replace").decode()
