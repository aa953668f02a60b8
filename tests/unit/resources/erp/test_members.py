from __future__ import annotations

import json

import pytest

from resources.core.errors import DataError
from resources.erp.pulling.members import Member, explode


@pytest.mark.parametrize(
    ("path", "record", "value"),
    [
        ("a", b'{"a":"x"}', "x"),
        ("a", b'{"a":"\\u00e4"}', "\u00e4"),
        ("a", b'{"a":1.500}', "1.500"),
        ("a", b'{"a":true}', "true"),
        ("a", b'{"a":null}', None),
        ("a", b'{"b":1}', None),
        ("a.b", b'{"a":{"b":"x","c":[1]}}', "x"),
        ("a.b", b'{"a":null}', None),
        ("a\\.b", b'{"a.b":"x"}', "x"),
    ],
)
def test_a_member_when_read_is_its_text_with_every_digit(path: str, record: bytes, value: str | None) -> None:
    assert Member(path).of(record) == value


def test_values_when_some_records_have_none_are_those_of_the_others() -> None:
    assert Member("a").values([b'{"a":"x"}', b'{"a":""}', b"{}", b'{"a":"y"}', b'{"a":"x"}']) == {"x", "y"}


@pytest.mark.parametrize(("path", "record"), [("a.b", b'{"a":3}'), ("a", b'{"a":"\xfc"}'), ("a", b"[1]")])
def test_a_member_when_the_record_is_not_what_it_should_be_is_a_data_error(path: str, record: bytes) -> None:
    with pytest.raises(DataError, match="a record without a readable"):
        Member(path).of(record)


def test_a_child_list_when_exploded_is_one_record_each_with_its_parent() -> None:
    record = b'{"n":1.50,"Lines":[{"k":1},{"k":2.00}, {}],"z":"\xc3\xa4"}'
    found = explode(record, "Lines")
    assert found[1] == b'{"k":2.00,"parent":{"n":1.50,"z":"\xc3\xa4"}}'
    assert [json.loads(one).get("k") for one in found] == [1, 2.0, None]


@pytest.mark.parametrize("record", [b'{"n":1}', b'{"n":1,"Lines":null}', b'{"n":1,"Lines":[]}'])
def test_a_record_without_children_when_exploded_yields_none(record: bytes) -> None:
    assert explode(record, "Lines") == []


def test_a_child_list_when_it_lies_deeper_is_found_by_its_path() -> None:
    assert explode(b'{"to_Item":{"results":[{"a":1}]},"n":2}', "to_Item.results") == [b'{"a":1,"parent":{"n":2}}']


@pytest.mark.parametrize("record", [b'{"Lines":3}', b'{"Lines":[1]}', b"[1]", b'{"Lines":['])
def test_a_child_list_when_it_is_none_is_a_data_error(record: bytes) -> None:
    with pytest.raises(DataError, match="Lines"):
        explode(record, "Lines")
