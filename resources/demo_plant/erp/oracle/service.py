"""A fake Oracle ERP Cloud: the part of Fusion REST that a client reading meters, orders, assets and journals uses.

It is not Oracle, and nothing that passes against it is shown for a real pod. It keeps to the published names and paths
and to what is documented or widely reported: framework versions by header (query by example in 1, row match from 2,
children as a collection from 3, errors with o:errorDetails from 4), `finder`, `q`, `fields`, `expand`, `onlyData`,
`orderBy`, `limit` with a silent cap, `offset`, `hasMore`, `totalResults`, `/describe`, OAuth with a concatenated scope,
Basic, and an empty 200 for a client that no user belongs to. It knows no writes, no actions, no batch, no `dependency`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.oracle.answers import described, identity
from resources.demo_plant.erp.oracle.book import OracleBook
from resources.demo_plant.erp.oracle.expressions import EVERYTHING, BadQueryError
from resources.demo_plant.erp.oracle.faults import OracleControl
from resources.demo_plant.erp.oracle.login import LOGIN_PAGE, TOKEN_PATH, Gate, OracleLogin
from resources.demo_plant.erp.oracle.pages import PARAMETERS, Question, collection, selected
from resources.demo_plant.erp.oracle.records import Record
from resources.demo_plant.erp.oracle.resources import RESOURCES, Resource

ROOT = "/fscmRestApi/resources"
"""Path of the REST API."""
VERSION = "11.13.18.05"
"""The one version of the API; `latest` is the same."""
FRAMEWORKS = range(1, 10)
"""Framework versions."""

_STATUS = {
    "throttle": (429, "Too Many Requests"),
    "unavailable": (503, "Service Unavailable"),
    "bad_gateway": (502, "Bad Gateway"),
    "gateway_timeout": (504, "Gateway Timeout"),
    "server_error": (500, "Internal Server Error"),
    "forbidden": (403, "Forbidden"),
}


@dataclass(slots=True)
class FakeOracle:
    """The state behind the routes. What passes against it is not shown for a real pod."""

    book: OracleBook
    control: OracleControl
    clock: Clock
    gate: Gate
    own_date: bool


def create_app(
    book: OracleBook,
    *,
    login: OracleLogin | None = None,
    control: OracleControl | None = None,
    clock: Clock | None = None,
    own_date: bool = False,
) -> Starlette:
    """Return the fake as an ASGI application.

    Args:
        book: The records.
        login: Who may log on.
        control: How it misbehaves and what it counted; `app.state.control`.
        clock: For the life of tokens and the Date header.
        own_date: True: it sends the Date header itself, by its clock and its skew; the server must then send none
            (uvicorn: `date_header=False`).
    """
    control, clock = control or OracleControl(), clock or SystemClock()
    gate = Gate(login or OracleLogin(), control, clock)
    fake = FakeOracle(book, control, clock, gate, own_date)
    app = Starlette(
        routes=[
            Route(TOKEN_PATH, gate.token, methods=["POST"]),
            Route(ROOT, _versions),
            Route(ROOT + "/{version}/{resource}/describe", _describe),
            Route(ROOT + "/{version}/{resource}", _collection),
            Route(ROOT + "/{version}/{resource}/{key}/child/{below:path}", _children),
            Route("/{path:path}", _missing),
        ]
    )
    app.state.fake = fake
    app.state.control = control
    return app


def _of(request: Request) -> FakeOracle:
    fake: FakeOracle = request.app.state.fake
    return fake


def _framework(request: Request) -> int | None:
    """Return the framework version asked for, 1 by default; None if there is none such."""
    text = request.headers.get("rest-framework-version", "1")
    return int(text) if text.isdecimal() and int(text) in FRAMEWORKS else None


def _answer(request: Request, body: bytes, status: int = 200, *, media_type: str, **headers: str) -> Response:
    fake = _of(request)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if fake.own_date:
        date = fake.clock.now() + timedelta(seconds=fake.control.clock_skew_s)
        named["date"] = format_datetime(date, usegmt=True)
    return Response(body, status, media_type=media_type, headers=named)


def _json(request: Request, body: Any, status: int = 200, *, kind: str = "resourcecollection") -> Response:
    return _answer(request, orjson.dumps(body), status, media_type=f"application/vnd.oracle.adf.{kind}+json")


def _error(request: Request, status: int, title: str, detail: str, **headers: str) -> Response:
    """Return an error as the framework version has it: plain text before 4, with details from 4 on."""
    if (_framework(request) or 1) < 4:
        return _answer(request, detail.encode(), status, media_type="text/plain", **headers)
    body = {
        "title": title,
        "status": str(status),
        "o:errorDetails": [{"detail": detail, "o:errorCode": "27520", "o:errorPath": request.url.path}],
    }
    return _answer(request, orjson.dumps(body), status, media_type="application/vnd.oracle.adf.error+json", **headers)


async def _missing(request: Request) -> Response:
    return _error(request, 404, "Not Found", "The resource does not exist")


def _refusal(request: Request, resource: str | None) -> Response | None:
    """Return what is answered to whom may not read this; None if he may."""
    fake = _of(request)
    if fake.gate.standing(request) == "refused":
        return _error(request, 401, "Unauthorized", "Unauthorized", www_authenticate='Bearer realm="fake oracle"')
    if _framework(request) is None:
        return _error(request, 400, "Bad Request", "The REST-Framework-Version is not supported")
    version = request.path_params.get("version", VERSION)
    if resource is not None and (resource not in RESOURCES or version not in (VERSION, "latest")):
        return _error(request, 404, "Not Found", f"The resource {resource[:60]} does not exist")
    if resource in fake.control.denied:
        return _error(request, 403, "Forbidden", "The user does not have the privilege")
    return None


async def _versions(request: Request) -> Response:
    refusal = _refusal(request, None)
    if refusal is not None:
        return refusal
    extension = {"defaultFrameworkVersion": "1", "allowedFrameworkVersions": [str(n) for n in FRAMEWORKS]}
    return _json(request, {"items": [{"version": VERSION, "isLatest": True, "adf:extension": extension}]})


async def _describe(request: Request) -> Response:
    name = request.path_params["resource"]
    refusal = _refusal(request, name)
    if refusal is not None:
        return refusal
    address = str(request.url).partition("?")[0].removesuffix("/describe")
    return _json(
        request,
        {"Resources": {name: described(RESOURCES[name], address, _of(request).control.renamed)}},
        kind="description",
    )


async def _collection(request: Request) -> Response:
    """Answer a read of a resource."""
    fake, name = _of(request), request.path_params["resource"]
    fault = _count(request, fake)
    refused = _refusal(request, name) or await _met(request, fault)
    if refused is not None:
        return refused
    question = _question(request, RESOURCES[name])
    if fault is not None and fault.kind == "repeat_page" and name in fake.control.pages:
        return _answer(
            request, fake.control.pages[name], media_type="application/vnd.oracle.adf.resourcecollection+json"
        )
    try:
        ignored = fault is not None and fault.kind == "ignore_filter"
        expression = EVERYTHING if ignored else question.expression
        records = selected(fake.book, question, expression)
        if fake.gate.standing(request) == "unmapped" or name in fake.control.hidden:
            records = iter(())
        return _page(request, question, records, fault)
    except BadQueryError as error:
        return _error(request, 400, "Bad Request", str(error))


async def _children(request: Request) -> Response:
    """Answer a read of the children of a record: `{key}/child/{name}`, and deeper."""
    fake, name = _of(request), request.path_params["resource"]
    fault = _count(request, fake)
    refused = _refusal(request, name) or await _met(request, fault)
    if refused is not None:
        return refused
    key = request.path_params["key"]
    found = _below(fake, RESOURCES[name], int(key) if key.isdecimal() else key, request.path_params["below"].split("/"))
    if found is None:
        return await _missing(request)
    resource, records = found
    question = _question(request, resource)
    try:
        expression = question.expression
        return _page(request, question, (record for record in records if expression.holds(record)), fault)
    except BadQueryError as error:
        return _error(request, 400, "Bad Request", str(error))


def _below(fake: FakeOracle, resource: Resource, key: object, path: list[str]) -> tuple[Resource, list[Record]] | None:
    """Return the children that an address leads to: `name`, or `name/identity/child/name`; None if there are none."""
    parent = fake.book.find(resource.name, key)
    names = path[0::3]
    for position, name in enumerate(names):
        if parent is None or name not in resource.children:
            return None
        resource = resource.children[name]
        records: list[Record] = parent.get(name) or []
        if position == len(names) - 1:
            return resource, records
        parent = next((record for record in records if identity(resource, record) == path[3 * position + 1]), None)
    return None


def _count(request: Request, fake: FakeOracle) -> Fault | None:
    fake.control.requests += 1
    fake.control.seen.append(unquote(f"{request.url.path}?{request.url.query}"))
    return fake.control.next_fault()


def _question(request: Request, resource: Resource) -> Question:
    address = str(request.url).partition("?")[0]
    return Question(resource, address, request.query_params, _framework(request) or 1)


def _page(request: Request, question: Question, records: Any, fault: Fault | None) -> Response:
    control = _of(request).control
    unknown = set(question.parameters) - PARAMETERS
    if unknown:
        raise BadQueryError(f"URL request parameter {min(unknown)[:60]} is not known")
    body = collection(records, question, control, fault)
    expanded = "expand" in question.parameters or ":" in question.parameters.get("fields", "")
    if expanded and control.heavy_above is not None and body["limit"] > control.heavy_above:
        return _answer(request, b"<html>504 Gateway Time-out</html>", 504, media_type="text/html")
    control.records_sent += body["count"]
    if fault is not None and fault.kind == "not_json":
        del body["items"]
    written = orjson.dumps(body)
    control.pages[question.resource.name] = written
    return _damaged(request, written, fault)


async def _met(request: Request, fault: Fault | None) -> Response | None:
    """Return what is answered in place of data, None if data follows."""
    if fault is None:
        return None
    if fault.kind in _STATUS:
        pause = {"retry_after": fault.retry_after} if fault.retry_after is not None else {}
        status, title = _STATUS[fault.kind]
        return _error(request, status, title, f"told to answer {fault.kind}", **pause)
    if fault.kind == "unauthorized":
        return _error(request, 401, "Unauthorized", "Unauthorized")
    if fault.kind == "html_login":
        return HTMLResponse(LOGIN_PAGE)
    if fault.kind == "redirect":
        return RedirectResponse("/oam/server/obrareq.cgi", 302)
    await fault.delay()
    return None


def _damaged(request: Request, body: bytes, fault: Fault | None) -> Response:
    """Return the body as a response, damaged as the fault says."""
    kind = "application/vnd.oracle.adf.resourcecollection+json"
    if fault is not None and fault.kind == "drop":
        return StreamingResponse(_broken(body), headers={"content-length": str(len(body))}, media_type=kind)
    if fault is not None and fault.kind == "truncated":
        body = body[: len(body) // 2]
    if fault is not None and fault.kind == "not_utf8":
        body = body.replace(b'"items":', b'"K\xfchler":1,"items":', 1)
    if fault is not None and fault.kind == "wrong_charset":
        return _answer(request, body.decode().encode("utf-16"), media_type=f"{kind};charset=UTF-16")
    return _answer(request, body, media_type=kind)


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    # uvicorn closes the connection when an application fails in the middle of a body
    raise ConnectionAbortedError("told to drop the connection")


__all__ = ["ROOT", "TOKEN_PATH", "VERSION", "OracleBook", "OracleControl", "OracleLogin", "create_app"]
