"""What a system answers over HTTP: of the kind that was asked for, bounded, as UTF-8."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httpx

from resources.core.errors import DataError, ProtocolError
from resources.transport.text.foreign_text import foreign_text
from resources.transport.text.json_text import parse_json

_BOM = codecs.BOM_UTF8


class Media(Enum):
    """A kind of answer: what is asked for (Accept), and the content types that are taken for it."""

    JSON = ("application/json", re.compile(r"application/(?:[\w.\-]+\+)?json|text/json"))
    XML = ("application/xml, text/xml", re.compile(r"(?:application|text)/(?:[\w.\-]+\+)?xml"))
    CSV = ("text/csv", re.compile(r"(?:text|application)/csv|text/plain|application/octet-stream"))
    MULTIPART = ("multipart/mixed", re.compile(r"multipart/mixed"))
    ANY = ("*/*", re.compile(r".*"))

    def __init__(self, accept: str, taken: re.Pattern[str]) -> None:
        self.accept, self._taken = accept, taken

    def takes(self, content_type: str) -> bool:
        """Return whether an answer of this content type is of this kind."""
        return self._taken.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer that is data. JSON and CSV are UTF-8 without byte order mark, whatever charset they came in."""

    body: bytes
    headers: httpx.Headers
    status: int = 200


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """What a system answered, parsed, with the headers that came with it."""

    content: Any
    headers: httpx.Headers


def check_kind(headers: httpx.Headers, media: Media, *, source: str, asking: str) -> None:
    """Refuse an answer that is not of the kind asked for: a login page with status 200 is not data.

    Raises:
        ProtocolError: It is of another kind.
    """
    kind = headers.get("content-type", "")
    if media.takes(kind):
        return
    named = foreign_text(kind, limit=60) or "no content type"
    hint = (
        "it looks like a login page: the client must be a technical user" if "html" in kind else "check http.base_url"
    )
    raise ProtocolError(f"{asking}: HTTP 200 with {named} in place of {media.name}; {hint}", source=source)


def as_utf8(body: bytes, headers: httpx.Headers, *, source: str, asking: str) -> bytes:
    """Return a body of text as UTF-8 without byte order mark, from the charset its content type names.

    Raises:
        ProtocolError: The charset is unknown, or the body is not in it.
    """
    charset = _charset(headers.get("content-type", ""))
    if body.startswith(_BOM):
        body, charset = body[len(_BOM) :], "utf-8"
    if charset == "utf-8" and body.isascii():
        return body
    try:
        text = body.decode(charset)
    except LookupError:
        raise ProtocolError(
            f"{asking}: the answer is in the charset {foreign_text(charset, limit=40)!r}, which nobody knows",
            source=source,
        ) from None
    except UnicodeDecodeError as error:
        raise ProtocolError(
            f"{asking}: the answer is not {foreign_text(charset.upper(), limit=40)} at byte {error.start} of "
            f"{len(body)}; have the system name the charset it sends in Content-Type",
            source=source,
        ) from None
    return body if charset == "utf-8" else text.encode("utf-8")


def _charset(content_type: str) -> str:
    found = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", content_type, re.IGNORECASE)
    name = found.group(1).lower() if found else "utf-8"
    return "utf-8" if name in ("utf8", "utf-8", "us-ascii", "ascii") else name


def json_of(answer: HttpAnswer, *, source: str, asking: str) -> JsonAnswer:
    """Return the answer parsed.

    Raises:
        ProtocolError: It is not JSON.
    """
    try:
        return JsonAnswer(parse_json(answer.body), answer.headers)
    except DataError as error:
        raise ProtocolError(f"{asking}: the answer is {error}", source=source) from error
