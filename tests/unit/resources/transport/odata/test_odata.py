"""OData: queries of both versions as they are written, and pages as the servers give them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st
from mocksap.odata import tokenize

from resources.core.errors import DataError, ProtocolError
from resources.transport.odata.filters import (
    AllOf,
    AnyOf,
    Applied,
    Compare,
    Filter,
    Matches,
    Not,
    OneOf,
    Related,
    written,
)
from resources.transport.odata.v2 import ODataV2, encoded_v2, split_v2
from resources.transport.odata.v4 import Expand, ODataV4, Query
from tests.unit.resources.transport.web_server import Answer, WebServer, serving

NAMES = st.sampled_from(["Plant", "to_Item/Material"])
COMPARISONS = st.builds(
    Compare,
    NAMES,
    st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.integers() | st.dates() | st.booleans(),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds(AllOf, st.lists(inner, min_size=1, max_size=3))
        | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3))
        | st.builds(Not, inner)
    ),
    max_leaves=6,
)


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


def options(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True, strict_parsing=True).items()}


@settings(deadline=None)
@given(FILTERS)
def test_a_filter_when_written_is_read_by_a_foreign_reader_with_its_brackets_even(term: Filter) -> None:
    tokens = [text for _, text in tokenize(written(term))]
    literals = [text for text in tokens if text.startswith("'")]
    brackets = [text for text in tokens if text in ("(", ")")]
    assert brackets.count("(") == brackets.count(")")
    assert all(text.endswith("'") for text in literals)


@settings(deadline=None)
@given(FILTERS, st.dates())
def test_a_query_when_encoded_keeps_every_option_apart(term: Filter, day: date) -> None:
    whole = AllOf([term, Compare("Day", "ge", day)])
    encoded = Query(filter=whole, select=("A", "B"), count=True, custom={"sap-client": "100"}).encoded()
    assert "+" not in encoded
    assert options(urlsplit(f"https://h/p?{encoded}").query) == {
        "$filter": written(whole),
        "$select": "A,B",
        "$count": "true",
        "sap-client": "100",
    }


@pytest.mark.parametrize(
    ("term", "v4", "v2"),
    [
        (Compare("a", "eq", "O'Neil"), "a eq 'O''Neil'", "a eq 'O''Neil'"),
        (Compare("a", "ge", date(2026, 1, 31)), "a ge 2026-01-31", "a ge datetime'2026-01-31T00:00:00'"),
        (
            Compare("a", "lt", datetime(2026, 1, 31, tzinfo=UTC)),
            "a lt 2026-01-31T00:00:00Z",
            "a lt datetimeoffset'2026-01-31T00:00:00Z'",
        ),
        (Compare("a", "gt", Decimal("1.5")), "a gt 1.5", "a gt 1.5M"),
        (Matches("contains", "a", "x'y"), "contains(a,'x''y')", "substringof('x''y',a)"),
        (Matches("startswith", "a", "x"), "startswith(a,'x')", "startswith(a,'x')"),
        (OneOf("a", ["x", "y"]), "a eq 'x' or a eq 'y'", "a eq 'x' or a eq 'y'"),
        (Not(Compare("a", "eq", True)), "not (a eq true)", "not (a eq true)"),
        (
            AllOf(
                [AnyOf([Compare("a", "eq", 1), Compare("b", "eq", 2)]), OneOf("c", [3, 4]), Compare("d", "ne", None)]
            ),
            "(a eq 1 or b eq 2) and (c eq 3 or c eq 4) and d ne null",
            "(a eq 1 or b eq 2) and (c eq 3 or c eq 4) and d ne null",
        ),
        (AllOf([Compare("a", "eq", 1)]), "a eq 1", "a eq 1"),
    ],
)
def test_a_filter_when_written_is_of_its_version(term: Filter, v4: str, v2: str) -> None:
    assert (written(term), written(term, "odata_v2")) == (v4, v2)


@pytest.mark.parametrize(
    ("term", "v4"),
    [
        (Compare(Applied("tolower", "a"), "eq", "x"), "tolower(a) eq 'x'"),
        (OneOf("a", ["x", "y"], by_in=True), "a in ('x','y')"),
        (Related("Items", "any", Compare("Plant", "eq", "1")), "Items/any(x:x/Plant eq '1')"),
    ],
)
def test_a_filter_when_of_version_4_alone_is_written(term: Filter, v4: str) -> None:
    assert written(term) == v4


@pytest.mark.parametrize(
    "term",
    [
        Compare("a b", "eq", 1),
        Compare("a' or 1 eq 1", "eq", 1),
        Compare("", "eq", 1),
        Compare("a", "or", 1),
        Matches("drop", "a", "x"),  # type: ignore[arg-type]
        AllOf([]),
        OneOf("a", []),
        OneOf("a", [], by_in=True),
        Compare(Applied("drop", "a"), "eq", 1),
        Related("Items", "some", Compare("a", "eq", 1)),  # type: ignore[arg-type]
        Related("Items", "any", Compare("a", "eq", 1), variable="x y"),
    ],
)
def test_a_filter_when_it_cannot_be_written_is_refused(term: Filter) -> None:
    with pytest.raises(ValueError, match=r"is no|no terms|at least one|about related"):
        written(term)


def test_an_expand_when_nested_is_written_within_its_brackets() -> None:
    inner = Expand("Account", select=("GLAccount",), filter=Compare("Plant", "eq", "a;b)"), orderby=("Plant desc",))
    query = Query(expand=[Expand("Item", select=("a", "b"), expand=[inner]), "to_Head/to_Partner"], top=5)
    assert options(query.encoded()) == {
        "$expand": "Item($select=a,b;$expand=Account($select=GLAccount;$filter=Plant eq 'a;b)';$orderby=Plant desc)),"
        "to_Head($expand=to_Partner)",
        "$top": "5",
    }


@pytest.mark.parametrize(
    "query",
    [
        Query(select=("a,b",)),
        Query(orderby=("a; drop",)),
        Query(orderby=("a asc desc",)),
        Query(expand=("a b",)),
        Query(
            expand=(
                Expand(
                    "a)(",
                ),
            )
        ),
    ],
)
def test_a_query_when_a_name_is_none_is_refused(query: Query) -> None:
    for write in (Query.encoded, encoded_v2):
        with pytest.raises(ValueError, match="is no"):
            write(query)


def test_pages_of_version_4_when_read_are_asked_for_by_preference(server: WebServer) -> None:
    server.script = [
        Answer(b'{"value":[{"n":1.10}],"@odata.count":2,"@odata.nextLink":"Things?$skiptoken=1"}'),
        Answer(b'{"value":[{"n":2}]}'),
    ]
    with server.client() as http:
        service = ODataV4(http, "/root/0001", page_size=50)
        pages = list(service.pages("Things", Query(count=True), lane="things", headers={"X-A": "b"}))
    assert [(page.number, page.records, page.count) for page in pages] == [
        (1, [b'{"n":1.10}'], 2),
        (2, [b'{"n":2}'], None),
    ]
    assert [request.path for request in server.asked] == [
        "/root/0001/Things?$count=true",
        "/root/0001/Things?$skiptoken=1",
    ]
    assert {request.headers["prefer"] for request in server.asked} == {"odata.maxpagesize=50"}
    assert {request.headers["x-a"] for request in server.asked} == {"b"}


def test_an_entity_set_when_not_a_name_is_refused(server: WebServer) -> None:
    with server.client() as http:
        for service in (ODataV4(http, "/r", page_size=1), ODataV2(http, "/r", page_size=1)):
            with pytest.raises(ValueError, match="is no name"):
                list(service.pages("Things?x", Query(orderby=("a",))))
        with pytest.raises(ValueError, match="needs an order by a unique key"):
            list(ODataV2(http, "/r", page_size=1).pages("Things", Query()))


def test_a_query_of_version_2_when_encoded_has_paths_in_place_of_brackets() -> None:
    query = Query(
        filter=Compare("Day", "eq", date(2026, 1, 31)),
        select=("a",),
        expand=[Expand("Item", select=("b",), expand=[Expand("Account")])],
        orderby=("a", "b desc"),
        count=True,
        custom={"sap-client": "100"},
    )
    assert options(encoded_v2(query, skip=20, top=10)) == {
        "$filter": "Day eq datetime'2026-01-31T00:00:00'",
        "$select": "a,Item/b,Item/Account",
        "$expand": "Item,Item/Account",
        "$orderby": "a,b desc",
        "$top": "10",
        "$skip": "20",
        "$inlinecount": "allpages",
        "$format": "json",
        "sap-client": "100",
    }
    with pytest.raises(ValueError, match="has no options within it"):
        encoded_v2(Query(expand=[Expand("Item", filter=Compare("a", "eq", 1))]))


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b'{"d":{"results":[{"a":"1.10"}],"__count":"7"}}', [b'{"a":"1.10"}']),
        (b'{ "d" : [ {"a":1} ] }', [b'{"a":1}']),
    ],
)
def test_a_page_of_version_2_when_in_either_form_is_read(body: bytes, records: list[bytes]) -> None:
    assert split_v2(body).records == records


@pytest.mark.parametrize("body", [b'{"d":{"a":1}}', b'{"error":1}', b'{"d":7}', b"["])
def test_a_page_of_version_2_when_it_is_none_is_told(body: bytes) -> None:
    with pytest.raises(DataError):
        split_v2(body)


def things(total: int, paged_by_server: int | None) -> Any:
    """Answer as a V2 service of `total` things does that pages by itself, or not."""

    def answer(asked: Any) -> Answer:
        told = options(urlsplit(asked.path).query)
        skip, top = int(told.get("$skip", 0)), int(told.get("$top", total))
        start = int(told.get("$skiptoken", skip))
        end = min(total, skip + top)
        stop = min(end, start + (paged_by_server or total))
        body: dict[str, Any] = {"results": [{"n": str(number)} for number in range(start, stop)]}
        if "$inlinecount" in told:
            body["__count"] = str(total)
        if stop < end:
            body["__next"] = f"http://{asked.headers['host']}/r/Things?$skip={skip}&$top={top}&$skiptoken={stop}"
        return Answer(json.dumps({"d": body}).encode())

    return answer


@pytest.mark.parametrize("count", [False, True], ids=["uncounted", "counted"])
@pytest.mark.parametrize("by_server", [None, 3, 100], ids=["by the client", "by the server", "by both"])
@pytest.mark.parametrize("total", [0, 1, 10, 20, 25])
def test_pages_of_version_2_whoever_pages_bring_every_record_once(
    server: WebServer, total: int, by_server: int | None, count: bool
) -> None:
    server.answer = things(total, by_server)
    with server.client() as http:
        pages = list(ODataV2(http, "/r/", page_size=10).pages("Things", Query(orderby=("n",), count=count)))
    assert [int(json.loads(record)["n"]) for page in pages for record in page.records] == list(range(total))
    assert pages[0].count == (total if count else None)


def test_pages_of_version_2_when_no_more_are_wanted_end(server: WebServer) -> None:
    server.answer = things(100, None)
    with server.client() as http:
        pages = list(ODataV2(http, "/r/", page_size=10).pages("Things", Query(orderby=("n",), top=15)))
    assert [len(page.records) for page in pages] == [10, 5]


def test_a_page_of_version_2_when_it_is_none_names_itself(server: WebServer) -> None:
    server.script = [Answer(b'{"d":{}}')]
    with (
        server.client() as http,
        pytest.raises(ProtocolError, match="page 1 of /r/Things is without a list of records"),
    ):
        list(ODataV2(http, "/r/", page_size=10).pages("Things", Query(orderby=("n",))))
