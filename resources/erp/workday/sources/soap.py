"""Reads Workday's SOAP services: requests by the WSDL, carried by `HttpClient`; records keep the text they came with.

Every page of a pull is asked for as of one moment of entry, so that what is entered meanwhile moves no record to
another page. Only Get_ operations are called; they change nothing and are repeated as a GET is.
Source: WS-Security UsernameToken Profile 1.1; paging and criteria as the README's evidence says.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree
from zeep.wsse.username import UsernameToken

from resources.core.errors import AuthError, ConfigError, DataError, ProtocolError
from resources.erp.declared import split_path
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.options import Slots, SoapOptions, options_of
from resources.erp.workday.privacy import NEVER_IN_RESPONSES
from resources.erp.workday.sources.elements import content_of
from resources.erp.workday.sources.pages import Pull, SourcePage
from resources.erp.workday.sources.shapes import Shape
from resources.erp.workday.sources.wsdl import SoapService, Wsdls
from resources.erp.workday.tenant import Tenant
from resources.transport.http.answers import HttpAnswer, Media
from resources.transport.http.paging import pages_by_number
from resources.transport.text.foreign_text import foreign_text
from resources.transport.text.json_pages import Split
from resources.transport.text.soap_fault import SoapFault, fault_of, parse_xml

_HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
_HEAD = 4_096
"""A fault with status 200 shows in so many bytes."""
_AS_OF_MARGIN = timedelta(seconds=1)
"""The moment of entry lies this far back: a moment to come is refused, and clocks differ."""


@dataclass(slots=True)
class _Read:
    """What the pages of one pull have brought so far."""

    records: list[dict[str, Any]] = field(default_factory=list)
    """Of the page just read."""
    seen: int = 0
    total: int | None = None


class SoapSource:
    """The SOAP services of one tenant; threads may share it."""

    def __init__(self, tenant: Tenant, config: WorkdayConfig, *, system: str) -> None:
        """Prepare; a service's WSDL is read when it is needed first."""
        self._tenant = tenant
        self._config = config
        self._system = system
        self._wsdls = Wsdls(tenant.soap, config, system=system)
        self._services: dict[str, SoapService] = {}
        self._lock = threading.Lock()

    def pages(self, pull: Pull) -> Iterator[SourcePage]:
        """Yield the pages of a part of a dataset.

        Raises:
            ConfigError: The options of the dataset do not fit the WSDL.
            SourceError: It could not be read.
        """
        operation, options = pull.declared.resource, options_of(pull.declared)
        assert isinstance(options, SoapOptions)
        keyed = {name: split_path(path) for name, path in options.keyed.items()}
        as_of, read = self._tenant.clock.now_or_ours() - _AS_OF_MARGIN, _Read()

        def get(number: str) -> HttpAnswer:
            return self._asked(pull, options, as_of, {"Page": int(number), "Count": self._config.page_size("soap")})

        def split(body: bytes) -> Split:
            data, pages = self._response(body, pull, read)
            found = [] if data is None else data.findall(f"{{*}}{options.record}")
            shape = self._record_shape(pull, options)
            read.records = [_content(one, shape, keyed) for one in found]
            read.seen += len(found)
            # pages are told apart by what they hold; the records themselves go by `read`
            marks = [hashlib.sha256(etree.tostring(one)).digest() for one in found]
            return Split(marks, count=read.total, pages=pages)

        for page in pages_by_number(self._system, str, get=get, read=split, what=f"{operation} for {pull}"):
            yield SourcePage(page.number, read.records, page.count)
        if read.total is not None and read.seen < read.total:
            raise ProtocolError(
                f"{self._system}: {operation} for {pull}: the server counted {read.total} records but sent "
                f"{read.seen}; pull it again, and if that does not help lower largest_pages.soap",
                source=self._system,
            )

    def look(self, pull: Pull) -> HttpAnswer:
        """Ask for one record of a dataset, and return the answer.

        Raises:
            SourceError: It was refused.
        """
        options = options_of(pull.declared)
        assert isinstance(options, SoapOptions)
        return self._asked(pull, options, self._tenant.clock.now_or_ours() - _AS_OF_MARGIN, {"Page": 1, "Count": 1})

    def record_shape(self, pull: Pull) -> Shape:
        """Return the shape of a dataset's records by the WSDL that the tenant has now."""
        options = options_of(pull.declared)
        assert isinstance(options, SoapOptions)
        return self._record_shape(pull, options)

    def wsdl(self, name: str) -> bytes:
        """Return the WSDL that the tenant's own host has, and go by it from now on."""
        content = self._wsdls.fetched(name)
        service = self._loaded(name, content)
        with self._lock:
            self._services[name] = service
        return content

    def service(self, name: str) -> SoapService:
        """Return a service by its WSDL.

        Raises:
            SourceError: The WSDL cannot be read or used.
        """
        with self._lock:
            if name not in self._services:
                self._services[name] = self._loaded(name, self._wsdls.read(name))
            return self._services[name]

    def _loaded(self, name: str, content: bytes) -> SoapService:
        called = {one.resource for one in self._config.datasets.values() if one.service == name}
        return SoapService(name, content, called, system=self._system)

    def _record_shape(self, pull: Pull, options: SoapOptions) -> Shape:
        response = self.service(str(pull.declared.service)).response(pull.declared.resource)
        return response.within("Response_Data").within(options.record)

    def _asked(self, pull: Pull, options: SoapOptions, as_of: datetime, page: dict[str, int]) -> HttpAnswer:
        """Return the answer to a request for one page, which is no fault."""
        service, operation = self.service(str(pull.declared.service)), pull.declared.resource
        arguments = self._arguments(service, pull, options)
        moment = as_of.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        arguments["Response_Filter"] = {"As_Of_Entry_DateTime": moment, **page}
        answer = self._send(service, operation, arguments, lane=pull.dataset)
        if answer.status == 500 or b"Fault" in answer.body[:_HEAD]:
            self._refuse_fault(answer.body, f"{operation} for {pull}")
        return answer

    def _arguments(self, service: SoapService, pull: Pull, options: SoapOptions) -> dict[str, Any]:
        slots = Slots.of(pull.part)
        part = options.day if slots.day else options.changed if slots.since else {}
        if not part and (slots.day or slots.since):
            kind = "day" if slots.day else "changed"
            raise ConfigError(f"{self._system}: {pull}: cannot be asked for: set options.{kind} of the dataset")
        criteria = slots.elements({**options.always, **part})
        group = dict(options.response_group)
        if self._config.is_about_people(pull.dataset, pull.declared):
            known = service.request(pull.declared.resource).within("Response_Group")
            group |= {name: False for name in NEVER_IN_RESPONSES if known.has(name)}
        return {
            "version": self._config.soap_version,
            **({"Request_Criteria": criteria} if criteria else {}),
            **({"Response_Group": group} if group else {}),
        }

    def _send(self, service: SoapService, operation: str, arguments: dict[str, Any], *, lane: str) -> HttpAnswer:
        message = service.message(operation, arguments)
        self._sign(message)
        # the address that the WSDL names is not followed: credentials go to the configured host alone
        path = f"/ccx/service/{self._config.tenant}/{service.name}/{self._config.soap_version}"
        body = etree.tostring(message, xml_declaration=True, encoding="UTF-8")
        return self._tenant.soap.query(path, body, headers=_HEADERS, lane=lane, media=Media.XML)

    def _sign(self, message: etree._Element) -> None:
        user = self._config.isu
        if user is None:
            return
        password = user.password.reveal()
        self._tenant.refusals.check(hashlib.sha256(password.encode()).digest())
        token: Any = UsernameToken
        token(self._config.full_name(user), password).apply(message, {})

    def _response(self, body: bytes, pull: Pull, read: _Read) -> tuple[etree._Element | None, int]:
        """Return the Response_Data of an answer, None if it has none, and the number of pages."""
        expected = f"{pull.declared.resource}_Response"
        response = next(parse_xml(body).iter(f"{{*}}{expected}"), None)
        if response is None:
            raise DataError(f"without {expected}")
        total, pages = (_number(response, f"Response_Results/{name}") for name in ("Total_Results", "Total_Pages"))
        if pages is None:
            raise DataError("without Response_Results/Total_Pages")
        read.total = total if read.total is None else read.total
        return response.find("{*}Response_Data"), pages

    def _refuse_fault(self, body: bytes, asking: str) -> None:
        try:
            fault = fault_of(parse_xml(body))
        except DataError as error:
            raise ProtocolError(f"{self._system}: {asking}: the answer is {error}", source=self._system) from error
        if fault is not None:
            raise self._fault_error(fault, asking)

    def _fault_error(self, fault: SoapFault, asking: str) -> AuthError | ProtocolError:
        """Return the platform's error for a fault; refused credentials and missing permission are AuthErrors."""
        user = self._config.isu
        password = user.password.reveal() if user is not None else ""
        said = f"{self._system}: {asking}: Workday says: {foreign_text(str(fault), secrets=(password,))}"
        words = str(fault).lower()
        # no mere mention: a password that is taken for refused is not sent again
        if "username or password" in words or "authentication" in fault.code.lower():
            told = f"{said}; check integration_user (or auth), and that the account is not locked or expired"
            if password:
                digest = hashlib.sha256(password.encode()).digest()
                self._tenant.refusals.note(digest, told, self._tenant.clock.now_or_ours())
            return AuthError(told, source=self._system)
        if "not authorized" in words or "permission" in words:
            return AuthError(
                f"{said}; have the domain of this task granted to the integration user's security group, and pending "
                "security policy changes activated",
                source=self._system,
            )
        advice = "correct options of the dataset" if "validation" in words else "see the tenant's integration log"
        return ProtocolError(f"{said}; {advice}", source=self._system)


def _content(element: etree._Element, shape: Shape, keyed: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    try:
        content = content_of(element, shape, keyed)
    except RecursionError:
        raise DataError("nested too deep") from None
    return content if isinstance(content, dict) else {"value": content}


def _number(response: etree._Element, path: str) -> int | None:
    text = response.findtext("/".join(f"{{*}}{name}" for name in path.split("/")))
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        raise DataError(f"with a {path} that is no number") from None
