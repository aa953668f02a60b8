"""JSON Pointer, by the examples of RFC 6901, section 5."""

from __future__ import annotations

from typing import Any

import pytest

from resources.agents.aggregation.pointer import ABSENT, resolve, split_pointer

DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_resolve_when_the_rfc_has_an_example_then_its_value(pointer: str, value: Any) -> None:
    assert resolve(DOCUMENT, split_pointer(pointer)) == value


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-", "/foo/00", "/foo/bar", "/nothing", "/a/b", "/foo/0/0", "/x/y"])
def test_resolve_when_the_pointer_leads_nowhere_then_absent(pointer: str) -> None:
    assert resolve(DOCUMENT, split_pointer(pointer)) is ABSENT


def test_resolve_when_the_value_is_null_then_it_is_there() -> None:
    assert resolve({"a": None}, split_pointer("/a")) is None
