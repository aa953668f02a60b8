"""Conditions of a declaration as filters: nested, negated, by functions, by lists, about related entities."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resources.demo_plant.erp.sap.odata.filters import parse_filter
from resources.demo_plant.erp.sap.services import make_books, make_services
from resources.erp.sap.conditions import Condition
from resources.transport.odata.filters import written

BOOKS = make_books()
SERVICES = {service.name: service for service in make_services(BOOKS)}
ORDERS_V4 = SERVICES["CE_PURCHASEORDER_0001"]
ORDERS_V2 = SERVICES["API_PURCHASEORDER_PROCESS_SRV_0001"]
ORDERS = BOOKS.purchase_orders.records(date(2026, 11, 1), date(2026, 11, 20))


def condition(values: dict[str, Any]) -> Condition:
    return Condition.model_validate(values)


def found(values: dict[str, Any]) -> list[str]:
    """Return the orders that a server finds by the condition in V4."""
    text = written(condition(values).as_filter())
    held = parse_filter(text, ORDERS_V4, ORDERS_V4.sets["PurchaseOrder"].type)
    return [order["PurchaseOrder"] for order in ORDERS if held.holds({"": order})]


def expected(test: Any) -> list[str]:
    return [order["PurchaseOrder"] for order in ORDERS if test(order)]


@pytest.mark.parametrize(
    ("values", "test"),
    [
        ({"property": "Supplier", "value": "17300001"}, lambda o: o["Supplier"] == "17300001"),
        ({"property": "Supplier", "operator": "ne", "value": "17300001"}, lambda o: o["Supplier"] != "17300001"),
        ({"property": "Supplier", "in": ["17300001", "17300003"]}, lambda o: o["Supplier"] in ("17300001", "17300003")),
        ({"property": "Supplier", "contains": "000"}, lambda o: True),
        ({"property": "Supplier", "ends_with": "3"}, lambda o: o["Supplier"].endswith("3")),
        ({"property": "PurchaseOrderType", "function": "tolower", "starts_with": "nb"}, lambda o: True),
        ({"property": "Supplier", "function": "length", "operator": "gt", "value": 8}, lambda o: False),
        ({"property": "Supplier", "is_null": True}, lambda o: False),
        ({"property": "PurchaseOrderDate", "operator": "ge", "value": date(2026, 11, 15)},
         lambda o: o["PurchaseOrderDate"] >= "2026-11-15"),
        (
            {"all": [
                {"any": [{"property": "Supplier", "value": "17300001"}, {"property": "DocumentCurrency", "value": "USD"}]},
                {"not": {"all": [
                    {"property": "PurchaseOrderDate", "operator": "lt", "value": "2026-11-10", "type": "date"},
                    {"property": "CompanyCode", "value": "1000"},
                ]}},
            ]},
            lambda o: (o["Supplier"] == "17300001" or o["DocumentCurrency"] == "USD")
            and o["PurchaseOrderDate"] >= "2026-11-10",
        ),
        (
            {"some": "_PurchaseOrderItem", "where": {"property": "OrderQuantity", "operator": "gt", "value": 10000}},
            lambda o: any(item["OrderQuantity"] > 10000 for item in o["items"]),
        ),
        (
            {"every": "_PurchaseOrderItem", "where": {
                "some": "_PurOrdAccountAssignment", "where": {"property": "CostCenter", "value": "4711"}}},
            lambda o: all(any(a["CostCenter"] == "4711" for a in item["accounts"]) for item in o["items"]),
        ),
    ],
)  # fmt: skip
def test_a_condition_when_asked_finds_what_it_says(values: dict[str, Any], test: Any) -> None:
    assert found(values) == expected(test)


def test_a_condition_when_written_for_v2_has_its_own_words() -> None:
    values = {"any": [
        {"property": "Supplier", "contains": "O'Neil"},
        {"not": {"property": "PurchaseOrderDate", "operator": "ge", "value": date(2026, 11, 1)}},
    ]}  # fmt: skip
    text = written(condition(values).as_filter(), "odata_v2")
    assert text == "substringof('O''Neil',Supplier) or not (PurchaseOrderDate ge datetime'2026-11-01T00:00:00')"
    parse_filter(text, ORDERS_V2, ORDERS_V2.sets["A_PurchaseOrder"].type)


def test_related_entities_when_asked_about_in_v2_are_refused() -> None:
    term = condition({"some": "to_PurchaseOrderItem", "where": {"property": "Plant", "value": "P100"}}).as_filter()
    with pytest.raises(ValueError, match="needs OData V4"):
        written(term, "odata_v2")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "a condition has one of"),
        ({"property": "A", "value": 1, "all": [{"property": "B", "value": 1}]}, "a condition has one of"),
        ({"property": "A"}, "property needs one of"),
        ({"property": "A", "value": 1, "contains": "x"}, "property needs one of"),
        ({"some": "_A"}, "need where"),
        ({"property": "A", "value": 1, "where": {"property": "B", "value": 1}}, "need where"),
        ({"property": "A", "value": "soon", "type": "date"}, "is no date"),
        ({"property": "A", "value": "2026-01-01T00:00:00", "type": "instant"}, "needs its zone"),
        ({"property": "A", "value": 1, "operator": "like"}, "operator"),
        ({"property": "A", "function": "cast", "value": 1}, "function"),
    ],
)
def test_a_condition_when_it_says_nothing_clear_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        condition(values)


def test_a_condition_when_nested_without_end_is_refused() -> None:
    values: dict[str, Any] = {"property": "A", "value": 1}
    for _ in range(9):
        values = {"not": values}
    with pytest.raises(ValueError, match="too deep"):
        condition(values).as_filter()


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(["contains", "starts_with", "ends_with"]))
def test_any_text_when_looked_for_stays_within_its_quotes(text: str, how: str) -> None:
    assert found({"not": {"any": [{"property": "Supplier", how: text}, {"property": "Supplier", "value": text}]}}) == (
        expected(
            lambda o: not (
                {"contains": text in o["Supplier"], "starts_with": o["Supplier"].startswith(text),
                 "ends_with": o["Supplier"].endswith(text)}[how] or o["Supplier"] == text
            )
        )
    )  # fmt: skip
