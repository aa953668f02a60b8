"""FakeDynamics: what Dynamics 365 Finance & Operations answers to a client that reads data entities by OData V4.

It is a fake, not Dynamics, and proves nothing about a real environment: names, keys and types come from public code
generated from real `$metadata`, the behaviour from Microsoft's documentation. It keeps to: Entra tokens by secret or
certificate, of both endpoint generations; the default company unless `cross-company=true`; set names by their case;
enumerations by full name; wildcard equality; one level of `$expand`; absolute next links with `$skiptoken`;
`odata.maxpagesize`; 429 with Retry-After; errors whose words hide in `innererror`; null dates of 1900. It knows no
writes, actions, `$batch`, record security and no data management packages, and its limits are told, not measured.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.dynamics import pages
from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.control import DynamicsControl
from resources.demo_plant.erp.dynamics.entities import metadata
from resources.demo_plant.erp.dynamics.entra import EntraApp, EntraTokens, TokenError
from resources.demo_plant.erp.dynamics.query import BadQueryError

_SIGN_IN = "<html><head><title>Sign in to your account</title></head><body><form>Sign in</form></body></html>"
_STATUS = {"throttle": 429, "unavailable": 503, "bad_gateway": 502, "server_error": 500, "forbidden": 403}
_WORDS = {
    "throttle": "This request was throttled: the resource limits of the environment were reached.",
    "server_error": "Query failed for table row of type 'X'. Infolog: Error: The record is locked by another user.",
}


@dataclass(slots=True)
class FakeDynamics:
    """The state behind the routes."""

    book: DynamicsBook
    tokens: EntraTokens
    page_size: int
    control: DynamicsControl
    clock: Clock
    resource: str | None
    """Audience that a token must have; the address that is asked, if absent."""

    def authorized(self, request: Request) -> bool:
        """Return whether the request has a token for this environment, of an application registered here."""
        audience = self.resource or f"{request.url.scheme}://{request.url.netloc}"
        number = self.tokens.known(request.headers.get("authorization", "").removeprefix("Bearer "), audience)
        return number is not None and self.control.token_is_current(number) and self.control.registered


def create_app(
    book: DynamicsBook,
    *,
    entra: EntraApp | None = None,
    page_size: int = 10_000,
    control: DynamicsControl | None = None,
    clock: Clock | None = None,
    resource: str | None = None,
) -> Starlette:
    """Return the service as an ASGI application; `app.state.service` is its FakeDynamics.

    Args:
        book: The records.
        entra: Who may sign in.
        page_size: Most records of a page, whatever the client prefers.
        control: How it misbehaves and what it counted.
        clock: For the life of tokens and the Date header.
        resource: The environment's address as tokens must name it; the address asked if absent.
    """
    clock = clock or SystemClock()
    tokens = EntraTokens(entra or EntraApp(), clock)
    tenant = tokens.app.tenant
    app = Starlette(
        routes=[
            Route(f"/{tenant}/oauth2/v2.0/token", _token, methods=["POST"]),
            Route(f"/{tenant}/oauth2/token", _token, methods=["POST"]),
            Route("/data/$metadata", _metadata),
            Route("/data", _catalog),
            Route("/data/{entity_set}", _records),
            Route("/{path:path}", _missing),
        ]
    )
    app.state.service = FakeDynamics(book, tokens, page_size, control or DynamicsControl(), clock, resource)
    return app


def _of(request: Request) -> FakeDynamics:
    service: FakeDynamics = request.app.state.service
    return service


def _answer(content: Any, service: FakeDynamics, status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(content, status, headers={**_headers(service), **named})


def _headers(service: FakeDynamics) -> dict[str, str]:
    return {"OData-Version": "4.0", "Date": format_datetime(service.clock.now(), usegmt=True)}


def _error(service: FakeDynamics, status: int, message: str, **headers: str) -> Response:
    """Return an error of the service; the words that matter stand in `innererror`."""
    inner = {"message": message, "type": "Microsoft.Dynamics.Platform.Integration.Services.OData", "stacktrace": "at X"}
    error = {"code": "", "message": "An error has occurred.", "innererror": inner}
    return _answer({"error": error}, service, status, **headers)


async def _missing(request: Request) -> Response:
    """Answer a path that is no entity set."""
    address = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
    return JSONResponse({"Message": f"No HTTP resource was found that matches the request URI '{address}'."}, 404)


async def _token(request: Request) -> Response:
    """Issue a token."""
    service = _of(request)
    service.control.token_requests += 1
    fault = service.control.next_fault(token=True)
    if fault is not None and fault.kind == "token_html":
        return HTMLResponse(_SIGN_IN)
    if fault is not None:
        status = 429 if fault.kind == "token_throttle" else 503
        return JSONResponse({"error": "temporarily_unavailable"}, status, headers=_pause(fault))
    endpoint = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
    version = 2 if request.url.path.endswith("/v2.0/token") else 1
    form = dict(await request.form())
    try:
        answer = service.tokens.answer(form, version=version, number=service.control.token_requests, endpoint=endpoint)
    except TokenError as error:
        return JSONResponse(error.answer, error.status)
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _pause(fault: Fault) -> dict[str, str]:
    return {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}


def _unauthorized() -> Response:
    # no body: a real one only says where to sign in
    return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer authorization_uri="https://login.invalid"'})


async def _catalog(request: Request) -> Response:
    service = _of(request)
    if not service.authorized(request):
        return _unauthorized()
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in sorted(service.book.sets)]
    return _answer({"@odata.context": f"{_root(request)}/$metadata", "value": sets}, service)


async def _metadata(request: Request) -> Response:
    service = _of(request)
    if not service.authorized(request):
        return _unauthorized()
    body = metadata(service.book.sets.values()).decode()
    for there, instead in service.control.metadata_changes.items():
        body = body.replace(there, instead)
    return Response(body, media_type="application/xml", headers=_headers(service))


async def _records(request: Request) -> Response:
    """Answer a read of an entity set."""
    service, name = _of(request), request.path_params["entity_set"]
    service.control.requests += 1
    service.control.seen.append(unquote(f"{name}?{request.url.query}"))
    fault = service.control.next_fault()
    if not service.authorized(request) or (fault and fault.kind == "unauthorized"):
        return _unauthorized()
    if name not in service.book.sets:
        return await _missing(request)
    if name in service.control.denied:
        return _error(service, 403, f"Access denied to entity {service.book.sets[name].entity_type}.")
    if fault is not None and (refusal := await _refusal(service, fault)) is not None:
        return refusal
    try:
        body, sent, size = _page(request, service, name, fault)
    except BadQueryError as error:
        return _error(service, error.status, str(error))
    service.control.records_sent += sent
    applied = {"Preference-Applied": f"odata.maxpagesize={size}"} if "prefer" in request.headers else {}
    return _spoilt(json.dumps(body, ensure_ascii=False).encode(), fault, {**_headers(service), **applied})


async def _refusal(service: FakeDynamics, fault: Fault) -> Response | None:
    """Return what is answered in place of data, None if data follows."""
    if fault.kind in _STATUS:
        pause = {"retry_after": fault.retry_after} if fault.retry_after is not None else {}
        return _error(service, _STATUS[fault.kind], _WORDS.get(fault.kind, f"told to answer {fault.kind}"), **pause)
    if fault.kind == "html_login":
        return HTMLResponse(_SIGN_IN)
    if fault.kind == "redirect":
        return RedirectResponse("/signin", 302)
    await fault.delay()
    return None


def _root(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}/data"


def _page(request: Request, service: FakeDynamics, name: str, fault: Fault | None) -> tuple[dict[str, Any], int, int]:
    """Return the body of one page, how many records it holds, and the page size that was granted."""
    kind = fault.kind if fault is not None else ""
    options, entity, size = dict(request.query_params), service.book.sets[name], _size(request, service)
    if kind == "ignore_filter":
        del options["$filter"]
    found = pages.page(service.book, entity, options, size)
    body: dict[str, Any] = {"@odata.context": f"{_root(request)}/$metadata#{name}"}
    if options.get("$count") == "true":
        body["@odata.count"] = found.total + (kind == "miscount")
    body["value"] = [] if kind == "empty_page" else _with_fault(found.records, kind, entity.keys)
    following = options if kind in ("repeat_page", "empty_page") else found.following
    if kind == "empty_page":
        # the same page once more, by another address
        following = {**options, "$skiptoken": options.get("$skiptoken", pages.skip_token(0))}
    if following is not None:
        root = "https://other-host.invalid/data" if kind == "foreign_link" else _root(request)
        body["@odata.nextLink"] = pages.link(root, name, following)
    return body, len(body["value"]), size


def _size(request: Request, service: FakeDynamics) -> int:
    prefer = request.headers.get("prefer", "")
    asked = next((p.partition("=")[2] for p in prefer.split(",") if p.strip().startswith("odata.maxpagesize=")), "")
    return min(int(asked), service.page_size) if asked.strip().isdecimal() and int(asked) else service.page_size


def _with_fault(records: list[dict[str, Any]], kind: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the records with the first one spoilt as the fault says."""
    if not records:
        return records
    if kind == "cut_children":
        return [_cut(record) for record in records]
    first = dict(records[0])
    if kind == "no_key":
        del first[keys[-1]]
    return [{name: _spoilt_value(name, value, kind) for name, value in first.items()}, *records[1:]]


def _cut(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose expanded lists go on elsewhere."""
    lists = [name for name, value in record.items() if isinstance(value, list)]
    links = {f"{name}@odata.nextLink": f"https://127.0.0.1/data/{name}?$skiptoken=1" for name in lists}
    return {**record, **{name: record[name][:1] for name in lists}, **links}


def _spoilt_value(name: str, value: Any, kind: str) -> Any:
    if kind == "odd_currency" and name.endswith("CurrencyCode"):
        return "ZZZ"
    if kind == "odd_date" and name.endswith("Date") and not str(value).startswith("1900"):
        return "20.11.2026"
    if kind == "huge_field" and name in ("Text", "Description", "ProductionOrderName", "PurchaseOrderName"):
        return "x" * 10_000_000
    return value


def _spoilt(body: bytes, fault: Fault | None, headers: dict[str, str]) -> Response:
    """Return the body as a response, damaged as the fault says."""
    kind = "application/json; odata.metadata=minimal"
    if fault is not None and fault.kind == "drop":
        return StreamingResponse(_broken(body), headers={**headers, "content-length": str(len(body))}, media_type=kind)
    if fault is not None and fault.kind == "truncated":
        body = body[: len(body) // 2]
    if fault is not None and fault.kind == "not_utf8":
        body = body.replace(b'"value"', b'"K\xfchler": 1, "value"', 1)
    if fault is not None and fault.kind == "wrong_charset":
        body, kind = body.decode().encode("windows-1252", "replace"), f"{kind}; charset=windows-1252"
    return Response(body, media_type=kind, headers=headers)


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    # uvicorn closes the connection when an application fails in the middle of a body
    raise ConnectionAbortedError("told to drop the connection")
