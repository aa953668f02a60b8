"""What a fake SAP answers when it is told to misbehave."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.sap.errors import error, xml_error

LOGIN_PAGE = "<html><head><title>Logon</title></head><body><form>User <input> Password <input></form></body></html>"
_STATUS = {
    "throttle": 429,
    "unavailable": 503,
    "token_unavailable": 503,
    "bad_gateway": 502,
    "server_error": 500,
    "forbidden": 403,
}
_HUGE = 10 * 1024 * 1024


def refusal(fault: Fault, version: int) -> Response | None:
    """Return what is answered in place of data, None if data follows."""
    if fault.kind in _STATUS:
        status = _STATUS[fault.kind]
        pause = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
        return error(version, status, str(status), f"told to answer {fault.kind}", headers=pause)
    if fault.kind == "csrf_lost":
        return csrf_error(version)
    others: dict[str, Callable[[], Response]] = {
        "html_login": lambda: HTMLResponse(LOGIN_PAGE),
        "redirect": lambda: RedirectResponse("/sap/public/login", 302),
        "xml_error": lambda: xml_error(400, "SY/530", "An exception was raised"),
        "deep_error": lambda: error(version, 400, "GL_MSG/020", "The document cannot be read", deep=True),
    }
    return others[fault.kind]() if fault.kind in others else None


def csrf_error(version: int) -> Response:
    """Return the refusal of a request whose CSRF token is missing or another session's."""
    told = "CSRF token validation failed"
    return error(version, 403, "/IWBEP/CM_V4H_RUN/042", told, headers={"x-csrf-token": "Required"})


def spoilt(response: Response, fault: Fault | None) -> Response:
    """Return the response, damaged as the fault says."""
    if fault is None or response.status_code != 200:
        return response
    body, headers, kind = bytes(response.body), dict(response.headers), response.headers.get("content-type", "")
    headers.pop("content-length", None)
    headers.pop("content-type", None)
    if fault.kind == "drop":
        return StreamingResponse(_broken(body), headers={**headers, "content-length": str(len(body))}, media_type=kind)
    if fault.kind == "truncated":
        body = body[: len(body) // 2]
    if fault.kind == "not_utf8":
        body = re.sub(rb'":"(?=[A-Za-z])', b'":"K\xfchler ', body, count=1)
    if fault.kind == "wrong_charset":
        body = re.sub(r'(Text|Name|Description)":"', r'\1":"Kühler ', body.decode()).encode("latin-1", "replace")
        kind = "application/json; charset=iso-8859-1"
    if fault.kind == "huge_field":
        body = re.sub(rb'(Text|Name|Description)":"', lambda found: found.group() + b"x" * _HUGE, body, count=1)
    return Response(body, media_type=kind, headers=headers)


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    # uvicorn closes the connection when an application fails in the middle of a body
    raise ConnectionAbortedError("told to drop the connection")
