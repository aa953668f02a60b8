"""What systems say of their errors: every form the four of them write, and whatever else comes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.transport.text.server_words import server_words

JSON = "application/json; charset=utf-8"
FAULT = b"""<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>
<SOAP-ENV:Fault xmlns:wd="urn:com.workday/bsvc"><faultcode>SOAP-ENV:Client.validationError</faultcode>
<faultstring>Validation error occurred.</faultstring><detail><wd:Validation_Fault><wd:Validation_Error>
<wd:Message>Invalid ID value.</wd:Message></wd:Validation_Error></wd:Validation_Fault></detail>
</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"""
ATOM = b"""<?xml version="1.0"?><error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">
<code>005056A509B11EE1B9A8FEC11C21578E</code><message xml:lang="en">Resource not found</message></error>"""


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"error": {"code": "/IWBEP/1", "message": "bad", "details": [{"message": "worse", "target": "Plant"}]}},
            "/IWBEP/1 - bad - worse (Plant)",
        ),
        (
            {
                "error": {
                    "code": "C",
                    "message": {"lang": "en", "value": "not found"},
                    "innererror": {
                        "transactionid": "1",
                        "errordetails": [{"code": "X", "message": "no such plant"}, {"message": "not found"}],
                    },
                }
            },
            "C - not found - no such plant",
        ),
        (
            {
                "error": {
                    "code": "",
                    "message": "An error has occurred.",
                    "innererror": {
                        "message": "Write failed. Infolog: Error: closed period",
                        "stacktrace": "at ...",
                        "internalexception": {"message": "the period is closed"},
                    },
                }
            },
            "An error has occurred. - Write failed. Infolog: Error: closed period - the period is closed",
        ),
        (
            {
                "title": "Bad Request",
                "status": "400",
                "o:errorDetails": [{"detail": "no attribute X", "o:errorCode": "27520", "o:errorPath": "/q"}],
            },
            "Bad Request - no attribute X (/q)",
        ),
        (
            {"error": "invalid request", "code": "S22", "errors": [{"error": "no such field", "field": "wid"}]},
            "invalid request - S22 - no such field (wid)",
        ),
        ({"error": "invalid_client", "error_description": "unknown"}, "invalid_client - unknown"),
        ({"Errors": ["first", "second"], "Message": "third"}, "third - first - second"),
        ({"type": "about:blank", "title": "T", "detail": "D"}, "T - D"),
        ({"ISGServiceFault": {"Code": "IRepAccessDenied", "Message": "denied", "Resolution": "grant"}}, "IRepAccessDenied - denied - grant"),
        ({"fault": {"faultstring": "quota", "detail": {}}}, "quota"),
        ([{"message": "in a list"}], "in a list"),
        ({"errors": [{"message": f"m{number}"} for number in range(9)]}, "m0 - m1 - m2 - m3 - m4"),
        ({"error": {"message": None, "details": 7, "innererror": [1]}}, ""),
        ({}, ""),
        ("text", ""),
    ],
)  # fmt: skip
def test_words_when_in_json_are_found(told: Any, words: str) -> None:
    assert server_words(json.dumps(told).encode(), JSON) == words


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"JBO-25058: no attribute", "text/plain;charset=utf-8", "JBO-25058: no attribute"),
        (b'{"title": "Bad"}', "text/plain", "Bad"),
        (b"something", "", "something"),
        (b"\x00\x01", "application/octet-stream", ""),
        (b"<h1>Log on</h1>", "text/html", "(a page of HTML)"),
        (b'{"error": ', JSON, "(JSON that ends in the middle)"),
        (b"[" * 100_000, JSON, "(JSON that ends in the middle)"),
        (FAULT, "text/xml; charset=utf-8", "Client.validationError: Validation error occurred.: Invalid ID value."),
        (ATOM, "application/atom+xml", "005056A509B11EE1B9A8FEC11C21578E - Resource not found"),
        (b"<error><co", "application/xml", "(XML that ends in the middle)"),
        (b"<a/>", "application/xml", ""),
    ],
)
def test_words_when_in_another_form_are_found(body: bytes, kind: str, words: str) -> None:
    assert server_words(body, kind) == words


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "message", "details", "innererror", "errordetails", "errors", "value", "title"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_words_whatever_comes_are_text(told: Any) -> None:
    assert isinstance(server_words(json.dumps(told).encode(), JSON), str)
