"""Lists exploded, records reduced to what may be kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resources.core.errors import DataError
from resources.erp.connector import FoundProperty
from resources.erp.workday.codec import exploded, exploded_properties, picker


def test_a_list_when_exploded_gives_its_children_what_is_around() -> None:
    record = {"K": "1", "A": {"B": [{"x": 1}, {"x": 2}, "odd"], "C": 3}}
    assert list(exploded(record, ("A", "B"))) == [
        {"x": 1, "parent": {"K": "1", "A": {"C": 3}}},
        {"x": 2, "parent": {"K": "1", "A": {"C": 3}}},
    ]
    assert record == {"K": "1", "A": {"B": [{"x": 1}, {"x": 2}, "odd"], "C": 3}}


def test_lists_within_lists_when_exploded_are_levels_of_their_own() -> None:
    record = {"K": "1", "A": [{"n": 1, "B": [{"x": 1}]}, {"n": 2, "B": {"x": 2}}, {"n": 3}]}
    assert list(exploded(record, ("A", "B"))) == [
        {"x": 1, "parent": {"n": 1, "parent": {"K": "1"}}},
        {"x": 2, "parent": {"n": 2, "parent": {"K": "1"}}},
    ]


@pytest.mark.parametrize("record", [{}, {"A": None}, {"A": "text"}, {"A": {"B": None}}])
def test_a_record_when_it_has_no_such_list_gives_nothing(record: dict[str, Any]) -> None:
    assert list(exploded(record, ("A", "B"))) == []


def test_properties_when_a_list_is_exploded_stand_under_their_levels() -> None:
    found = [FoundProperty(path, "t") for path in ("K", "A.n", "A.B.x")]
    assert [one.path for one in exploded_properties(found, ["A", "B"])] == ["parent.parent.K", "parent.n", "x"]


def test_a_record_when_reduced_keeps_digits_and_names_only_what_is_wanted() -> None:
    pick = picker(("id", "a.b", "l.x", "c"))
    raw = b'{"id": 1.10, "a": {"b": 0.30000000000000004, "z": 1}, "l": [{"x": 1, "y": 2}, 5], "c": {"q": 1}, "d": 3}'
    assert pick(raw) == b'{"id":1.10,"a":{"b":0.30000000000000004},"l":[{"x":1},null],"c":{"q": 1}}'
    assert json.loads(picker(("c.d", "c"))(b'{"c": {"d": 1, "e": 2}}')) == {"c": {"d": 1, "e": 2}}
    assert json.loads(picker(("c", "c.d"))(b'{"c": {"d": 1, "e": 2}}')) == {"c": {"d": 1, "e": 2}}
    with pytest.raises(DataError, match="not JSON"):
        pick(b'{"id": ')
