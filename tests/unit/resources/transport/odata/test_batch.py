"""CSRF tokens and $batch: against mock-sap, which nobody here wrote, and against a server that misbehaves as told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st
from mocksap.batch import boundary_of, parse_http_request, parse_part, split_parts

from resources.core.errors import AuthError, DataError, ProtocolError, ThrottledError, UnreachableError
from resources.transport.connections.config import HttpConfig
from resources.transport.connections.errors import CsrfRequiredError
from resources.transport.http.client import HttpClient
from resources.transport.odata.batch import Change, ODataBatch
from resources.transport.odata.csrf import CsrfSession
from resources.transport.odata.filters import Compare
from resources.transport.odata.multipart import http_part, multipart, new_boundary, read_multipart
from resources.transport.odata.v2 import ODataV2, encoded_v2
from resources.transport.odata.v4 import Query
from tests.unit.resources.transport.odata.mock_sap import mock_sap
from tests.unit.resources.transport.web_server import Answer, Asked, WebServer, serving

V2_ROOT = "/sap/opu/odata/sap/API_PURCHASEORDER_PROCESS_SRV"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def sap() -> Iterator[str]:
    with mock_sap() as url:
        yield url


@pytest.fixture
def http(sap: str) -> Iterator[HttpClient]:
    config = HttpConfig(base_url=sap, insecure_plain_http=True, attempts=1, rate_limit_per_minute=None)
    with HttpClient("mock", config) as client:
        yield client


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def _fresh(server: WebServer) -> Iterator[None]:
    server.asked.clear()
    with stamina.set_testing(True, attempts=2):
        yield
    server.script = []


def test_orders_of_mock_sap_when_it_does_not_page_are_read_by_number(http: HttpClient) -> None:
    service = ODataV2(http, V2_ROOT, page_size=3)
    pages = list(service.pages("A_PurchaseOrder", Query(orderby=("PurchaseOrder",), count=True)))
    numbers = [json.loads(record)["PurchaseOrder"] for page in pages for record in page.records]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == pages[0].count
    assert len(pages) > 1
    only = Query(filter=Compare("PurchaseOrder", "eq", numbers[0]), orderby=("PurchaseOrder",))
    assert [len(page.records) for page in service.pages("A_PurchaseOrder", only)] == [1]
    attack = Query(filter=Compare("PurchaseOrder", "eq", "x' or '1' eq '1"), orderby=("PurchaseOrder",))
    assert [len(page.records) for page in service.pages("A_PurchaseOrder", attack)] == [0]


def test_reads_when_sent_to_mock_sap_in_a_batch_are_answered_in_their_order(http: HttpClient) -> None:
    batch = ODataBatch(http, V2_ROOT, version="2.0", csrf=CsrfSession(http, V2_ROOT))
    query = encoded_v2(Query(orderby=("PurchaseOrder",)), top=2)
    first, second = batch.read([f"A_PurchaseOrder?{query}", "A_PurchaseOrder?$top=1&$format=json"])
    assert len(json.loads(first.body)["d"]["results"]) == 2
    assert len(json.loads(second.body)["d"]["results"]) == 1
    with pytest.raises(ProtocolError, match=r"GET NoSuchSet in /sap/.*\$batch: HTTP 404, the server says: "):
        batch.read(["A_PurchaseOrder?$top=1", "NoSuchSet?x=1"])


def test_changes_when_sent_to_mock_sap_hold_together(http: HttpClient) -> None:
    batch = ODataBatch(http, V2_ROOT, version="2.0", csrf=CsrfSession(http, V2_ROOT))
    order = {
        "CompanyCode": "1710",
        "PurchaseOrderType": "NB",
        "Supplier": "USSU-VSF01",
        "PurchasingOrganization": "1710",
    }
    good = Change("POST", "A_PurchaseOrder", json.dumps(order).encode(), JSON)
    bad = Change("POST", "A_PurchaseOrder", b'{"NoSuchField": 1}', JSON)

    def count() -> int:
        page = next(
            ODataV2(http, V2_ROOT, page_size=1).pages("A_PurchaseOrder", Query(orderby=("PurchaseOrder",), count=True))
        )
        return int(page.count or 0)

    before = count()
    with pytest.raises(ProtocolError, match="the change set in"):
        batch.change([good, bad])
    assert count() == before


def test_a_token_when_missing_is_fetched_with_its_session_and_sent_with_every_post(server: WebServer) -> None:
    server.script = [
        Answer(
            headers=(
                ("X-CSRF-Token", "abc=="),
                ("Set-Cookie", "SAP_SESSIONID_X=s1%3d; Path=/; Secure; HttpOnly"),
                ("Set-Cookie", "sap-usercontext=sap-client=100; path=/"),
                ("Set-Cookie", "gone=; expires=Thu, 01 Jan 1970 00:00:00 GMT"),
                ("Set-Cookie", "nonsense"),
            )
        )
    ]
    with server.client() as http:
        session = CsrfSession(http, "/root")
        for _ in range(2):
            session.post("/root/Things", b"{}", headers=JSON)
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("GET", "/root/"), ("POST", "/root/Things"), ("POST", "/root/Things")
    ]  # fmt: skip
    assert server.asked[0].headers["x-csrf-token"] == "Fetch"
    assert {asked.headers["x-csrf-token"] for asked in server.asked[1:]} == {"abc=="}
    assert {asked.headers["cookie"] for asked in server.asked[1:]} == {
        "SAP_SESSIONID_X=s1%3d; sap-usercontext=sap-client=100"
    }


def test_a_token_when_it_has_expired_is_fetched_once_more(server: WebServer) -> None:
    required = Answer(b"", status=403, headers=(("X-CSRF-Token", "Required"),))
    server.script = [
        Answer(headers=(("X-CSRF-Token", "old"),)), required, Answer(headers=(("X-CSRF-Token", "new"),)), Answer(b'{"done":1}')
    ]  # fmt: skip
    with server.client() as http:
        assert CsrfSession(http, "/root").post("/root/x", b"{}").body == b'{"done":1}'
        assert [asked.headers["x-csrf-token"] for asked in server.asked] == ["Fetch", "old", "Fetch", "new"]
        server.script = [
            Answer(headers=(("X-CSRF-Token", "t"),)),
            required,
            Answer(headers=(("X-CSRF-Token", "u"),)),
            required,
        ]
        with pytest.raises(CsrfRequiredError, match="the session has to stay with one server"):
            CsrfSession(http, "/root").post("/root/x", b"{}")
        server.script = [Answer(headers=(("X-CSRF-Token", "t"),)), Answer(b"", status=403)]
        with pytest.raises(AuthError, match="lacks the permission"):
            CsrfSession(http, "/root").post("/root/x", b"{}")


def test_a_service_when_it_knows_no_tokens_is_posted_to_without(server: WebServer) -> None:
    server.script = [Answer()]
    with server.client() as http:
        session = CsrfSession(http, "/root")
        session.post("/root/x", b"{}")
        assert "x-csrf-token" not in server.asked[1].headers
        server.script = [Answer(headers=(("X-CSRF-Token", "Required"),))]
        with pytest.raises(ProtocolError, match="gave none"):
            CsrfSession(http, "/root").post("/root/x", b"{}")


def batched(*answers: bytes, boundary: str = "b 1") -> Answer:
    """Return the answer of a batch whose parts are these."""
    parts = [b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" + part for part in answers]
    return Answer(multipart(parts, boundary), status=202, kind=f'multipart/mixed; boundary="{boundary}"')


OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=ISO-8859-1\r\n\r\n{"a":"\xfc"}'


def test_the_parts_of_a_batch_when_answered_are_judged_one_by_one(server: WebServer) -> None:
    server.script = [batched(OK, b"HTTP/1.1 429 Too Many\r\nRetry-After: 9\r\nContent-Length: 4\r\n\r\nslowXX")]
    with server.client() as http:
        batch = ODataBatch(http, "/root")
        with pytest.raises(ThrottledError, match=r"GET B in /root/\$batch: HTTP 429") as met:
            batch.read(["A?x", "B?y"])
        assert met.value.retry_after_s == 9.0
        server.script = [batched(OK)]
        assert batch.read(["A?x"])[0].body == '{"a":"ü"}'.encode()
    asked = server.asked[0]
    assert asked.headers["odata-version"] == "4.0"
    boundary = boundary_of(asked.headers["content-type"])
    parts = [parse_part(part) for part in split_parts(asked.body, str(boundary))]
    assert len(parts) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (batched(OK), "holds 1 answers to 2 reads"),
        (Answer(b"--b\r\n", kind="multipart/mixed; boundary=b"), "is multipart that is cut off"),
        (Answer(b"--b--", kind="multipart/mixed"), "without a boundary"),
        (Answer(multipart([b"Content-Type: text/plain\r\n\r\nx"], "b"), kind="multipart/mixed; boundary=b"), "a part of 'text/plain'"),
        (batched(b"<html>"), "a part that is no HTTP answer"),
        (Answer(b"{}"), "in place of MULTIPART"),
    ],
)  # fmt: skip
def test_a_batch_when_its_answer_is_none_is_told(server: WebServer, answer: Answer, words: str) -> None:
    server.script = [answer]
    with server.client() as http, pytest.raises(ProtocolError) as met:
        ODataBatch(http, "/root").read(["A", "B"])
    assert words in str(met.value)


def test_a_change_set_when_sent_is_one_part_and_is_not_repeated(server: WebServer) -> None:
    created = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-ID: 1\r\n\r\n{"id":1}'
    empty = b"HTTP/1.1 204 No Content\r\nContent-ID: 2\r\n\r\n"

    def answer(asked: Asked) -> Answer:
        inner = batched(created, empty, boundary="cs")
        part = f"Content-Type: {inner.kind}\r\n\r\n".encode() + inner.body
        return Answer(multipart([part], "outer"), kind="multipart/mixed; boundary=outer")

    changes = [
        Change("POST", "Things", b'{"a":1}', JSON),
        Change("PATCH", "Things('1')", b"{}", {**JSON, "If-Match": "*"}),
    ]
    server.answer = answer
    with server.client() as http:
        answers = ODataBatch(http, "/root").change(changes)
        assert [(one.status, one.body) for one in answers] == [(201, b'{"id":1}'), (204, b"")]
        server.script = [Answer(hang_up=True)]
        with pytest.raises(UnreachableError):
            ODataBatch(http, "/root").change(changes)
    server.answer = lambda _: Answer()
    assert len(server.asked) == 2
    outer = parse_part(split_parts(server.asked[0].body, str(boundary_of(server.asked[0].headers["content-type"])))[0])
    requests = [parse_http_request(part.body, "/root") for part in outer.parts]
    assert len(requests) == 2


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.booleans())
def test_parts_when_written_are_read_back_whatever_they_hold(contents: list[bytes], bare: bool) -> None:
    boundary = new_boundary("batch")
    head = b"Content-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = multipart([head % len(content) + content for content in contents], boundary)
    if bare and not any(b"\r" in content or b"\n" in content for content in contents):
        body = body.replace(b"\r\n", b"\n")
    found = read_multipart(b"preamble\r\n" + body + b"epilogue", f"multipart/mixed; boundary={boundary}")
    assert [part.body for part in found] == contents


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_a_body_when_it_is_anything_is_read_or_refused(body: bytes) -> None:
    for text in (body, b"--b\r\n" + body + b"\r\n--b--"):
        try:
            read_multipart(text, "multipart/mixed; boundary=b")
        except DataError:
            continue


@pytest.mark.parametrize(
    ("line", "headers"),
    [("GET A\r\nX: y HTTP/1.1", {}), ("GET A HTTP/1.1", {"A": "b\nc"}), ("GET A HTTP/1.1", {"A b": "c"})],
)
def test_a_part_when_something_in_it_would_begin_a_line_is_refused(line: str, headers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="line break|name of a header"):
        http_part(line, headers)


def test_multipart_when_nested_without_end_is_refused() -> None:
    body = b"x"
    for _ in range(3):
        body = multipart([b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body], "b")
    with pytest.raises(DataError):
        read_multipart(body, "multipart/mixed; boundary=b")
