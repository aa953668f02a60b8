"""A fake Workday: token endpoint, REST, WQL, custom reports and SOAP on the paths that Workday has them.

It is not Workday, and there is no public one to hold it against: paths, grants, paging and SOAP names are those of
public code that talks to real tenants; the aliases of WQL and the columns of reports are invented, as each tenant's
are its own. It knows of WQL what `query` says, of SOAP three Get_ operations, and no writes. It proves nothing about
speed, about security groups beyond one user, or about the limits of a real tenant.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday import handlers, query, reports, soap
from resources.demo_plant.erp.workday.book import WorkdayBook
from resources.demo_plant.erp.workday.control import WorkdayControl
from resources.demo_plant.erp.workday.handlers import XML, Answer, Handler, RefusedError, Service
from resources.demo_plant.erp.workday.oauth import Tokens, WorkdayLogin

_LOGIN_PAGE = "<html><head><title>Workday Sign In</title></head><body><form>Username <input></form></body></html>"
_STATUS = {
    "throttle": 429, "unavailable": 503, "bad_gateway": 502, "server_error": 500, "forbidden": 403, "not_found": 404,
}  # fmt: skip


_TOKENS_ONLY = (handlers.wql, handlers.rest, handlers.data_sources, handlers.fields_of_source)
"""WQL and REST take no Basic."""


def create_app(
    book: WorkdayBook,
    *,
    login: WorkdayLogin | None = None,
    control: WorkdayControl | None = None,
    wql_limit: int = 10_000,
    rest_limit: int = 100,
) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        book: What it holds; its clock is the service's.
        login: Who may log on.
        control: How it misbehaves and what it counted; `app.state.control`.
        wql_limit: Largest page of WQL; a larger one is refused.
        rest_limit: Largest page of REST.
    """
    login, control = login or WorkdayLogin(), control or WorkdayControl()
    service = Service(book, login, control, Tokens(login, control, book.clock), wql_limit, rest_limit)
    wql, tenant = f"/ccx/api/wql/v1/{login.tenant}", login.tenant
    app = Starlette(
        routes=[
            Route(login.token_path, _token, methods=["POST"]),
            Route(f"{wql}/data", _guarded(handlers.wql), methods=["GET", "POST"]),
            Route(f"{wql}/dataSources", _guarded(handlers.data_sources)),
            Route(f"{wql}/dataSources/{{source}}/fields", _guarded(handlers.fields_of_source)),
            Route(f"/ccx/api/{{service}}/{{version}}/{tenant}/{{resource}}", _guarded(handlers.rest)),
            Route(f"/ccx/service/customreport2/{tenant}/{{owner}}/{{report}}", _guarded(handlers.report)),
            Route(f"/ccx/service/{tenant}/{{service}}/{{version}}", _guarded(handlers.wsdl), methods=["GET"]),
            Route(f"/ccx/service/{tenant}/{{service}}/{{version}}", _guarded(handlers.soap_call), methods=["POST"]),
            Route("/{path:path}", _missing, methods=["GET", "POST"]),
        ]
    )
    app.state.service = service
    app.state.control = control
    return app


async def _missing(request: Request) -> Response:
    del request
    return _error(404, "invalid request: the resource does not exist", "S21")


def _error(status: int, message: str, code: str, **headers: str) -> Response:
    body = {"error": message, "code": code, "errors": [{"error": message, "field": "", "location": ""}]}
    return JSONResponse(body, status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def _pause(fault: Fault) -> dict[str, str]:
    return {"retry_after": fault.retry_after} if fault.retry_after is not None else {}


async def _token(request: Request) -> Response:
    service: Service = request.app.state.service
    service.control.token_requests += 1
    fault = service.control.next_fault(token=True)
    if fault is not None:
        if fault.kind == "token_html":
            return HTMLResponse(_LOGIN_PAGE)
        return _error(503, "Service unavailable", "S00", **_pause(fault))
    form = await request.form()
    status, body = service.tokens.exchange(dict(form), request.headers.get("authorization", ""))
    return JSONResponse(body, status)


def _guarded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a handler: counted, misbehaving as told, and behind the log-on."""

    async def endpoint(request: Request) -> Response:
        service: Service = request.app.state.service
        control = service.control
        content = await request.body()
        control.requests += 1
        control.seen.append(unquote(f"{request.url.path}?{request.url.query}") + content.decode("utf-8", "replace"))
        control.headers.append(dict(request.headers))
        fault = control.next_fault()
        refusal = None if _is_soap_error(fault, handler) else await _refusal(fault)
        if refusal is not None:
            return refusal
        if not _admitted(service, request, content, handler) or (fault and fault.kind == "unauthorized"):
            return _unauthorized(request, handler)
        try:
            answer = handler(service, request, content, fault)
        except (RefusedError, query.BadQueryError) as error:
            return _error(getattr(error, "status", 400), str(error), getattr(error, "code", "S22"))
        except (soap.SoapFaultError, reports.PromptError) as error:
            fault_of = error if isinstance(error, soap.SoapFaultError) else soap.SoapFaultError("", str(error))
            return Response(soap.fault_of(fault_of), 500, media_type=XML)
        control.records_sent += answer.records
        return _spoilt(answer, fault)

    return endpoint


def _admitted(service: Service, request: Request, content: bytes, handler: Handler) -> bool:
    key = service.login.api_key
    if key is not None and not secrets.compare_digest(request.headers.get("x-api-key", ""), key):
        return False
    authorization = request.headers.get("authorization", "")
    if handler is handlers.soap_call and not authorization:
        try:
            credentials = soap.read_request(request.path_params["service"], content).credentials
        except (soap.SoapFaultError, KeyError):
            return True  # told apart below
        return credentials is not None and service.tokens.knows(*credentials)
    is_basic = authorization.lower().startswith("basic ")
    return service.tokens.accepts(authorization) and not (is_basic and handler in _TOKENS_ONLY)


def _unauthorized(request: Request, handler: Handler) -> Response:
    # a token is judged before SOAP is read, user and password by the service itself
    if handler is handlers.soap_call and "authorization" not in request.headers:
        error = soap.SoapFaultError("", "invalid username or password")
        return Response(soap.fault_of(error), 500, media_type=XML)
    return _error(401, "invalid_client: the token is missing, expired or of another tenant", "A0002")


def _is_soap_error(fault: Fault | None, handler: Handler) -> bool:
    # SOAP has a form of its own for an error of the server
    return handler is handlers.soap_call and fault is not None and fault.kind == "server_error"


async def _refusal(fault: Fault | None) -> Response | None:
    """Return what is answered in place of data, None if data follows."""
    if fault is None:
        return None
    if fault.kind in _STATUS:
        return _error(_STATUS[fault.kind], f"told to answer {fault.kind}", "S00", **_pause(fault))
    if fault.kind == "html_login":
        return HTMLResponse(_LOGIN_PAGE)
    if fault.kind == "redirect":
        return RedirectResponse("/wday/authgwy/login", 302)
    await fault.delay()
    return None


def _spoilt(answer: Answer, fault: Fault | None) -> Response:
    """Return the body as a response, damaged as the fault says."""
    kind, body = fault.kind if fault else "", answer.body
    if kind == "drop":
        return StreamingResponse(_broken(body), headers={"content-length": str(len(body))}, media_type=answer.kind)
    if kind == "truncated":
        body = body[: len(body) // 2]
    if kind == "wrong_charset":
        body = _latin(body).replace(b"encoding='UTF-8'", b"encoding='ISO-8859-1'")
        return Response(body, media_type=f"{answer.kind.partition(';')[0]};charset=iso-8859-1")
    if kind == "not_utf8":
        body = _latin(body)
    return Response(body, media_type=answer.kind)


def _latin(body: bytes) -> bytes:
    return body.replace(b"Payable", b"Gl\xe4ubiger").replace(b"Boiler house", b"K\xfchlhaus")


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    # uvicorn closes the connection when an application fails in the middle of a body
    raise ConnectionAbortedError("told to drop the connection")
