"""A fake SAP S/4HANA: what a system answers to a client that reads it by OData V4 and V2.

It is not SAP. It keeps to the published names and paths, the ABAP token endpoint, and what the two protocols say of
filters, paging (by the server and, in V2, by `$skip` over services that never page), `$expand`, `$batch`, CSRF tokens
bound to a session, and errors. It does not prove that a release has these services, fields and navigations, that its
authorizations let a user see every record, that a filter is fast, or how SAP rounds and converts; the signature of a
SAML assertion is not checked, and nothing can be written.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.sap.control import SapControl
from resources.demo_plant.erp.sap.errors import error
from resources.demo_plant.erp.sap.faults import LOGIN_PAGE, csrf_error, refusal, spoilt
from resources.demo_plant.erp.sap.login import Gatekeeper, SapLogin
from resources.demo_plant.erp.sap.odata import batch
from resources.demo_plant.erp.sap.odata.metadata import metadata
from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.odata.schema import Service
from resources.demo_plant.erp.sap.reading import Asked, Reader
from resources.demo_plant.erp.sap.services import V4, Books, make_books, make_services

TOKEN_PATH = "/sap/bc/sec/oauth2/token"  # noqa: S105 - a path, no secret
"""Path of the token endpoint, as ABAP systems have it."""

SERVICE_ROOT = f"{V4}/api_measurementdocument/srvd_a2x/sap/measurementdocument/0001"
"""Root of the measurement documents, as API_MEASUREMENTDOCUMENT has it."""

SESSION_COOKIE = "SAP_SESSIONID_GL1_100"
"""Cookie that a CSRF token is bound to."""


_BEARER = {"www-authenticate": 'Bearer realm="fake SAP"'}


@dataclass(slots=True)
class _Sap:
    """The state behind the routes."""

    services: tuple[Service, ...]
    gate: Gatekeeper
    reader: Reader
    control: SapControl
    numbers: itertools.count[int] = field(default_factory=itertools.count)


def create_app(
    books: Books | None = None,
    *,
    login: SapLogin | None = None,
    page_size: int = 1000,
    control: SapControl | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """Return the system as an ASGI application.

    Args:
        books: What it holds; the demo plant's if absent.
        login: Who may log on.
        page_size: Most records of a page, whatever the client prefers.
        control: How it misbehaves and what it counted; `app.state.control`.
        clock: For the life of tokens, and for what has happened by now.
    """
    clock, control = clock or SystemClock(), control or SapControl()
    gate = Gatekeeper(login or SapLogin(), clock)
    control.gatekeeper = gate
    services = make_services(books or make_books(clock=clock))
    app = Starlette(
        routes=[
            Route(TOKEN_PATH, _token, methods=["POST"]),
            Route("/{path:path}", _answer, methods=["GET", "POST"]),
        ]
    )
    app.state.sap = _Sap(services, gate, Reader(page_size, control), control)
    app.state.control = control
    return app


async def _token(request: Request) -> Response:
    """Issue a token."""
    sap: _Sap = request.app.state.sap
    sap.gate.token_requests += 1
    fault = sap.control.next_fault(token=True)
    if fault is not None:
        if fault.kind == "token_html":
            return HTMLResponse(LOGIN_PAGE)
        return refusal(fault, 4) or HTMLResponse(LOGIN_PAGE)
    form = {name: str(value) for name, value in (await request.form()).items()}
    status, body = sap.gate.token(request.headers.get("authorization", ""), form)
    return JSONResponse(body, status)


async def _answer(request: Request) -> Response:
    """Answer any request to a service."""
    sap: _Sap = request.app.state.sap
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    service = next((s for s in sap.services if path == s.root or path.startswith(s.root + "/")), None)
    if service is None:
        version = 2 if path.startswith("/sap/opu/odata/") else 4
        return error(version, 404, "/IWFND/CM_CONSUMER/101", "Resource not found for the segment")
    rest = path.removeprefix(service.root).strip("/")
    is_data = rest not in ("", "$metadata")
    fault = sap.control.count(unquote(request.url.query)) if is_data else None
    if not sap.gate.admits(request.headers, request.query_params) or (fault and fault.kind == "unauthorized"):
        return error(service.version, 401, "401", "Unauthorized", headers=_BEARER)
    if service.name in sap.control.denied:
        return error(service.version, 403, "/IWFND/MED/170", f"No authorization to access service '{service.name}'")
    if fault is not None and (refused := await _refused(fault, service)) is not None:
        return refused
    if request.method == "POST":
        return await _posted(request, sap, service, rest)
    response = _read(request, sap, service, rest, fault)
    return _with_session(request, sap, response)


def _origin(request: Request) -> str:
    """Return what stands before the roots of services: host, and the path of a gateway in front."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


async def _refused(fault: Fault, service: Service) -> Response | None:
    await fault.delay()
    return refusal(fault, service.version)


def _read(request: Request, sap: _Sap, service: Service, rest: str, fault: Fault | None) -> Response:
    if rest == "":
        return _document(service)
    if rest == "$metadata":
        text = metadata(service)
        for old, new in sap.control.metadata_changes.items():
            text = text.replace(old, new)
        return Response(text, media_type="application/xml")
    origin = _origin(request)
    asked = Asked(rest, dict(request.query_params), request.headers, origin, fault, next(sap.numbers))
    return spoilt(_data(sap, service, asked), fault)


def _data(sap: _Sap, service: Service, asked: Asked) -> Response:
    try:
        return sap.reader.answer(service, asked)
    except BadQueryError as wrong:
        code = "/IWBEP/CM_V4S_SER/0" if service.version == 4 else "005056A509B11EE1B9A8FEC11C21578E"
        return error(service.version, wrong.status, code, str(wrong))


def _document(service: Service) -> Response:
    """Return the service document: what the service has."""
    if service.version == 2:
        return JSONResponse({"d": {"EntitySets": list(service.sets)}}, headers={"DataServiceVersion": "2.0"})
    sets = [{"name": name, "url": name} for name in service.sets]
    return JSONResponse({"@odata.context": "$metadata", "value": sets}, headers={"OData-Version": "4.0"})


def _with_session(request: Request, sap: _Sap, response: Response) -> Response:
    """Give out a CSRF token, bound to a session cookie, where one is asked for."""
    if request.headers.get("x-csrf-token", "").lower() == "fetch" and response.status_code < 300:
        cookie, token = sap.gate.csrf_token(request.cookies.get(SESSION_COOKIE))
        response.headers["x-csrf-token"] = token
        response.headers.append("set-cookie", f"{SESSION_COOKIE}={cookie}; path=/; secure; HttpOnly")
        response.headers.append("set-cookie", "sap-usercontext=sap-client=100; path=/")
    return response


async def _posted(request: Request, sap: _Sap, service: Service, rest: str) -> Response:
    token = request.headers.get("x-csrf-token", "")
    if not sap.gate.csrf_is_right(request.cookies.get(SESSION_COOKIE), token):
        return csrf_error(service.version)
    if rest != "$batch":
        return error(service.version, 405, "/IWFND/CM_BEC/026", "The system is read only")
    origin = _origin(request)

    async def one(part: batch.Part) -> Response:
        path, _, query = part.url.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        rest = unquote(path).removeprefix(origin).removeprefix(service.root).strip("/")
        headers: Mapping[str, str] = part.headers
        return _data(sap, service, Asked(rest, options, headers, origin, None, next(sap.numbers)))

    try:
        boundary = batch.boundary_of(request.headers.get("content-type", ""))
        body = await batch.answered(batch.parts_of(await request.body(), boundary), one)
    except BadQueryError as wrong:
        return error(service.version, wrong.status, "/IWBEP/CM_V4H_RUN/017", str(wrong))
    # 202 in V2, whatever the parts say
    kind = f"multipart/mixed; boundary={batch.BOUNDARY}"
    return Response(body, 200 if service.version == 4 else 202, media_type=kind)
