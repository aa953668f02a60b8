"""Bodies of `multipart/mixed` whose parts are HTTP messages (`application/http`), written and read.

Source: RFC 2046, 5.1 (multipart; the delimiter is CRLF and two hyphens before the boundary); RFC 9112, 2 (messages).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx

from resources.core.errors import DataError

_PARTS = 10_000
_DEPTH = 2
"""A batch holds change sets, and those hold requests."""

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})[^\r\n]*\r?\n")
_BLANK = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]{1,70})\"|([^\s;\"]{1,70}))", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """The answer to one request of a batch."""

    status: int
    headers: httpx.Headers
    body: bytes


def new_boundary(kind: str) -> str:
    """Return a boundary that no content holds."""
    return f"{kind}_{secrets.token_hex(16)}"


def http_part(request_line: str, headers: Mapping[str, str], content: bytes = b"", content_id: str = "") -> bytes:
    """Return a request as a part, with the headers of the part.

    Raises:
        ValueError: Something in it would begin a line of its own.
    """
    lines = [request_line, *(f"{_token(name)}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in (*lines, content_id)):
        raise ValueError("a line of a batch request cannot hold a line break")
    told = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
    if content_id:
        told += f"Content-ID: {content_id}\r\n"
    return (told + "\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + content


def multipart(parts: Iterable[bytes], boundary: str) -> bytes:
    """Return parts, each with its headers, as a body with that boundary."""
    mark = boundary.encode()
    return b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + mark + b"--\r\n"


def read_multipart(body: bytes, content_type: str) -> list[PartAnswer]:
    """Return the answers in a body, those of change sets in their place.

    Raises:
        DataError: No boundary, no end, a part that is no HTTP answer.
    """
    return _answers(body, content_type, 0)


def _answers(body: bytes, content_type: str, depth: int) -> list[PartAnswer]:
    if depth >= _DEPTH:
        raise DataError("multipart within multipart within multipart")
    found: list[PartAnswer] = []
    for part in _split(body, content_type):
        headers, content = _headed(part)
        kind = headers.get("content-type", "").lower()
        if kind.startswith("multipart/mixed"):
            found.extend(_answers(content, headers["content-type"], depth + 1))
        elif kind.startswith("application/http"):
            found.append(_answer(content))
        else:
            raise DataError(f"multipart with a part of {kind[:60]!r}")
    return found


def _split(body: bytes, content_type: str) -> list[bytes]:
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise DataError("multipart without a boundary in Content-Type")
    mark = re.escape((named.group(1) or named.group(2)).encode("latin-1", "replace"))
    # the line break before a delimiter belongs to it; what stands before the first and after the last is no part
    pieces = re.split(rb"(?:^|\r?\n)--" + mark + rb"(--)?[ \t]*(?:\r?\n|$)", body)
    if len(pieces) < 3 or "--" not in {piece.decode("latin-1") for piece in pieces[1::2] if piece}:
        raise DataError("multipart that is cut off")
    if len(pieces) > 2 * _PARTS:
        raise DataError(f"multipart of more than {_PARTS} parts")
    parts = []
    for ends, content in zip(pieces[1::2], pieces[2::2], strict=True):
        if ends:
            break
        parts.append(content)
    return parts


def _headed(part: bytes) -> tuple[httpx.Headers, bytes]:
    if part.startswith((b"\r\n", b"\n")):
        return httpx.Headers(), part.lstrip(b"\r\n")
    end = _BLANK.search(part)
    if end is None:  # a message without content may end with its headers
        return _read_headers(part), b""
    return _read_headers(part[: end.start()]), part[end.end() :]


def _read_headers(text: bytes) -> httpx.Headers:
    pairs = (line.partition(b":") for line in text.splitlines() if line.strip())
    return httpx.Headers([(name.strip(), value.strip()) for name, colon, value in pairs if colon])


def _answer(content: bytes) -> PartAnswer:
    status = _STATUS.match(content)
    if status is None:
        raise DataError("multipart with a part that is no HTTP answer")
    headers, body = _headed(content[status.end() :])
    length = headers.get("content-length", "")
    # some servers end a part with a line break too many
    return PartAnswer(int(status.group(1)), headers, body[: int(length)] if length.isdigit() else body.rstrip(b"\r\n"))


def _token(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    return name
