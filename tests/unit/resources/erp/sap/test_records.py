"""Entities as records: V2 unwrapped, texts in order, what is derived, which day they are of."""

from __future__ import annotations

import json
from datetime import date
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resources.core.errors import DataError
from resources.erp.business_days import business_day
from resources.erp.declared import DatasetConfig
from resources.erp.sap.asked import Asked
from resources.erp.sap.days import DayCheck
from resources.erp.sap.options import options_of
from resources.erp.sap.records import RecordReader, message_texts

BERLIN = ZoneInfo("Europe/Berlin")


def asked(version: int, **declared: Any) -> Asked:
    made = DatasetConfig.model_validate({"resource": "Things", "key": "Key", **declared})
    return Asked("things", made, options_of(made), "/service", version)


def read(version: int, *entities: Any, **declared: Any) -> list[Any]:
    texts = [entity if isinstance(entity, bytes) else json.dumps(entity).encode() for entity in entities]
    return [json.loads(record) for record in RecordReader(asked(version, **declared), "EN").records(texts)]


def test_an_entity_of_v4_when_nothing_is_derived_passes_as_it_is() -> None:
    text = b'{ "Key" : "1", "Amount": 12345678901234567890.123456789, "@odata.etag": "W/1" }'
    assert RecordReader(asked(4), "EN").records([text]) == [text]


def test_an_entity_of_v2_when_read_loses_what_the_protocol_wraps_around() -> None:
    entity = {
        "__metadata": {"uri": "https://sap.example/Things('1')", "type": "T"},
        "Key": "1",
        "Empty": None,
        "Amount": "1.10",
        "to_Deferred": {"__deferred": {"uri": "https://sap.example"}},
        "to_One": {"__metadata": {}, "Name": "one"},
        "to_Many": {"results": [{"__metadata": {}, "No": 1, "to_Deeper": {"results": []}}]},
    }
    assert read(2, entity) == [
        {
            "Key": "1",
            "Empty": None,
            "Amount": "1.10",
            "to_One": {"Name": "one"},
            "to_Many": [{"No": 1, "to_Deeper": []}],
        }
    ]


def test_texts_of_v2_when_in_several_languages_begin_with_the_one_wanted() -> None:
    texts = [{"Language": "DE", "Name": "Kessel"}, {"Language": "EN", "Name": "Boiler"}, {"Language": "FR"}]
    options = {"language": {"to_Text": "Language"}}
    (record,) = read(2, {"Key": "1", "to_Text": {"results": texts}}, options=options)
    assert [text["Language"] for text in record["to_Text"]] == ["EN", "DE", "FR"]


@pytest.mark.parametrize(
    ("flags", "status"),
    [({"A": "X", "B": ""}, "open"), ({"A": "", "B": "X"}, "done"), ({"A": True, "B": False}, "open"), ({}, None)],
)
def test_a_status_when_flags_are_set_is_the_first_of_them(flags: dict[str, Any], status: str | None) -> None:
    (record,) = read(4, {"Key": "1", **flags}, options={"flags": {"open": "A", "done": "B"}})
    assert record.get("derived", {}).get("status") == status


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({}, "38.5"),
        ({"Per": "1"}, "3850"),
        ({"Nmrtr": "1000", "Dnmntr": "1"}, "38500"),
        ({"Per": "0"}, None),
        ({"Price": None}, None),
        ({"Price": "NaN"}, None),
        ({"Price": "much"}, None),
        ({"Quantity": "1e999999"}, None),
        ({"Dnmntr": "0"}, None),
    ],
)
def test_a_net_amount_when_a_part_is_missing_is_not_guessed(changes: dict[str, Any], amount: str | None) -> None:
    options = {
        "net_amount": {
            "quantity": "Quantity",
            "price": "Price",
            "per": "Per",
            "numerator": "Nmrtr",
            "denominator": "Dnmntr",
        }
    }
    (record,) = read(4, {"Key": "1", "Quantity": "100.000", "Price": "38.50", "Per": 100, **changes}, options=options)
    assert record.get("derived", {}).get("net_amount") == amount


def test_children_when_exploded_are_records_with_what_is_derived_of_them() -> None:
    options = {"order_by": "Key", "flags": {"gone": "Deleted"}}
    entity = {"Key": "1", "Date": "2026-11-20", "_Item": [{"No": 1, "Deleted": "X"}, {"No": 2, "Deleted": ""}]}
    assert read(4, entity, {"Key": "2", "_Item": []}, explode="_Item", options=options) == [
        {"No": 1, "Deleted": "X", "parent": {"Key": "1", "Date": "2026-11-20"}, "derived": {"status": "gone"}},
        {"No": 2, "Deleted": "", "parent": {"Key": "1", "Date": "2026-11-20"}},
    ]


def test_messages_when_they_ride_in_an_entity_are_taken_out_and_kept() -> None:
    reader = RecordReader(asked(4), "EN")
    told = [{"code": "GL/001", "message": "Period <b>11</b> closes", "details": [{"message": "soon"}]}, "odd"]
    text = json.dumps({"Key": "1", "SAP__Messages": told}).encode()
    assert [json.loads(record) for record in reader.records([text, text])] == [{"Key": "1"}, {"Key": "1"}]
    assert list(reader.messages) == ["GL/001: Period ‹b›11‹/b› closes", "soon"]
    assert list(message_texts({"message": "  "})) == []


@pytest.mark.parametrize(
    ("version", "entity"),
    [
        (4, {"Key": "1", "_Item": [{"No": 1}], "_Item@odata.nextLink": "Things('1')/_Item?$skiptoken=1"}),
        (2, {"Key": "1", "to_Item": {"results": [{"No": 1}], "__next": "https://sap.example/Things('1')/to_Item"}}),
    ],
)
def test_children_when_cut_off_by_the_server_are_not_taken_for_all(version: int, entity: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="has more entities than came with it"):
        read(version, entity)


@pytest.mark.parametrize("entity", [b"[]", b'{"d": {"results": 5}}', b"{", b'{"a": {"results": [1]}}'])
def test_an_entity_when_it_is_none_is_told(entity: bytes) -> None:
    with pytest.raises(DataError, match="an entity that cannot be read"):
        RecordReader(asked(2), "EN").records([entity])


@pytest.mark.parametrize(
    ("text", "zone", "day"),
    [
        ("2026-11-20", None, date(2026, 11, 20)),
        ("/Date(1795132800000)/", None, date(2026, 11, 20)),
        ("/Date(-1000)/", None, date(1969, 12, 31)),
        ("/Date(1795130000000+0000)/", BERLIN, date(2026, 11, 20)),
        ("2026-11-19T23:30:00Z", BERLIN, date(2026, 11, 20)),
        ("2026-11-19T23:30:00Z", None, date(2026, 11, 19)),
    ],
)
def test_a_date_when_read_is_of_the_day_it_names(text: str, zone: ZoneInfo | None, day: date) -> None:
    assert business_day(text, zone) == day


def test_entities_of_another_day_when_among_a_page_are_found() -> None:
    check = DayCheck("On", date(2026, 11, 20), partial(business_day, zone=None))
    assert check.stranger([b'{"On": "2026-11-20"}', b'{"On": null}', b'{"On": "soon"}', b'{"On": "/Date(x)/"}']) is None
    assert check.stranger([b'{"On": "2026-11-20"}', b'{"On": "/Date(1795046400000)/"}']) == "2026-11-19"
