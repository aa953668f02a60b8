"""JSON as the database can keep it."""

from __future__ import annotations

from typing import Any

import orjson


def json_text(value: Any) -> str:
    """Return `value` as JSON for a jsonb column, with U+0000, which jsonb cannot hold, replaced by U+FFFD."""
    text = orjson.dumps(value).decode()
    return orjson.dumps(_without_nul(value)).decode() if "\\u0000" in text else text


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return value
