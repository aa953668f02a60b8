"""Lone surrogates in JSON: pages that hold them are split all the same, and their records stay as they were written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.errors import DataError
from resources.erp.pulling.members import Member, explode
from resources.transport.text.json_pages import JsonEnvelope
from resources.transport.text.surrogates import without_lone_surrogates

PAGE = JsonEnvelope("value", count=("@odata.count",))


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        (rb'"\ud800"', rb'"\uFFFD"'),
        (rb'"\uDC00x"', rb'"\uFFFDx"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\uFFFD\ud83d\ude00"'),
        (rb'"\\ud800"', rb'"\\ud800"'),
        (rb'"\\\ud800\n"', rb'"\\\uFFFD\n"'),
        (rb'"\u00e9\u0000"', rb'"\u00e9\u0000"'),
    ],
)
def test_a_surrogate_when_alone_is_replaced_in_place(text: bytes, readable: bytes) -> None:
    assert without_lone_surrogates(text) == readable


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_when_made_readable_can_be_decoded_and_is_as_long(text: str) -> None:
    written = json.dumps(text).encode()
    readable = without_lone_surrogates(written)
    assert len(readable) == len(written)
    json.loads(readable).encode()


def test_a_page_when_a_record_holds_one_is_split_and_the_record_stays_as_written() -> None:
    records = [rb'{"id":"1","t":"\ud800"}', rb'{"id":"2"}', rb'{"id":"1","t":"\uFFFD"}', rb'{"id":"4","t":"\udfff."}']
    page = PAGE.split(b'{"@odata.count": 4, "value": [' + b", ".join(records) + b"]}")
    assert page.records == records
    assert page.count == 4
    assert Member("t").of(records[0]) == "\ufffd"
    assert Member("id").of(records[3]) == "4"
    child = rb'{"id":"\ud800","lines":[{"n":1}]}'
    assert json.loads(explode(child, "lines")[0]) == {"n": 1, "parent": {"id": "\ufffd"}}


@pytest.mark.parametrize("body", [rb'{"value": [{"t":"\ud800"}', rb'{"value": [{"t":"\ud8', rb'{"value": ["\ud800"]}'])
def test_a_page_when_broken_besides_is_refused(body: bytes) -> None:
    with pytest.raises(DataError):
        PAGE.split(body)
