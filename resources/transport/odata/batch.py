"""OData `$batch` as multipart: many reads, or changes that hold together, in one request (V2 and V4).

The outer answer is 200 or 202 even if every part failed: each part is judged by itself.
Source: OASIS OData 4.01 part 1, 11.7.7 (multipart batch); OData 2.0 batch processing; SAP Gateway takes no JSON batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from resources.core.errors import DataError, ProtocolError
from resources.transport.connections.errors import status_error
from resources.transport.http.answers import HttpAnswer, Media, as_utf8
from resources.transport.http.client import HttpClient
from resources.transport.odata.csrf import CsrfSession
from resources.transport.odata.multipart import PartAnswer, http_part, multipart, new_boundary, read_multipart


@dataclass(frozen=True, slots=True)
class Change:
    """A request of a change set; `url` is relative to the service root."""

    method: str
    url: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ODataBatch:
    """The `$batch` of one service; `csrf` for a service that asks for a token, as SAP Gateway does."""

    def __init__(
        self, http: HttpClient, service_root: str, *, version: str = "4.0", csrf: CsrfSession | None = None
    ) -> None:
        """Post to `service_root` (a path) in the OData `version`: 4.0 or 2.0."""
        self._http = http
        self._root = service_root.rstrip("/") + "/"
        self._version = version
        self._post = http.post if csrf is None else csrf.post

    def read(self, urls: Sequence[str], *, lane: str = "") -> list[HttpAnswer]:
        """Return the answers to reads of `urls` (relative to the service root, encoded), in their order.

        Raises:
            SourceError: The batch or one of its reads failed; the message names the read.
        """
        asked = {"Accept": "application/json"}
        parts = [http_part(f"GET {url} HTTP/1.1", asked) for url in urls]
        answers = self._sent(parts, safe=True, lane=lane)
        if len(answers) != len(urls):
            raise self._broken(f"holds {len(answers)} answers to {len(urls)} reads")
        return [self._judged(f"GET {url}", answer) for url, answer in zip(urls, answers, strict=True)]

    def change(self, changes: Sequence[Change], *, lane: str = "") -> list[HttpAnswer]:
        """Return the answers to a change set: all of `changes` are carried out, or none.

        Raises:
            SourceError: The batch failed, or the change set was refused.
        """
        boundary = new_boundary("changeset")
        requests = [
            http_part(
                f"{change.method} {change.url} HTTP/1.1",
                {"Accept": "application/json", "Content-Length": str(len(change.content)), **change.headers},
                change.content,
                content_id=str(number),
            )
            for number, change in enumerate(changes, 1)
        ]
        part = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode() + multipart(requests, boundary)
        answers = self._sent([part], safe=False, lane=lane)
        # a change set that is refused has one answer for all of its requests
        judged = [self._judged("the change set", answer) for answer in answers]
        if len(judged) != len(changes):
            raise self._broken(f"holds {len(judged)} answers to {len(changes)} changes")
        return judged

    def _sent(self, parts: Iterable[bytes], *, safe: bool, lane: str) -> list[PartAnswer]:
        boundary = new_boundary("batch")
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
        if self._version.startswith("4"):
            headers["OData-Version"] = self._version
        answer = self._post(
            f"{self._root}$batch",
            multipart(parts, boundary),
            headers=headers,
            safe=safe,
            lane=lane,
            media=Media.MULTIPART,
        )
        try:
            return read_multipart(answer.body, answer.headers.get("content-type", ""))
        except DataError as error:
            raise self._broken(f"is {error}") from error

    def _judged(self, what: str, answer: PartAnswer) -> HttpAnswer:
        source = self._http.source
        asking = f"{source}: {what.partition('?')[0]} in {self._root}$batch"
        if not 200 <= answer.status < 300:
            response = httpx.Response(answer.status, headers=answer.headers)
            raise status_error(response, answer.body, source=source, asking=asking, now=datetime.now(UTC))
        body = as_utf8(answer.body, answer.headers, source=source, asking=asking)
        return HttpAnswer(body, answer.headers, answer.status)

    def _broken(self, what: str) -> ProtocolError:
        source = self._http.source
        return ProtocolError(f"{source}: the answer of {self._root}$batch {what}", source=source)
