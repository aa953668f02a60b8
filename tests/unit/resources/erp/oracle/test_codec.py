from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from resources.core.errors import DataError, ProtocolError
from resources.erp.oracle.children import Level, flattened, levels_of
from resources.erp.oracle.codec import Peek, collection_of, instant_of, scalar, with_parent
from resources.erp.oracle.pages import Source, pages_by_key, pages_by_offset
from resources.erp.oracle.query import Asked


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not JSON"),
        (b'{"items":[{"a":', "may be cut off"),
        (b"[]", "no collection"),
        (b"{}", "no list of records under `items`"),
        (b'{"items":[1]}', "no object"),
        (b'{"items":3}', "no collection"),
        (b'{"items":[],"hasMore":"no"}', "no collection"),
    ],
)
def test_a_page_when_it_is_none_is_a_data_error(body: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        collection_of(body)


def test_attributes_when_peeked_at_are_those_asked_for() -> None:
    assert Peek(["B", "A"]).at([b'{"A":1,"B":"x"}', b'{"A":null}']) == [("x", 1), (None, None)]
    assert Peek(["A"]).at([]) == []


@pytest.mark.parametrize(
    ("record", "together"),
    [
        (b"{}", b'{"parent":{"n":1.50}}'),
        (b"{ }", b'{ "parent":{"n":1.50}}'),
        (b'{"a":1}', b'{"a":1,"parent":{"n":1.50}}'),
    ],
)
def test_a_parent_when_added_keeps_its_digits(record: bytes, together: bytes) -> None:
    assert with_parent(record, b'{"n":1.50}') == together


def test_an_instant_when_written_as_fusion_does_is_read() -> None:
    assert instant_of("2026-11-20T23:30:00") == datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert instant_of("soon") is None
    assert instant_of(1) is None


def test_a_scalar_when_it_is_an_object_is_none() -> None:
    assert scalar(msgspec.Raw(b'{"a":1}')) is None
    assert scalar(msgspec.Raw(b'"x"')) == "x"
    assert scalar(None) is None


def flat(record: bytes, explode: str = "Lines", on: str | None = None) -> list[bytes]:
    def rest(level: Level, link: str) -> Iterator[bytes]:
        yield json.dumps({"level": level.path, "link": link}).encode()

    return list(flattened(record, levels_of(explode, ("No",), on), keep=lambda value: value != "no", rest=rest))


def test_children_when_flattened_carry_what_is_around_them() -> None:
    record = b'{"n":1.50,"Lines":{"items":[{"k":1},{"k":2.00,"links":[]}]},"links":[{"rel":"self"}]}'
    assert flat(record) == [b'{"k":1,"parent":{"n":1.50}}', b'{"k":2.00,"parent":{"n":1.50}}']
    assert flat(b'{"Lines":null}') == []


def test_children_when_unwanted_are_left_out_with_all_below() -> None:
    record = b'{"h":{"items":[{"d":"no","l":{"items":[{"k":1}]}},{"d":"yes","l":{"items":[{"k":2}]}}]}}'
    assert [json.loads(one)["k"] for one in flat(record, "h.l", "parent.d")] == [2]
    assert flat(b'{"Lines":{"items":[{"d":"no"},{"d":{"x":1}}]}}', "Lines", "d") == [b'{"d":{"x":1},"parent":{}}']


def test_children_when_there_are_more_are_read_by_their_link() -> None:
    record = b'{"Lines":{"items":[{}],"hasMore":true,"links":[{"rel":"self","href":"https://pod/x"}]}}'
    assert flat(record) == [b'{"level": "Lines", "link": "https://pod/x","parent":{}}']


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"{}", "a record without Lines"),
        (b'{"Lines":[{"k":1}]}', "framework_version of 3 or more"),
        (b'{"Lines":{"items":[{}],"hasMore":true}}', "without a link to them"),
    ],
)
def test_children_when_they_cannot_be_read_are_a_data_error(record: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        flat(record)


def source(*bodies: bytes) -> Source:
    waiting = iter(bodies)
    return Source("pod", "things as a whole", "/x/things", 2, lambda url: next(waiting))


ASKED = Asked({}, (), "Id", expands=False)


def test_keys_when_they_are_texts_are_only_refused_if_they_come_twice() -> None:
    pages = source(b'{"items":[{"Id":"b"},{"Id":"A"}]}', b'{"items":[{"Id":"c"}]}')
    assert [len(page.records) for page in pages_by_key(pages, ASKED, 4)] == [2, 1]
    with pytest.raises(ProtocolError, match="holds records of the page before it again"):
        list(pages_by_key(source(b'{"items":[{"Id":"b"},{"Id":"A"}]}', b'{"items":[{"Id":"A"}]}'), ASKED, 4))


def test_records_when_none_has_the_key_are_an_error() -> None:
    with pytest.raises(ProtocolError, match="has no record with Id"):
        list(pages_by_key(source(b'{"items":[{"No":1}]}'), ASKED, 4))


def test_pages_by_offset_when_one_is_empty_but_says_more_are_an_error() -> None:
    with pytest.raises(ProtocolError, match="its paging does not move on"):
        list(
            pages_by_offset(source(b'{"items":[{"Id":1},{"Id":2}]}', b'{"items":[{"Id":2}],"hasMore":true}'), ASKED, 4)
        )
