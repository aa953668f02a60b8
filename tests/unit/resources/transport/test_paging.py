"""Pages over real sockets: split without parsing, followed as the server says, ended by themselves, named in errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.core.errors import DataError, ProtocolError, SourceError
from resources.transport.http import paging
from resources.transport.http.client import HttpClient
from resources.transport.http.paging import Page, pages_by_link, pages_by_number, pages_by_offset
from resources.transport.text.json_pages import JsonEnvelope
from tests.unit.resources.transport.web_server import Answer, Asked, WebServer, serving

V4 = JsonEnvelope("value", link=("@odata.nextLink",), count=("@odata.count",))
FUSION = JsonEnvelope("items", more="hasMore", count="totalResults")
WORKDAY = JsonEnvelope("data", count="total")
V2 = JsonEnvelope("d.results", link="d.__next", count="d.__count")

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=6), PLAIN, max_size=4), max_size=6)


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with serving() as served:
        yield served


@pytest.fixture
def http(server: WebServer) -> Iterator[HttpClient]:
    server.asked.clear()
    with stamina.set_testing(True, attempts=2), server.client() as client:
        yield client


def told(body: Any) -> Answer:
    return Answer(json.dumps(body).encode())


def by_link(http: HttpClient, first: str = "/root/Things?x", **options: Any) -> list[Page]:
    return list(pages_by_link("erp", first, get=http.get, read=V4.split, base="/root/", **options))


@settings(deadline=None, max_examples=50)
@given(RECORDS, st.integers(0, 10**12), st.booleans())
def test_a_page_when_split_gives_each_record_as_its_own_text(
    records: list[dict[str, Any]], count: int, spaced: bool
) -> None:
    body = json.dumps(
        {"other": [{"value": 1}], "d": {"__count": str(count), "results": records, "__next": "n"}},
        indent=1 if spaced else None,
        ensure_ascii=not spaced,
    )
    try:
        split = V2.split(body.encode())
    except UnicodeEncodeError:
        return
    assert [json.loads(record) for record in split.records] == records
    assert (split.count, split.link, split.more, split.pages) == (count, "n", None, None)


def test_a_number_when_split_keeps_every_digit() -> None:
    body = b'{"value":[ {"a": 1.10, "b":12345678901234567890.000, "c":1E+2} ,{} ],"@odata.count":2}'
    assert V4.split(body).records == [b'{"a": 1.10, "b":12345678901234567890.000, "c":1E+2}', b"{}"]


@pytest.mark.parametrize(
    ("envelope", "body", "words"),
    [
        (V4, b"", "may be cut off"),
        (V4, b'{"value":[{"a":1}', "may be cut off"),
        (V4, b'{"value":[{"a":NaN}]}', "not JSON"),
        (V4, b'{"value":' + b"[" * 5000 + b"]" * 5000 + b"}", "not JSON"),
        (V4, b"[]", "not the page expected"),
        (V4, b"{}", "without a list of records under `value`"),
        (V4, b'{"value":null}', "without a list of records under `value`"),
        (V4, b'{"value":{}}', "not the page expected"),
        (V4, b'{"value":[1]}', "something under `value` that is no object"),
        (V4, b'{"value":[],"@odata.nextLink":7}', "not the page expected"),
        (V4, b'{"value":[],"@odata.count":"many"}', "count that is no number"),
        (V4, b'{"value":[],"@odata.count":[]}', "not the page expected"),
        (V2, b'{"d":null}', "without a list of records under `d.results`"),
    ],
)
def test_a_body_when_it_is_no_page_is_told_as_what_it_is(envelope: JsonEnvelope, body: bytes, words: str) -> None:
    with pytest.raises(DataError) as met:
        envelope.split(body)
    assert words in str(met.value)


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ("Things?$skiptoken=3", "/root/Things?$skiptoken=3"),
        ("/elsewhere/Things?x=%20", "/elsewhere/Things?x=%20"),
        ("", None),
        (None, None),
    ],
)
def test_a_link_when_relative_is_followed_from_the_base(
    server: WebServer, http: HttpClient, link: str | None, asked: str | None
) -> None:
    server.script = [told({"value": [{"a": 1}], "@odata.count": "2", "@odata.nextLink": link}), told({"value": []})]
    pages = by_link(http)
    assert next((page.number, page.records, page.count) for page in pages) == (1, [b'{"a": 1}'], 2)
    assert [request.path for request in server.asked[1:]] == ([asked] if asked else [])
    server.script = []


def test_a_link_when_absolute_on_the_same_origin_is_followed(server: WebServer, http: HttpClient) -> None:
    server.script = [told({"value": [{}], "@odata.nextLink": f"{server.url}/x?y"}), told({"value": [{"b": 2}]})]
    assert len(by_link(http)) == 2


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([told({"value": [{}], "@odata.nextLink": "https://evil.invalid/"})], "refused to follow a link"),
        ([told({"value": [{}], "@odata.nextLink": "/root/Things?x"})], "links to a page already read"),
        ([told({"value": [{}], "@odata.nextLink": "http://[bad"})], "links to something that is no address"),
        (
            [told({"value": [{"a": 1}], "@odata.nextLink": "2"}), told({"value": [{"a": 1}], "@odata.nextLink": "3"})],
            "page 2 of /root/Things holds the records of the page before it again",
        ),
        ([told({"value": [{}], "@odata.nextLink": "2"}), Answer(b'{"value":[')], "page 2 of /root/Things is not JSON"),
        ([told({"value": [{}], "@odata.nextLink": "2"}), Answer(status=500)], "HTTP 500 (page 2 of /root/Things)"),
    ],
)
def test_pages_when_they_go_wrong_are_told_by_their_number(
    server: WebServer, http: HttpClient, answers: list[Answer], words: str
) -> None:
    server.script = answers
    with pytest.raises(ProtocolError) as met:
        by_link(http)
    assert words in str(met.value)
    assert met.value.source == "erp"
    server.script = []


def test_pages_when_empty_without_end_are_ended(
    server: WebServer, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "EMPTY_IN_A_ROW", 5)
    numbers = iter(range(1000))
    server.answer = lambda _: told({"value": [], "@odata.nextLink": f"Things?{next(numbers)}"})
    with pytest.raises(ProtocolError, match="page 6 of .* is empty, as are the 5 before it"):
        by_link(http)
    server.answer = lambda _: Answer()


def test_an_empty_page_when_it_links_on_is_passed_over(server: WebServer, http: HttpClient) -> None:
    server.script = [told({"value": [], "@odata.nextLink": "2"}), told({"value": [{"a": 1}]})]
    assert [len(page.records) for page in by_link(http)] == [0, 1]


def things(total: int, most: int, envelope: Callable[[list[Any], int, bool], Any]) -> Callable[[Asked], Answer]:
    """Return a server of `total` records that gives at most `most` of them."""

    def answer(asked: Asked) -> Answer:
        options = {name: int(values[0]) for name, values in parse_qs(urlsplit(asked.path).query).items()}
        offset, limit = options["offset"], min(options["limit"], most)
        records = [{"n": number} for number in range(offset, min(total, offset + limit))]
        return told(envelope(records, total, offset + len(records) < total))

    return answer


@pytest.mark.parametrize("total", [0, 1, 10, 11, 30])
@pytest.mark.parametrize(
    ("read", "most", "envelope"),
    [
        (FUSION, 7, lambda records, total, more: {"items": records, "hasMore": more}),
        (WORKDAY, 10, lambda records, total, more: {"data": records, "total": total}),
        (WORKDAY, 4, lambda records, total, more: {"data": records, "total": str(total)}),
        (JsonEnvelope("x"), 10, lambda records, total, more: {"x": records}),
    ],
    ids=["hasMore", "total", "total, fewer than asked for", "full pages"],
)
def test_offsets_when_followed_bring_every_record_once(
    server: WebServer, http: HttpClient, total: int, read: JsonEnvelope, most: int, envelope: Any
) -> None:
    server.answer = things(total, most, envelope)
    pages = pages_by_offset(
        "erp", lambda offset, limit: f"/x?offset={offset}&limit={limit}", get=http.get, read=read.split, limit=10
    )
    records = [json.loads(record)["n"] for page in pages for record in page.records]
    assert records == list(range(total))


def test_offsets_when_enough_have_come_end(server: WebServer, http: HttpClient) -> None:
    server.answer = things(100, 10, lambda records, total, more: {"items": records, "hasMore": more})
    pages = pages_by_offset(
        "erp", lambda offset, limit: f"/x?offset={offset}&limit={limit}", get=http.get, read=FUSION.split, limit=10, most=20
    )  # fmt: skip
    assert [page.number for page in pages] == [1, 2]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([told({"items": [], "hasMore": True})], "page 1 of /x is empty, but says that there are more"),
        ([told({"items": [{"n": 1}], "hasMore": True})] * 2, "page 2 of /x holds the records of the page before"),
    ],
)
def test_offsets_when_the_server_does_not_move_on_are_an_error(
    server: WebServer, http: HttpClient, answers: list[Answer], words: str
) -> None:
    server.script = list(answers)
    pages = pages_by_offset("erp", lambda offset, _: f"/x?{offset}", get=http.get, read=FUSION.split, limit=10)
    with pytest.raises(ProtocolError) as met:
        list(pages)
    assert words in str(met.value)


def test_links_and_offsets_when_mixed_bring_every_record_once(server: WebServer, http: HttpClient) -> None:
    server.script = [
        told({"d": {"results": [{"n": 0}, {"n": 1}], "__next": f"{server.url}/r/x?token=1"}}),
        told({"d": {"results": [{"n": 2}, {"n": 3}]}}),  # four, as many as were asked for
        told({"d": {"results": [{"n": 4}]}}),
    ]
    pages = pages_by_offset("erp", lambda offset, limit: f"/r/x?{offset}+{limit}", get=http.get, read=V2.split, limit=4)
    assert [json.loads(record)["n"] for page in pages for record in page.records] == [0, 1, 2, 3, 4]
    assert [request.path for request in server.asked] == ["/r/x?0+4", "/r/x?token=1", "/r/x?4+4"]
    server.script = [told({"d": {"results": [{}], "__next": "/r/x?0+4"}})]
    again = pages_by_offset("erp", lambda offset, limit: f"/r/x?{offset}+{limit}", get=http.get, read=V2.split, limit=4)
    with pytest.raises(ProtocolError, match="links to a page already read"):
        list(again)


def test_pages_by_number_when_counted_are_all_read(server: WebServer, http: HttpClient) -> None:
    numbered = JsonEnvelope("rows", pages="total_pages")
    server.script = [told({"rows": [{"n": number}], "total_pages": 3}) for number in range(3)]
    pages = pages_by_number("erp", lambda number: f"/p{number}", get=http.get, read=numbered.split)
    assert [(page.number, page.records) for page in pages][2] == (3, [b'{"n": 2}'])
    assert [request.path for request in server.asked] == ["/p1", "/p2", "/p3"]
    server.script = [told({"rows": []})]
    with pytest.raises(ProtocolError, match="page 1 of /p1 does not say how many pages there are"):
        list(pages_by_number("erp", lambda number: f"/p{number}", get=http.get, read=numbered.split))


def test_a_pull_when_left_in_the_middle_asks_for_no_further_page(server: WebServer, http: HttpClient) -> None:
    server.script = [told({"value": [{}], "@odata.nextLink": "2"})]
    pages = pages_by_link("erp", "/root/x", get=partial(http.get, lane="x"), read=V4.split, base="/root/")
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    assert len(server.asked) == 1


def test_an_error_when_of_a_page_keeps_what_it_is(server: WebServer, http: HttpClient) -> None:
    server.script = [Answer(status=429, headers=(("Retry-After", "3600"),))] * 2
    with pytest.raises(SourceError) as met:
        by_link(http)
    assert getattr(met.value, "retry_after_s", None) == 3600
    assert str(met.value).endswith("(page 1 of /root/Things)")
    server.script = []
