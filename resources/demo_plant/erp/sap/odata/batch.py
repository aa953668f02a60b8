"""Multipart `$batch` of reads, as SAP's gateways take it: parts of `application/http` in `multipart/mixed`.

Change sets are refused: the service is read only. Source: OData 4.01 part 1, 11.7.7; OData 2.0, batch processing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import Response

from resources.demo_plant.erp.sap.odata.refusal import BadQueryError

BOUNDARY = "9A1F_fake_sap"
_BOUNDARY = re.compile(r'multipart/mixed\s*;.*boundary="?([^";\s]{1,70})"?', re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+)(?: HTTP/1\.1)?\r\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a batch."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


def boundary_of(content_type: str) -> str:
    """Return the boundary that a content type names.

    Raises:
        BadQueryError: It is not multipart (415): JSON batches are another product's.
    """
    match = _BOUNDARY.match(content_type)
    if match is None:
        raise BadQueryError(f"Content-Type {content_type.partition(';')[0]} is not supported for $batch", 415)
    return match.group(1)


def parts_of(body: bytes, boundary: str) -> list[Part]:
    """Return the requests of a batch.

    Raises:
        BadQueryError: A part that is no request, or a change set.
    """
    pieces = body.split(b"--" + boundary.encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise BadQueryError("The batch does not end with its boundary")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, _, request = piece.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if b"application/http" not in head:
        raise BadQueryError("Change sets are not supported: the service is read only", 501)
    line = _REQUEST_LINE.match(request)
    if line is None:
        raise BadQueryError("A part of the batch holds no request line")
    headers = {}
    for written in request[line.end() :].partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, colon, value = written.decode("latin-1").partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return Part(line.group(1).decode(), line.group(2).decode(), headers)


async def answered(parts: list[Part], answer: Callable[[Part], Awaitable[Response]]) -> bytes:
    """Return the body of a batch's answer: one part for each request, in order, each with a status of its own."""
    pieces = []
    for part in parts:
        response = await answer(part)
        body = bytes(response.body)
        kind = response.headers.get("content-type", "application/json")
        pieces.append(
            f"--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-Length: {len(body) + 100}\r\n"
            f"content-transfer-encoding: binary\r\n\r\nHTTP/1.1 {response.status_code} "
            f"{HTTPStatus(response.status_code).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            "\r\n".encode()
            + body
            + b"\r\n"
        )
    return b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()
