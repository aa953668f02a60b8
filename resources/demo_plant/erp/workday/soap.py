"""The SOAP service of the fake Workday: Get_Cost_Centers, Get_Journals and Get_Workers, page by page.

Written without a SOAP library, so that the client's one is not tried against itself. It answers document/literal SOAP
1.1 with WS-Security UsernameToken or a bearer token, and keeps to the request's As_Of_Entry_DateTime.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from lxml import etree

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday.book import WorkdayBook
from resources.demo_plant.erp.workday.soap_records import Content, cost_center, journals, worker

WD = "urn:com.workday/bsvc"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_SPACES = {"env": ENVELOPE, "wd": WD, "wsse": _WSSE}
MOST_RECORDS = 999
"""Most records of a page."""

SERVICES = {"Financial_Management": ("Get_Cost_Centers", "Get_Journals"), "Human_Resources": ("Get_Workers",)}
"""Service -> its operations."""


class SoapFaultError(Exception):
    """A fault to answer with: `code` after `SOAP-ENV:Client.`, and its text."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code beside the message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SoapRequest:
    """What a request asks for."""

    operation: str
    body: etree._Element
    credentials: tuple[str, str] | None
    """User and password of its UsernameToken."""

    def text(self, path: str) -> str | None:
        """Return the text of an element below the request, None if it is not there."""
        found = self.body.findtext("/".join(f"wd:{step}" for step in path.split("/")), namespaces=_SPACES)
        return found.strip() if found else None

    def moment(self, path: str) -> datetime | None:
        """Return an instant below the request."""
        text = self.text(path)
        return datetime.fromisoformat(text) if text else None

    def flag(self, path: str) -> bool | None:
        """Return a boolean below the request."""
        text = self.text(path)
        return None if text is None else text in ("true", "1")


def wsdl_of(service: str, address: str, fault: Fault | None) -> str:
    """Return the WSDL of a service that is at `address`."""
    text = Path(__file__).with_name(f"{service}.wsdl").read_text(encoding="utf-8")
    text = text.replace(f"https://workday.example/ccx/service/tenant/{service}/v43.0", address)
    if fault is not None and fault.kind == "foreign_import":
        imported = '<xsd:import namespace="urn:elsewhere" schemaLocation="https://other-host.invalid/types.xsd"/>'
        first = '<xsd:element name="Workday_Common_Header"'
        text = text.replace(first, imported + first, 1)
    return text


def read_request(service: str, content: bytes) -> SoapRequest:
    """Return what a SOAP envelope asks for.

    Raises:
        SoapFaultError: Not SOAP, or an operation that the service does not have.
    """
    try:
        envelope = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise SoapFaultError("", "The request is not XML") from error
    body = envelope.find("env:Body/*", _SPACES)
    operation = etree.QName(body).localname.removesuffix("_Request") if body is not None else ""
    if body is None or operation not in SERVICES[service]:
        raise SoapFaultError("validationError", f"Invalid request: {operation} is not an operation of {service}")
    token = envelope.find("env:Header/wsse:Security/wsse:UsernameToken", _SPACES)
    credentials = None
    if token is not None:
        credentials = (
            token.findtext("wsse:Username", "", _SPACES),
            token.findtext("wsse:Password", "", _SPACES),
        )
    return SoapRequest(operation, body, credentials)


def respond(book: WorkdayBook, request: SoapRequest, fault: Fault | None) -> tuple[bytes, int]:
    """Return the response envelope of one page, and how many records it holds.

    Raises:
        SoapFaultError: The request breaks a rule of the service.
    """
    count = int(request.text("Response_Filter/Count") or 100)
    page = int(request.text("Response_Filter/Page") or 1)
    if count > MOST_RECORDS:
        raise SoapFaultError("validationError", f"Invalid Count: the maximum is {MOST_RECORDS}")
    name, found = _OPERATIONS[request.operation](book, request, fault)
    pages = math.ceil(len(found) / count)
    if fault is not None and fault.kind == "repeat_page":
        sent = found[:count]
    else:
        sent = [] if fault is not None and fault.kind == "empty_page" else found[(page - 1) * count : page * count]
    results: Content = {
        "Total_Results": str(len(found) + (fault is not None and fault.kind == "miscount")),
        "Total_Pages": str(pages),
        "Page_Results": str(len(sent)),
        "Page": "1" if fault is not None and fault.kind == "repeat_page" else str(page),
    }
    content: Content = {"Response_Results": results, "Response_Data": {name: list(sent)}}
    return envelope_of(f"{request.operation}_Response", content), len(sent)


def fault_of(error: SoapFaultError) -> bytes:
    """Return the envelope of a fault."""
    kind = "Validation_Fault" if error.code == "validationError" else "Processing_Fault"
    inner = f"<wd:Message>{error}</wd:Message>" if error.code == "validationError" else ""
    wrapped = f"<wd:Validation_Error>{inner}<wd:Detail_Message>{error}</wd:Detail_Message></wd:Validation_Error>"
    detail = wrapped if inner else f"<wd:Detail_Message>{error}</wd:Detail_Message>"
    code = f".{error.code}" if error.code else ""
    return (
        f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="{ENVELOPE}"><SOAP-ENV:Body><SOAP-ENV:Fault>'
        f"<faultcode>SOAP-ENV:Client{code}</faultcode><faultstring>{error}</faultstring>"
        f'<detail><wd:{kind} xmlns:wd="{WD}">{detail}</wd:{kind}></detail>'
        "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


def envelope_of(name: str, content: Content) -> bytes:
    """Return an envelope whose body is the element `name`."""
    envelope = etree.Element(f"{{{ENVELOPE}}}Envelope", nsmap={"env": ENVELOPE, "wd": WD})
    response = etree.SubElement(etree.SubElement(envelope, f"{{{ENVELOPE}}}Body"), f"{{{WD}}}{name}")
    response.set(f"{{{WD}}}version", "v43.0")
    _fill(response, content)
    text: bytes = etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
    return text


def _fill(parent: etree._Element, content: Content) -> None:
    for name, value in content.items():
        for item in value if isinstance(value, list) else [value]:
            if item is None:
                continue
            child = etree.SubElement(parent, f"{{{WD}}}{name}")
            if isinstance(item, str):
                child.text = item
            elif isinstance(item, tuple):
                for kind, identity in item:
                    named = etree.SubElement(child, f"{{{WD}}}ID")
                    named.set(f"{{{WD}}}type", kind)
                    named.text = identity
            else:
                _fill(child, item)


def _get_cost_centers(book: WorkdayBook, request: SoapRequest, fault: Fault | None) -> tuple[str, list[Content]]:
    del fault
    since, until = (request.moment(f"Request_Criteria/Updated_{end}_Date") for end in ("From", "To"))
    centers = [
        center
        for center in book.cost_centers()
        if (since is None or center["updated"] >= since) and (until is None or center["updated"] <= until)
    ]
    return "Cost_Center", [cost_center(center) for center in centers]


def _get_journals(book: WorkdayBook, request: SoapRequest, fault: Fault | None) -> tuple[str, list[Content]]:
    as_of = request.moment("Response_Filter/As_Of_Entry_DateTime")
    since, until = (request.moment(f"Request_Criteria/Updated_{end}_Date") for end in ("From", "To"))
    if since is not None and until is not None:
        found = book.journals_updated(since, until, as_of=as_of)
    else:
        first, last = (request.text(f"Request_Criteria/Accounting_{end}_Date") for end in ("From", "To"))
        if first is None or last is None:
            raise SoapFaultError("validationError", "Accounting_From_Date and Accounting_To_Date are required")
        found = book.journals(date.fromisoformat(first), date.fromisoformat(last), as_of=as_of)
    return "Journal_Entry", journals(found, fault)


def _get_workers(book: WorkdayBook, request: SoapRequest, fault: Fault | None) -> tuple[str, list[Content]]:
    del fault
    span = "Request_Criteria/Transaction_Log_Criteria_Data/Transaction_Date_Range_Data"
    since, until = request.moment(f"{span}/Updated_From"), request.moment(f"{span}/Updated_Through")
    workers = [
        held
        for held in book.workers()
        if (since is None or held["updated"] >= since) and (until is None or held["updated"] <= until)
    ]
    # without a Response_Group Workday sends personal information on its own accord
    personal = request.flag("Response_Group/Include_Personal_Information")
    pay = request.flag("Response_Group/Include_Compensation")
    return "Worker", [worker(held, personal=personal is not False, pay=bool(pay)) for held in workers]


_OPERATIONS: dict[str, Callable[[WorkdayBook, SoapRequest, Fault | None], tuple[str, list[Content]]]] = {
    "Get_Cost_Centers": _get_cost_centers,
    "Get_Journals": _get_journals,
    "Get_Workers": _get_workers,
}
