"""The fault of a SOAP answer, and XML of foreign systems read without resolving anything that it names.

Source: SOAP 1.1, 4.4 (Fault) and 6.2 (HTTP status 500); SOAP 1.2 part 1, 5.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from resources.core.errors import DataError

_ROOT = re.compile(rb"<[A-Za-z_:\x80-\xff]")
"""Where the first element begins; a document type can only stand before it."""
_MESSAGES = 5
"""So many messages of a fault's detail are told."""


@dataclass(frozen=True, slots=True)
class SoapFault:
    """What a SOAP service says in place of an answer."""

    code: str
    """Fault code without its prefix, such as `Client.validationError`."""
    text: str
    """Fault string."""
    messages: tuple[str, ...]
    """Messages of the detail that say more than the fault string."""

    def __str__(self) -> str:
        """Say all of it, once each."""
        return ": ".join(part for part in (self.code, self.text, "; ".join(self.messages)) if part)


def parse_xml(body: bytes) -> etree._Element:
    """Return the root of a document; a document type, and with it every entity, is refused before it is read.

    Raises:
        DataError: Not XML, cut off, in an encoding that ASCII is no part of, or with a document type.
    """
    if b"\0" in body[:8] or body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("XML in UTF-16 or UTF-32: UTF-8 is wanted")
    root = _ROOT.search(body)
    if b"<!DOCTYPE" in body[: root.start() if root else len(body)].upper():
        raise DataError("XML with a document type, which may declare entities without end: refused")
    # without a document type there is nothing to expand, and a text may be longer than libxml2's 10 MB
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, remove_comments=True,
        remove_pis=True, huge_tree=True,
    )  # fmt: skip
    try:
        found = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise DataError(f"not XML in {len(body)} bytes ({error.msg}); it may be cut off") from error
    if found.getroottree().docinfo.doctype:
        raise DataError("XML with a document type, which may declare entities without end: refused")
    return found


def fault_of(root: etree._Element) -> SoapFault | None:
    """Return the fault in an envelope, None if it holds none."""
    fault = next((found for found in root.iter("{*}Fault")), None)
    if fault is None:
        return None
    code = fault.findtext("faultcode") or fault.findtext("{*}Code/{*}Value") or ""
    text = " ".join((fault.findtext("faultstring") or fault.findtext("{*}Reason/{*}Text") or "").split())
    return SoapFault(code.rpartition(":")[2].strip(), text, _messages(fault, text))


def fault_words(body: bytes) -> str:
    """Return what a SOAP fault says, "" if `body` is no such thing."""
    try:
        found = fault_of(parse_xml(body))
    except DataError:
        return ""
    return str(found) if found is not None else ""


def _messages(fault: etree._Element, text: str) -> tuple[str, ...]:
    told: dict[str, None] = {}
    for detail in (*fault.iterfind("detail"), *fault.iterfind("{*}Detail")):
        for element in detail.iter(etree.Element):
            name, said = etree.QName(element).localname.lower(), " ".join((element.text or "").split())
            if name.endswith("message") and said and said not in text:
                told[said] = None
    return tuple(told)[:_MESSAGES]
