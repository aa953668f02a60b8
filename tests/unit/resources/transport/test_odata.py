"""OData: quoting, and pages whatever the server says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.errors import ProtocolError
from resources.demo_plant.erp.sap.odata.expressions import Comparison, Path
from resources.demo_plant.erp.sap.odata.filters import parse_filter
from resources.demo_plant.erp.sap.services import make_books, make_services
from resources.transport.answers import JsonAnswer
from resources.transport.http import HttpClient
from resources.transport.odata import ODataService, Query, compare
from resources.transport.odata_filter import AllOf, Compare, written
from resources.transport.quoting import quote_value

SERVICE = make_services(make_books())[0]
TYPE = SERVICE.sets["MeasurementDocument"].type


class Scripted(HttpClient):
    """Answers from a list, in order: the paging is under test, not the network."""

    def __init__(self, *answers: Any) -> None:
        self.source = "sap"
        self.asked: list[str] = []
        self._answers: Iterator[Any] = iter(answers)

    def get_json(self, url: str, *, headers: Any = None) -> JsonAnswer:
        self.asked.append(url)
        return JsonAnswer(next(self._answers), httpx.Headers())


def pages(*answers: Any) -> list[Any]:
    return list(ODataService(Scripted(*answers), "/root/0001", page_size=10).pages("Things", Query(count=True)))


@given(st.text())
def test_text_when_quoted_comes_back_as_one_literal(text: str) -> None:
    try:
        found = compare("MeasuringPoint", "eq", text)
    except ValueError:
        return  # a lone surrogate cannot be sent at all
    assert parse_filter(found, SERVICE, TYPE) == Comparison(Path("MeasuringPoint", "String"), "eq", text)


@given(st.text(st.characters(exclude_categories=("Cs",))), st.dates())
def test_a_query_when_encoded_keeps_every_option_apart(text: str, day: date) -> None:
    filtered = AllOf([Compare("MeasuringPoint", "eq", text), Compare("MsmtRdngDate", "ge", day)])
    encoded = Query(filter=filtered, select=("A", "B"), count=True, custom={"sap-client": "100"}).encoded()
    assert "+" not in encoded
    assert parse_qs(urlsplit(f"https://h/p?{encoded}").query, keep_blank_values=True) == {
        "$filter": [written(filtered)],
        "$select": ["A,B"],
        "$count": ["true"],
        "sap-client": ["100"],
    }


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (Decimal("1.50"), "1.50"),
        ("O'Neil", "'O''Neil'"),
        (date(2026, 1, 31), "2026-01-31"),
        (time(10, 15), "10:15:00"),
        (datetime(2026, 1, 31, 1, 2, tzinfo=UTC), "2026-01-31T01:02:00Z"),
    ],
)
def test_a_value_when_written_is_an_odata_literal(value: Any, literal: str) -> None:
    assert quote_value("odata_v4", value) == literal


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), Decimal("NaN"), Decimal("Infinity")])  # noqa: DTZ001
def test_a_value_when_it_has_no_literal_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="a filter|no number"):
        quote_value("odata_v4", value)


@pytest.mark.parametrize(("name", "operator"), [("a b", "eq"), ("a' or 1 eq 1", "eq"), ("a", "or"), ("", "eq")])
def test_a_comparison_when_not_of_a_property_is_refused(name: str, operator: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        compare(name, operator, 1)


def test_terms_when_they_hold_terms_are_bracketed() -> None:
    inner = AllOf([Compare("a", "eq", 1), Compare("b", "eq", 2)])
    assert written(AllOf([inner, Compare("c", "lt", 3)])) == "(a eq 1 and b eq 2) and c lt 3"


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ("Things?$skiptoken=3", "/root/0001/Things?$skiptoken=3"),
        ("/root/0001/Things?x", "/root/0001/Things?x"),
        ("https://h/root/Things", "https://h/root/Things"),
        ("//evil/Things", "//evil/Things"),
    ],
)
def test_a_next_link_when_relative_is_resolved_against_the_service_root(link: str, asked: str) -> None:
    http = Scripted({"value": [{}], "@odata.nextLink": link, "@odata.count": "2"}, {"value": []})
    found = list(ODataService(http, "/root/0001/", page_size=10).pages("Things", Query()))
    assert [(page.number, len(page.records), page.count) for page in found] == [(1, 1, 2), (2, 0, None)]
    assert http.asked[1] == asked


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "is no JSON object"),
        ({}, "has no list of records"),
        ({"value": [1]}, "has no list of records"),
        ({"value": [], "@odata.nextLink": 7}, "an @odata.nextLink that is no text"),
        ({"value": [], "@odata.nextLink": "http://[bad"}, "an @odata.nextLink that is no address"),
        ({"value": [], "@odata.count": "many"}, "an @odata.count that is no number"),
    ],
)
def test_a_page_when_it_is_none_is_told_by_its_number(answer: Any, words: str) -> None:
    with pytest.raises(ProtocolError, match="page 1 of /root/0001/Things") as met:
        pages(answer)
    assert words in str(met.value)


def test_an_entity_set_when_not_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="is no name"):
        next(ODataService(Scripted(), "/r", page_size=1).pages("Things?x", Query()))
