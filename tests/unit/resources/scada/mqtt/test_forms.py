"""Payloads beyond one JSON number: CSV lines, lists, texts, states; and that both ways of decoding agree."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.tags import Sensor, SensorCatalog
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.forms import codec
from resources.scada.mqtt.forms.codec import MessageDecoder
from resources.scada.mqtt.link.wire import CutPayload, Message
from resources.scada.mqtt.payloads import Decoded

NOW_US = 1_795_000_000_000_000
TIME, TIME_US = "2026-11-22T10:15:00.250Z", 1_795_342_500_250_000


def _decoder(*tags: dict[str, Any], **source: Any) -> MessageDecoder:
    made = [
        MqttTag.model_validate({"sensor_id": f"s{n}", "unit": "kW", "topic": "t"} | tag) for n, tag in enumerate(tags)
    ]
    catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, "m", tag.is_text) for tag in made)
    return MessageDecoder("m", made, catalog, **source)


def _decode(decoder: MessageDecoder, *payloads: Any, topic: bytes = b"t") -> Decoded:
    raw = [p if isinstance(p, bytes) else orjson.dumps(p) for p in payloads]
    return decoder.decode([Message(topic, p, 1, 1, False) for p in raw], NOW_US)


def _rows(decoded: Decoded) -> list[tuple[int, int, float | None, int]]:
    if decoded.readings is None:
        return []
    columns = [decoded.readings.column(name) for name in ("sensor_key", "time", "value", "status")]
    keys, times, values, statuses = columns[0], columns[1].cast("int64"), columns[2], columns[3]
    return sorted(zip(keys.to_pylist(), times.to_pylist(), values.to_pylist(), statuses.to_pylist(), strict=True))


def _reasons(decoded: Decoded) -> list[str]:
    return [] if decoded.rejects is None else [row["reasons"][0] for row in decoded.rejects.to_pylist()]


def _texts(decoded: Decoded) -> list[tuple[str | None, int]]:
    if decoded.texts is None:
        return []
    return [(row["value"], row["status"]) for row in decoded.texts.to_pylist()]


CSV = {"payload": "csv", "value_path": "1", "time_path": "0", "status_path": "2", "unit_path": "3"}


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (f"{TIME},12.5,good,kW", (0, TIME_US, 12.5, 0)),
        (f"{TIME}, 12.5 ,uncertain,MW\r\n", (0, TIME_US, 12500.0, 1)),
        ("1795342500250,1e3,,", (0, TIME_US, 1000.0, 0)),
        ("1795342500250.0,true", (0, TIME_US, 1.0, 0)),
        (f'"{TIME}","7",bad', (0, TIME_US, 7.0, 2)),
        (f"{TIME},,bad", (0, TIME_US, None, 2)),
    ],
    ids=["plain", "spaces and unit", "epoch ms", "boolean, short", "quoted", "missing and bad"],
)
def test_decode_when_a_csv_line_comes_then_its_columns_are_read(line: str, row: tuple[Any, ...]) -> None:
    assert _rows(_decode(_decoder(CSV), line.encode())) == [row]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff\xfe", "garbage payload: it is no line of CSV"),
        (b'x,"y', "garbage payload: it is no line of CSV"),
        (b"", "the payload is empty"),
        (f"{TIME}".encode(), "no value at 1 in the payload"),
        (f"{TIME},warm".encode(), "wrong type: the value is text where a number is due"),
        (f"{TIME},,good".encode(), "the value is missing although the status is not bad"),
        (b",1", "no time at 0: the payload has none (time_path: null takes the receive time)"),
        (b"noon,1", "the time 'noon' is not RFC 3339"),
        (f"{TIME},1,fine".encode(), "the status 'fine' is none of good, uncertain, bad"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_decode_when_a_csv_line_is_bad_then_it_is_rejected_with_the_reason(line: bytes, reason: str) -> None:
    assert _reasons(_decode(_decoder(CSV), line)) == [reason]


def test_decode_when_a_csv_payload_has_lines_then_each_is_read_and_the_delimiter_is_the_sources() -> None:
    decoder = _decoder({"value_path": "1"}, payload="csv", csv_delimiter=";")
    assert [row[2] for row in _rows(_decode(decoder, b"a;1\n\nb;2\n"))] == [1.0, 2.0]


def test_decode_when_the_path_goes_through_a_list_then_every_item_is_read() -> None:
    decoder = _decoder({"value_path": "m.*.v", "time_path": "m.*.t", "status_path": "m.*.s", "unit_path": "u"})
    payload = {
        "u": "MW",
        "m": [{"v": 1, "t": TIME}, {"v": 2, "t": 1_795_342_500_251, "s": "uncertain"}, {"v": "x", "t": TIME}, {"v": 3}],
    }
    decoded = _decode(decoder, payload)
    assert _rows(decoded) == [(0, TIME_US, 1000.0, 0), (0, TIME_US + 1000, 2000.0, 1)]
    assert _reasons(decoded) == [
        "wrong type: the value is text where a number is due",
        "no time at m.*.t: the payload has none (time_path: null takes the receive time)",
    ]
    assert _reasons(_decode(decoder, {"m": 1})) == ["no list at m in the payload"]
    assert _reasons(_decode(_decoder({"value_path": "*"}), {"m": 1})) == ["no list at the top in the payload"]


def test_decode_when_list_items_share_a_time_then_it_is_found_outside() -> None:
    decoder = _decoder({"value_path": "m.*", "time_path": None}, {"value_path": "m.0", "time_path": "t"})
    rows = _rows(_decode(decoder, {"t": TIME, "m": [5, 6]}))
    assert rows == [(0, NOW_US, 5.0, 0), (0, NOW_US + 1, 6.0, 0), (1, TIME_US, 5.0, 0)]


def test_decode_when_the_tag_is_text_then_texts_come() -> None:
    decoder = _decoder({"data": "text", "value_path": "mode"}, {"data": "text", "value_path": "", "topic": "w"})
    decoded = _decode(decoder, {"mode": "auto", "time": TIME}, {"mode": None, "time": TIME, "status": "bad"})
    assert _texts(decoded) == [("auto", 0), (None, 2)]
    assert _reasons(_decode(decoder, {"mode": 3, "time": TIME})) == [
        "wrong type: the value is a number where a text is due"
    ]
    whole = _decode(decoder, b"running", b'"stopped"', b"42", b"\xff", topic=b"w")
    assert [text for text, _ in _texts(whole)] == ["running", "stopped", "42", "\ufffd"]
    assert _reasons(_decode(decoder, b"", topic=b"w")) == ["the payload is empty"]


def test_decode_when_the_tag_has_states_then_their_numbers_come() -> None:
    states = {"states": {"off": 0, "on": 1, "true": 7, "2": 8}}
    decoder = _decoder({"value_path": "s", **states}, {"value_path": "", "topic": "w", **states})
    values = [{"s": name, "time": TIME} for name in ("on", True, 2)]
    assert [row[2] for row in _rows(_decode(decoder, *values))] == [1.0, 7.0, 8.0]
    assert _reasons(_decode(decoder, {"s": "standby", "time": TIME})) == [
        "the state 'standby' is none of off, on, true, 2"
    ]
    assert [row[2] for row in _rows(_decode(decoder, b"off", b'"on"', topic=b"w"))] == [0.0, 1.0]


def test_decode_when_forms_are_mixed_then_each_topic_has_its_own() -> None:
    decoder = _decoder({}, {"topic": "c", "payload": "csv", "value_path": "0"})
    messages = [Message(b"t", orjson.dumps({"value": 1, "time": TIME}), 1, 1, False), Message(b"c", b"2", 2, 1, False)]
    assert [row[2] for row in _rows(decoder.decode(messages, NOW_US))] == [1.0, 2.0]


def test_decode_when_many_come_then_scale_offset_unit_and_time_are_exact() -> None:
    tags = [{"topic": f"t{n}", "scale": n + 1, "offset": n, "unit_path": "u"} for n in range(3)]
    decoder = _decoder(*tags)
    messages = [
        Message(
            b"t%d" % (n % 3),
            b'{"value": %d, "u": "kW", "time": "2026-11-22T11:15:00.%06d+01:00"}' % (n, n),
            1,
            1,
            False,
        )
        for n in range(300)
    ]
    rows = _rows(decoder.decode(messages, NOW_US))
    expected = [(n % 3, TIME_US - 250_000 + n, float(n * (n % 3 + 1) + n % 3), 0) for n in range(300)]
    assert rows == sorted(expected)


_VALUE = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.lists(st.none(), max_size=1),
)
_TIME = st.one_of(
    st.sampled_from(
        [TIME, "2026-11-22T10:15:00", "2026-11-22 10:15:00+01:00", "20261122T101500Z", "2026-11-22T10:15:00.1234567Z",
         "2026-11-22T10:15:60Z", "0000-01-01T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:15Z", "x", ""]
    ),
    st.integers(-(10**15), 10**15), st.integers(10**18, 10**20), st.floats(), st.none(),
)  # fmt: skip
_DOCUMENT = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "value": _VALUE,
            "time": _TIME,
            "status": st.sampled_from(["good", "bad", "uncertain", "odd", None, 1]),
        },
    ),
    st.lists(st.integers(), max_size=2),
    st.integers(),
)


@given(documents=st.lists(_DOCUMENT, min_size=1, max_size=6), many=st.booleans(), whole=st.booleans())
def test_decode_when_columns_are_read_then_the_result_is_that_of_the_careful_way(
    documents: list[Any], many: bool, whole: bool
) -> None:
    """Whatever comes, the quick way either agrees with the careful one or stands back."""
    if many:
        documents = documents * 20
    payloads = [json.dumps(document).encode() for document in documents]
    messages = [Message(b"t", payload, 1, 1, False) for payload in payloads]
    tag = {"value_path": ""} if whole else {}
    quick, careful = _decoder(tag), _decoder(tag)
    for topic in careful._topics.values():
        topic.layout = None
    one, other = quick.decode(messages, NOW_US), careful.decode(messages, NOW_US)
    assert [str(row) for row in _rows_in_order(one)] == [str(row) for row in _rows_in_order(other)]
    assert _reasons(one) == _reasons(other)


def _rows_in_order(decoded: Decoded) -> list[dict[str, Any]]:
    if decoded.readings is None:
        return []
    return decoded.readings.set_column(0, "time", decoded.readings.column("time").cast("int64")).to_pylist()


def test_decode_when_the_batch_is_ordinary_then_the_quick_way_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "parsed", None)  # the careful way could not go on
    decoder = _decoder({}, {"value_path": "t.0.v", "topic": "n"})
    rows = _rows(_decode(decoder, *({"value": n, "time": 1_795_342_500_250} for n in range(100))))
    assert len(rows) == 100
    assert _rows(_decode(decoder, {"t": [{"v": 4}], "time": TIME}, topic=b"n")) == [(1, TIME_US, 4.0, 0)]


@pytest.mark.parametrize("tag", [{}, {"data": "text", "value_path": ""}, {"payload": "csv", "value_path": "0"}])
def test_decode_when_a_payload_was_cut_then_it_is_rejected_whatever_its_form(tag: dict[str, Any]) -> None:
    payload = CutPayload(b"1\0")
    payload.size = 20_000_000
    decoded = _decoder(tag).decode([Message(b"t", payload, 1, 1, False)], NOW_US)
    assert _reasons(decoded) == ["the payload is too large: a packet of 20,000,000 bytes"]
    assert decoded.readings is None
