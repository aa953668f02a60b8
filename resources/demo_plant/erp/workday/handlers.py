"""What the fake Workday answers on each of its paths, behind the log-on: WQL, REST, custom reports and SOAP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday import query, reports, soap
from resources.demo_plant.erp.workday.book import WorkdayBook
from resources.demo_plant.erp.workday.control import WorkdayControl
from resources.demo_plant.erp.workday.oauth import Tokens, WorkdayLogin
from resources.demo_plant.erp.workday.sources import SOURCES, Span

JSON = "application/json"
XML = "text/xml;charset=utf-8"
_RESOURCES = {"costCenters": "costCenters", "workers": "allWorkers"}
"""Resource of REST -> data source whose rows it shows."""


class RefusedError(Exception):
    """Answered with an error of REST; `code` is Workday's."""

    def __init__(self, status: int, message: str, code: str = "A0001") -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: its content type, and how many records it holds."""

    body: bytes
    kind: str
    records: int = 0


Handler = Callable[["Service", Request, bytes, Fault | None], Answer]


@dataclass(slots=True)
class Service:
    """The state behind the routes; `wql_limit` and `rest_limit` are the largest pages."""

    book: WorkdayBook
    login: WorkdayLogin
    control: WorkdayControl
    tokens: Tokens
    wql_limit: int
    rest_limit: int


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or int(text) > most:
        raise RefusedError(400, f"invalid parameter {name}: at most {most}", "S22")
    return int(text)


def _page(service: Service, request: Request, rows: list[Any], most: int, fault: Fault | None) -> Answer:
    limit = _number(request, "limit", 20 if most <= 100 else most, most)
    offset = _number(request, "offset", 0, 10**9)
    kind = fault.kind if fault else ""
    start = 0 if kind == "repeat_page" else offset
    sent = [] if kind == "empty_page" else rows[start : start + limit]
    body = {"total": len(rows) + (kind == "miscount"), "data": sent}
    return Answer(json.dumps(body).encode(), JSON, len(sent))


def refuse_denied(service: Service, what: str) -> None:
    """Refuse what the user may not see.

    Raises:
        RefusedError: The permission for `what` was taken away.
    """
    if what in service.control.denied:
        raise RefusedError(403, f"permission denied for {what}", "A0003")


def renamed(service: Service, metadata: str) -> bytes:
    """Return metadata with the names changed that were told to be."""
    for old, new in service.control.metadata_changes.items():
        metadata = metadata.replace(old, new)
    return metadata.encode()


def wql(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """Answer a query, by GET or POST."""
    text = request.query_params.get("query", "")
    if request.method == "POST":
        text = str(json.loads(content or b"{}").get("query", ""))
    elif len(text) > 2048:
        raise RefusedError(400, "the query is too long for GET", "S22")
    for source in SOURCES:
        if f"FROM {source} " in f"{text} ":
            refuse_denied(service, source)
    return _page(service, request, query.answer(service.book, text, fault), service.wql_limit, fault)


def data_sources(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """List the data sources of WQL."""
    del content
    rows = [{"alias": alias, "id": alias, "descriptor": source.label} for alias, source in SOURCES.items()]
    return _page(service, request, rows, service.wql_limit, fault)


def fields_of_source(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """List the fields of a data source."""
    del content
    source = SOURCES.get(request.path_params["source"])
    if source is None:
        raise RefusedError(404, "invalid ID value", "S21")
    rows = [{"alias": alias, "id": alias, "type": {"descriptor": kind}} for alias, kind in source.fields.items()]
    rows = json.loads(renamed(service, json.dumps(rows)))
    return _page(service, request, rows, service.wql_limit, fault)


def rest(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """List a resource of REST."""
    del content
    source = SOURCES.get(_RESOURCES.get(request.path_params["resource"], ""))
    if source is None:
        raise RefusedError(404, "invalid request: the resource does not exist", "S21")
    rows = source.rows(service.book, Span(service.book.first_day, service.book.today()), fault)
    listed = [{"id": row["workdayID"], **{k: v for k, v in row.items() if v is not None}} for row in rows]
    return _page(service, request, listed, service.rest_limit, fault)


def report(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """Run a custom report, or give its schema."""
    del content
    name = request.path_params["report"]
    found = reports.REPORTS.get(name) if request.path_params["owner"] == reports.OWNER else None
    if found is None:
        raise RefusedError(404, f"invalid request: no report {name}", "S21")
    refuse_denied(service, name)
    if "xsds" in request.query_params:
        return Answer(renamed(service, reports.schema_of(name, found)), XML)
    if request.query_params.get("format") != "json":
        raise RefusedError(400, "only format=json is implemented", "S22")
    rows = reports.run(found, service.book, request.query_params, fault)
    return Answer(json.dumps({"Report_Entry": rows}).encode(), JSON, len(rows))


def wsdl(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """Give the WSDL of a SOAP service."""
    del content
    name = request.path_params["service"]
    if name not in soap.SERVICES:
        raise RefusedError(404, f"invalid request: no service {name}", "S21")
    address = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
    return Answer(renamed(service, soap.wsdl_of(name, address, fault)), XML)


def soap_call(service: Service, request: Request, content: bytes, fault: Fault | None) -> Answer:
    """Carry out a SOAP operation."""
    name = request.path_params["service"]
    if name not in soap.SERVICES:
        raise soap.SoapFaultError("", f"Unknown service {name}")
    if fault is not None and fault.kind == "validation_fault":
        raise soap.SoapFaultError("validationError", "Invalid ID value. 'CC9' is not a valid ID value for Cost_Center")
    asked = soap.read_request(name, content)
    if asked.operation in service.control.denied or (fault is not None and fault.kind == "processing_fault"):
        raise soap.SoapFaultError("", "Processing error occurred. The task submitted is not authorized.")
    if fault is not None and fault.kind == "server_error":
        raise soap.SoapFaultError("", "Processing error occurred. An unexpected error occurred.")
    body, sent = soap.respond(service.book, asked, fault)
    if service.control.metadata_changes:
        body = renamed(service, body.decode())
    if fault is not None and fault.kind == "entities":
        declared = b'<!DOCTYPE x [<!ENTITY lol "lol"><!ENTITY more "&lol;&lol;&lol;&lol;&lol;&lol;">]>'
        head, _, rest = body.partition(b"?>")
        body = head + b"?>" + declared + rest.replace(b"<wd:Memo>", b"<wd:Memo>&more;")
    return Answer(body, XML, sent)
