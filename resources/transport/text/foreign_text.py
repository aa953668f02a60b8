"""Words of a foreign system made fit for a message, a log line and a page: shortened, escaped, without secrets."""

from __future__ import annotations

from collections.abc import Iterable

HIDDEN = "***"
"""What stands in place of a secret that a server echoed."""

_MARKUP = {"<": "‹", ">": "›", "`": "'"}


def foreign_text(text: str, *, limit: int = 300, secrets: Iterable[str] = ()) -> str:
    r"""Return `text` on one line, at most `limit` characters, safe to show.

    White space is collapsed, what cannot be printed is written as an escape (`\x1b`), angle brackets and back-ticks
    lose their meaning in HTML and Markdown, and every one of `secrets` of 4 characters or more becomes `***`.
    """
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
    # cut before the walk over characters: an error page may have megabytes
    words = " ".join(text[: limit * 8].split())
    shown = "".join(_shown(character) for character in words[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _shown(character: str) -> str:
    if character in _MARKUP:
        return _MARKUP[character]
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
