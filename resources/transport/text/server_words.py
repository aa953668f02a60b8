"""What a system says of its own error, found in every form that the systems we read from write errors in.

Source: OData 4.01 JSON 21.1 (`error.message`, `details`, `innererror`); OData V2 (`error.message.value`, SAP's
`innererror.errordetails`), its XML form; Oracle REST (`title`, `o:errorDetails`), ISG (`ISGServiceFault`); Dynamics 365
(`innererror.message`, `internalexception`); Workday (`error`, `errors`); OAuth (RFC 6749, 5.2); RFC 9457; SOAP faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_DETAILS = 5
"""So many details of an error are told."""

_NAMED = ("detail", "message", "Message", "error", "value", "title", "Resolution")
"""Members under which a detail says what it is about."""

_WHERE = ("field", "o:errorPath", "target", "propertyref", "location")
"""Members that say where in the request the error is."""


def server_words(body: bytes, content_type: str) -> str:
    """Return the server's own explanation from an error body, "" if there is none to show.

    A page of HTML is only named as such; what is told twice is told once.
    """
    kind = content_type.lower()
    if "html" in kind:
        return "(a page of HTML)"
    if "xml" in kind:
        return _xml_words(body)
    text = body.decode("utf-8", "replace").strip()
    plain = text if "text/plain" in kind or not kind else ""
    # Oracle's first framework sends JSON as plain text, too
    words = _json_words(text) if "json" in kind or text[:1] in ("{", "[") else ""
    return words or plain


def _json_words(text: str) -> str:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return "(JSON that ends in the middle)"
    # some send a list of errors
    told = {"errors": told} if isinstance(told, list) else told
    return " - ".join(dict.fromkeys(_said(told))) if isinstance(told, dict) else ""


def _said(told: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of an explanation, the most telling first."""
    error = told.get("error")
    if isinstance(error, dict):
        yield from _texts(error.get("code"), _message(error.get("message")))
        yield from _details(error.get("details"))
        yield from _inner(error.get("innererror"))
    else:
        yield from _texts(error)
    yield from _texts(*(told.get(name) for name in ("code", "error_description", "title", "detail", "o:errorCode")))
    yield from _texts(_message(told.get("message")), _message(told.get("Message")))
    for name in ("o:errorDetails", "errors", "Errors"):
        yield from _details(told.get(name))
    for name in ("ISGServiceFault", "fault"):
        fault = told.get(name)
        if isinstance(fault, dict):
            yield from _texts(*(fault.get(member) for member in ("Code", "Message", "Resolution", "faultstring")))


def _inner(inner: object) -> Iterator[str]:
    """Yield what lies below: SAP's list of messages, and the exceptions within exceptions of Dynamics."""
    for _ in range(_DETAILS):
        if not isinstance(inner, dict):
            return
        yield from _texts(_message(inner.get("message")))
        yield from _details(inner.get("errordetails") or inner.get("ErrorDetails"))
        inner = inner.get("internalexception") or inner.get("innererror")


def _details(details: object) -> Iterator[str]:
    # V2 has a list, or a list within an object
    if isinstance(details, dict):
        details = details.get("errordetail", [details])
    if not isinstance(details, list):
        return
    for detail in details[:_DETAILS]:
        if isinstance(detail, str):
            yield from _texts(detail)
        if not isinstance(detail, dict):
            continue
        words = next(_texts(*(_message(detail.get(name)) for name in _NAMED)), "")
        where = next(_texts(*(detail.get(name) for name in _WHERE)), "")
        yield from _texts(f"{words} ({where})" if words and where else words or where)


def _message(message: object) -> object:
    return message.get("value") if isinstance(message, dict) else message


def _texts(*parts: object) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str | int) and not isinstance(part, bool) and str(part).strip():
            yield " ".join(str(part).split())


def _xml_words(body: bytes) -> str:
    from resources.core.errors import DataError
    from resources.transport.text.soap_fault import fault_words, parse_xml  # lxml is not needed where all is well

    said = fault_words(body)
    if said:
        return said
    try:
        root = parse_xml(body)
    except DataError:
        return "(XML that ends in the middle)"
    found = [element.text for name in ("code", "message") for element in root.iter(f"{{*}}{name}")]
    return " - ".join(dict.fromkeys(_texts(*found[: _DETAILS + 1])))
