"""XML as JSON; what may not be read; faults."""

from __future__ import annotations

from typing import Any

import pytest

from resources.core.errors import DataError
from resources.erp.workday.sources.elements import content_of
from resources.erp.workday.sources.shapes import NO_SHAPE, levels_of
from resources.erp.workday.sources.wsdl import SoapService
from resources.transport.text.soap_fault import fault_of, fault_words, parse_xml
from tests.unit.resources.erp.workday.support import WSDLS

WD = 'xmlns:wd="urn:com.workday/bsvc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def content(xml: str, keyed: dict[str, tuple[str, ...]] | None = None) -> Any:
    return content_of(parse_xml(f"<wd:R {WD}>{xml}</wd:R>".encode()), NO_SHAPE, keyed or {})


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<wd:Memo>a &amp; b</wd:Memo>", {"Memo": "a & b"}),
        ("<wd:Memo/>", {"Memo": ""}),
        ('<wd:Memo xsi:nil="true"/>', {"Memo": None}),
        ("<wd:Amount>0010.500</wd:Amount>", {"Amount": "0010.500"}),
        ("<wd:A>1</wd:A><wd:A>2</wd:A>", {"A": ["1", "2"]}),
        ('<wd:A wd:Primary="1">x</wd:A>', {"A": {"Primary": "1", "value": "x"}}),
        ('<wd:A wd:Primary="1"><wd:B>x</wd:B></wd:A>', {"A": {"Primary": "1", "B": "x"}}),
        ('<wd:C_Reference><wd:ID wd:type="Currency_ID">EUR</wd:ID></wd:C_Reference>', {"C_Reference": {"Currency_ID": "EUR"}}),
        (
            '<wd:C_Reference wd:Descriptor="Euro"><wd:ID wd:type="WID">1</wd:ID><wd:ID wd:type="K">2</wd:ID></wd:C_Reference>',
            {"C_Reference": {"Descriptor": "Euro", "WID": "1", "K": "2"}},
        ),
        (
            '<wd:W><wd:ID wd:type="A">1</wd:ID></wd:W><wd:W><wd:ID wd:type="B">2</wd:ID></wd:W>'
            '<wd:W><wd:ID wd:type="A">3</wd:ID></wd:W><wd:W><wd:ID wd:type="A">1</wd:ID></wd:W>',
            {"W": {"A": ["1", "3"], "B": "2"}},
        ),
        ("<wd:Data><wd:ID>CC1</wd:ID></wd:Data>", {"Data": {"ID": "CC1"}}),
        ("<!-- said --><wd:A>1</wd:A><?pi?>", {"A": "1"}),
    ],
    ids=[
        "text", "empty", "nil", "digits", "repeated", "attribute", "attribute-of-parent", "reference", "descriptor",
        "worktags", "an-id-that-is-no-reference", "comments",
    ],
)  # fmt: skip
def test_an_element_when_read_keeps_its_text(xml: str, expected: Any) -> None:
    assert content(xml) == expected


def test_a_list_when_its_items_are_named_becomes_a_mapping() -> None:
    xml = "".join(
        f'<wd:Item><wd:T_Reference><wd:ID wd:type="K">{kind}</wd:ID></wd:T_Reference><wd:V>{n}</wd:V></wd:Item>'
        for n, kind in enumerate(("COMPANY", "COST_CENTER"))
    )
    found = content(xml + "<wd:Item><wd:V>9</wd:V></wd:Item>", {"Item": ("T_Reference", "K")})
    assert {name: item["V"] for name, item in found["Item"].items()} == {"COMPANY": "0", "COST_CENTER": "1", "3": "9"}


def test_an_element_when_the_wsdl_says_that_it_repeats_is_a_list_though_it_comes_once() -> None:
    service = SoapService(
        "Financial_Management", (WSDLS / "Financial_Management.wsdl").read_bytes(), ["Get_Journals"], system="wd"
    )
    shape = service.response("Get_Journals").within("Response_Data").within("Journal_Entry")
    root = parse_xml(
        f"<wd:Journal_Entry {WD}><wd:Journal_Entry_Data><wd:Memo>m</wd:Memo></wd:Journal_Entry_Data>"
        "</wd:Journal_Entry>".encode()
    )
    assert content_of(root, shape, {}) == {"Journal_Entry_Data": [{"Memo": "m"}]}
    assert levels_of(shape, ("Journal_Entry_Data", "Journal_Entry_Line_Data")) == [
        "Journal_Entry_Data",
        "Journal_Entry_Line_Data",
    ]
    assert not shape.has("Nothing")
    assert shape.within("Nothing") is NO_SHAPE


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b'<?xml version="1.0"?>\n<!-- <b> -->\n<!doctype a SYSTEM "https://x/y.dtd"><a/>', "document type|not XML"),
        ('<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16"), "UTF-16"),
        (b"<a><b></a>", "not XML"),
        (b"", "not XML"),
    ],
    ids=["entity", "external", "utf-16", "unbalanced", "nothing"],
)
def test_xml_when_it_could_do_harm_or_is_none_is_refused(xml: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_xml(xml)


def test_faults_when_of_soap_1_1_or_1_2_are_told_once() -> None:
    old = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>e:Client</faultcode>'
        b"<faultstring>Wrong  value</faultstring><detail><Message>Wrong value</Message><Message>Line 7</Message></detail>"
        b"</e:Fault></e:Body></e:Envelope>"
    )
    new = (
        b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code><e:Value>e:Sender'
        b"</e:Value></e:Code><e:Reason><e:Text>No</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>"
    )
    assert fault_words(old) == "Client: Wrong value: Line 7"
    assert fault_words(new) == "Sender: No"
    assert fault_words(b"<a/>") == ""
    assert fault_words(b"no xml") == ""
    assert fault_of(parse_xml(b"<a/>")) is None
