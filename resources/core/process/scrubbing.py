"""Taking secrets out of text before it is logged: known values, and whatever looks like a credential."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from resources.core.configuration.settings import EnvSecret

MASK = "***"
"""What stands in place of a secret."""

_SHORTEST = 4
"""A secret shorter than this is masked only where it stands alone: else it would blank half of every line."""

_NAMES = (
    r"(?:[\w-]*(?:password|passwd|secret|api[_-]?key|access[_-]?token|refresh[_-]?token|private[_-]?key)"
    r"|pwd|token|authorization)"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    (re.compile(r"\b(Bearer|Basic|Digest|Negotiate)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"(?<=://)([^\s:/@]*):[^\s/@]+@"), rf"\1:{MASK}@"),
    (re.compile(rf"""(?i)(\b{_NAMES}["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,;&}}\])"'\\]+)"""), rf"\1{MASK}"),
)
_SENSITIVE_KEY = re.compile(rf"(?i)^{_NAMES}$")


def secrets_in(model: object) -> Iterator[EnvSecret]:
    """Yield every EnvSecret held by a configuration model, however deep."""
    if isinstance(model, EnvSecret):
        yield model
    elif isinstance(model, BaseModel):
        for name in type(model).model_fields:
            yield from secrets_in(getattr(model, name))
    elif isinstance(model, dict):
        for value in model.values():
            yield from secrets_in(value)
    elif isinstance(model, list | tuple | set | frozenset):
        for value in model:
            yield from secrets_in(value)


def is_sensitive_key(key: str) -> bool:
    """Return whether a field of this name holds a secret whatever its value looks like."""
    return _SENSITIVE_KEY.match(key) is not None


class Scrubber:
    """Takes the values of the given secrets, and everything that looks like a credential, out of text."""

    def __init__(self, secrets: Iterable[EnvSecret] = ()) -> None:
        """Look the values up once; a variable that is unset has nothing to hide."""
        values = {os.environ.get(secret.variable, "") for secret in secrets} - {""}
        self._known = _known_values(values) if values else None

    def __call__(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _known_values(values: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of the values as they are, and as URLs, escapes and HTTP Basic would spell them."""
    spelled: set[str] = set()
    for value in values:
        escaped = repr(value)[1:-1]
        spelled |= {value, escaped, escaped.replace('"', '\\"'), quote(value, safe=""), quote(value), quote_plus(value)}
        if len(value) >= _SHORTEST:
            spelled.add(base64.b64encode(value.encode()).decode().rstrip("="))
    longest_first = sorted(spelled, key=len, reverse=True)
    return re.compile("|".join(_spelling(text) for text in longest_first))


def _spelling(text: str) -> str:
    return re.escape(text) if len(text) >= _SHORTEST else rf"(?<!\w){re.escape(text)}(?!\w)"
