"""A SAP-like OData V4 service: what a SAP S/4HANA system answers to a client that reads measurement documents.

It is not SAP. It keeps to the published names and paths (API_MEASUREMENTDOCUMENT, the ABAP token endpoint) and to
OData V4 for what it has: client credentials with expiring tokens, `sap-client`, `$filter` with comparisons and `and`,
server-side paging, V4 errors. It knows no `$expand`, `$batch`, `$search`, no writes and no CSRF tokens.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.sap import query
from resources.demo_plant.erp.sap.control import Fault, SapControl
from resources.demo_plant.erp.sap.measurements import Document, MeterBook

TOKEN_PATH = "/sap/bc/sec/oauth2/token"  # noqa: S105 - a path, no secret
"""Path of the token endpoint, as ABAP systems have it."""

SERVICE_ROOT = "/sap/opu/odata4/sap/api_measurementdocument/srvd_a2x/sap/measurementdocument/0001"
"""Root of the service, as API_MEASUREMENTDOCUMENT has it."""

_LOGIN_PAGE = "<html><head><title>Logon</title></head><body><form>User <input> Password <input></form></body></html>"
_STATUS = {"throttle": 429, "unavailable": 503, "bad_gateway": 502, "server_error": 500, "forbidden": 403}


@dataclass(frozen=True, slots=True)
class SapLogin:
    """Who may log on, and how."""

    client_id: str = "GL_PLATFORM"
    client_secret: str = "demo-sap-secret"  # noqa: S105 - the demo's own
    scope: str = "API_MEASUREMENTDOCUMENT_0001"
    token_lifetime_s: float = 600.0
    sap_client: str = "100"


@dataclass(slots=True)
class _Service:
    """The state behind the routes."""

    book: MeterBook
    login: SapLogin
    page_size: int
    control: SapControl
    clock: Clock
    tokens: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Token -> monotonic second of its expiry, number of its request."""


def create_app(
    book: MeterBook,
    *,
    login: SapLogin | None = None,
    page_size: int = 1000,
    control: SapControl | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        book: The documents.
        login: Who may log on.
        page_size: Most documents of a page, whatever the client prefers.
        control: How it misbehaves and what it counted; `app.state.control`.
        clock: For the life of tokens.
    """
    service = _Service(book, login or SapLogin(), page_size, control or SapControl(), clock or SystemClock())
    app = Starlette(
        routes=[
            Route(TOKEN_PATH, _token, methods=["POST"]),
            Route(SERVICE_ROOT + "/", _catalog),
            Route(SERVICE_ROOT + "/$metadata", _metadata),
            Route(SERVICE_ROOT + "/MeasurementDocument", _documents),
            Route("/{path:path}", _missing),
        ]
    )
    app.state.service = service
    app.state.control = service.control
    return app


def _of(request: Request) -> _Service:
    service: _Service = request.app.state.service
    return service


def _error(status: int, code: str, message: str, **headers: str) -> Response:
    body = {"error": {"code": code, "message": message, "details": [], "innererror": {"transactionid": "0"}}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(body, status, headers={"OData-Version": "4.0", **named})


async def _missing(request: Request) -> Response:
    del request
    return _error(404, "/IWFND/CM_CONSUMER/101", "Resource not found for the segment")


async def _token(request: Request) -> Response:
    """Issue a token for client credentials (RFC 6749, 4.4)."""
    service = _of(request)
    service.control.token_requests += 1
    fault = service.control.next_fault(token=True)
    if fault is not None:
        if fault.kind == "token_html":
            return HTMLResponse(_LOGIN_PAGE)
        return _error(503, "503", "Service unavailable", **_pause(fault))
    form = await request.form()
    client, secret = _credentials(request.headers.get("authorization", ""))
    client, secret = client or str(form.get("client_id", "")), secret or str(form.get("client_secret", ""))
    login = service.login
    if not (client == login.client_id and secrets.compare_digest(secret.encode(), login.client_secret.encode())):
        return JSONResponse({"error": "invalid_client", "error_description": f"client {client} unknown or locked"}, 401)
    if form.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    if str(form.get("scope", login.scope)) != login.scope:
        return JSONResponse({"error": "invalid_scope"}, 400)
    token = secrets.token_urlsafe(32)
    service.tokens[token] = (service.clock.monotonic() + login.token_lifetime_s, service.control.token_requests)
    return JSONResponse(
        {"access_token": token, "token_type": "Bearer", "expires_in": int(login.token_lifetime_s), "scope": login.scope}
    )


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client, _, secret = base64.b64decode(encoded).decode("latin-1").partition(":")
    except binascii.Error:
        return "", ""
    return client, secret


def _authorized(request: Request, service: _Service) -> bool:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    expires_at, number = service.tokens.get(token, (0.0, 0))
    client = request.query_params.get("sap-client") or request.headers.get("sap-client") or service.login.sap_client
    return (
        service.clock.monotonic() < expires_at
        and service.control.token_is_current(number)
        and client == service.login.sap_client
    )


async def _catalog(request: Request) -> Response:
    if not _authorized(request, _of(request)):
        return _unauthorized()
    sets = [{"name": "MeasurementDocument", "url": "MeasurementDocument"}]
    return JSONResponse({"@odata.context": "$metadata", "value": sets}, headers={"OData-Version": "4.0"})


async def _metadata(request: Request) -> Response:
    if not _authorized(request, _of(request)):
        return _unauthorized()
    properties = "".join(f'<Property Name="{name}" Type="{kind}"/>' for name, kind in query.PROPERTIES.items())
    body = (
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        '<Schema Namespace="demo_plant.sap_like" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        '<EntityType Name="MeasurementDocumentType"><Key><PropertyRef Name="MeasurementDocument"/></Key>'
        f'{properties}</EntityType><EntityContainer Name="Container"><EntitySet Name="MeasurementDocument" '
        'EntityType="demo_plant.sap_like.MeasurementDocumentType"/></EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    )
    return Response(body, media_type="application/xml", headers={"OData-Version": "4.0"})


def _unauthorized() -> Response:
    return _error(401, "401", "Unauthorized", www_authenticate='Bearer realm="SAP-like demo service"')


def _pause(fault: Fault) -> dict[str, str]:
    return {"retry_after": fault.retry_after} if fault.retry_after is not None else {}


async def _documents(request: Request) -> Response:
    """Answer a read of the entity set MeasurementDocument."""
    service = _of(request)
    service.control.requests += 1
    service.control.seen.append(unquote(request.url.query))
    fault = service.control.next_fault()
    if not _authorized(request, service) or (fault and fault.kind == "unauthorized"):
        return _unauthorized()
    if fault is not None and (refusal := await _refusal(fault)) is not None:
        return refusal
    try:
        body, sent = _page(request, service, fault)
    except query.BadQueryError as error:
        return _error(error.status, "/IWBEP/CM_V4S_SER/0", str(error))
    service.control.records_sent += sent
    return _spoilt(json.dumps(body).encode(), fault)


async def _refusal(fault: Fault) -> Response | None:
    """Return what is answered in place of data, None if data follows."""
    if fault.kind in _STATUS:
        return _error(_STATUS[fault.kind], str(_STATUS[fault.kind]), f"told to answer {fault.kind}", **_pause(fault))
    if fault.kind == "html_login":
        return HTMLResponse(_LOGIN_PAGE)
    if fault.kind == "redirect":
        return RedirectResponse("/sap/public/login", 302)
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    return None


def _page(request: Request, service: _Service, fault: Fault | None) -> tuple[dict[str, Any], int]:
    """Return the body of one page, and how many documents it holds."""
    options = request.query_params
    unknown = {o for o in options if o.startswith("$")} - {
        "$filter", "$select", "$orderby", "$count", "$top", "$skiptoken",
    }  # fmt: skip
    if unknown:
        raise query.BadQueryError(f"query options {', '.join(sorted(unknown))} are not implemented", 501)
    terms = query.parse_filter(options["$filter"]) if "$filter" in options else []
    found = query.ordered(query.matching(service.book, terms), options.get("$orderby", ""))
    top = query.whole_number(options, "$top")
    offset = query.offset_of(options["$skiptoken"]) if "$skiptoken" in options else 0
    until = min(offset + _page_size(request, service), len(found) if top is None else min(top, len(found)))
    page = query.selected(found[offset:until], options.get("$select", ""))
    body: dict[str, Any] = {"@odata.context": "$metadata#MeasurementDocument"}
    if options.get("$count") == "true":
        body["@odata.count"] = len(found) + (fault is not None and fault.kind == "miscount")
    body["value"] = page
    if until < (len(found) if top is None else min(top, len(found))):
        body["@odata.nextLink"] = _link(request, service, until, fault)
    return body, len(page)


def _page_size(request: Request, service: _Service) -> int:
    prefer = request.headers.get("prefer", "")
    wanted = next(
        (p.partition("=")[2].strip() for p in prefer.split(",") if p.strip().startswith("odata.maxpagesize=")), ""
    )
    return min(int(wanted), service.page_size) if wanted.isdecimal() and int(wanted) else service.page_size


def _link(request: Request, service: _Service, offset: int, fault: Fault | None) -> str:
    if fault is not None and fault.kind == "repeat_page":
        options = dict(request.query_params)
    else:
        options = {**request.query_params, "$skiptoken": query.skip_token(offset)}
    link = "MeasurementDocument?" + "&".join(f"{quote(n, safe='$')}={quote(v)}" for n, v in options.items())
    if fault is not None and fault.kind == "foreign_link":
        return f"https://other-host.invalid{SERVICE_ROOT}/{link}"
    if service.control.links == "absolute":
        return f"{request.url.scheme}://{request.url.netloc}{SERVICE_ROOT}/{link}"
    return link


def _spoilt(body: bytes, fault: Fault | None) -> Response:
    """Return the body as a response, damaged as the fault says."""
    headers = {"OData-Version": "4.0"}
    kind = "application/json;odata.metadata=minimal"
    if fault is not None and fault.kind == "drop":
        return StreamingResponse(_broken(body), headers={**headers, "content-length": str(len(body))}, media_type=kind)
    if fault is not None and fault.kind == "truncated":
        body = body[: len(body) // 2]
    if fault is not None and fault.kind == "not_utf8":
        body = body.replace(b'"value"', b'"K\xfchler": 1, "value"', 1)
    return Response(body, media_type=kind, headers=headers)


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    # uvicorn closes the connection when an application fails in the middle of a body
    raise ConnectionAbortedError("told to drop the connection")


__all__ = ["SERVICE_ROOT", "TOKEN_PATH", "Document", "SapControl", "SapLogin", "create_app"]
