import math
from typing import Any

import orjson
import pytest

from resources.core.tags import Sensor, SensorCatalog
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.forms.codec import MessageDecoder
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.payloads import Decoded

NOW_US = 1_795_000_000_000_000
TIME, TIME_US = "2026-11-22T10:15:00.250Z", 1_795_342_500_250_000


def _decoder(**tag: Any) -> MessageDecoder:
    made = MqttTag.model_validate({"sensor_id": "a", "unit": "kW", "topic": "t"} | tag)
    other = MqttTag.model_validate({"sensor_id": "b", "unit": "Cel", "topic": "two", "value_path": "t.in"})
    second = MqttTag.model_validate({"sensor_id": "c", "unit": "Cel", "topic": "two", "value_path": "t.out"})
    return MessageDecoder("m", (made, other, second), SensorCatalog(Sensor(s, "kW", "m") for s in "abc"))


def _decode(payload: Any, topic: bytes = b"t", **tag: Any) -> Decoded:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return _decoder(**tag).decode([Message(topic, raw, 1, 1, False)], NOW_US)


def _one(decoded: Decoded) -> dict[str, Any]:
    assert decoded.rejects is None
    assert decoded.readings is not None
    (row,) = decoded.readings.to_pylist()
    row["time"] = decoded.readings.column("time").cast("int64")[0].as_py()
    return row


def _refused(decoded: Decoded) -> dict[str, Any]:
    assert decoded.readings is None
    assert decoded.rejects is not None
    (row,) = decoded.rejects.to_pylist()
    return row


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        (TIME, TIME_US),
        ("2026-11-22T11:15:00.250+01:00", TIME_US),
        ("2026-11-22t10:15:00.25z", TIME_US),
        ("2026-11-22T10:15:00.250000999Z", TIME_US),
        (1_795_342_500_250, TIME_US),
        (1_795_342_500_250.125, TIME_US + 125),
    ],
    ids=["zulu", "offset", "lower case", "nanoseconds are cut", "epoch ms", "fraction of ms"],
)
def test_decode_when_the_time_has_a_form_then_micros_are_exact(time: Any, micros: int) -> None:
    assert _one(_decode({"value": 1, "time": time}))["time"] == micros


@pytest.mark.parametrize(
    ("value", "expected"), [(1.5, 1.5), (3, 3.0), (True, 1.0), (False, 0.0), (-2e300, -2e300)],
    ids=["float", "integer", "true", "false", "huge"],
)  # fmt: skip
def test_decode_when_the_value_is_a_number_then_it_is_read(value: Any, expected: float) -> None:
    assert _one(_decode({"value": value, "time": TIME}))["value"] == expected


def test_decode_when_scale_and_offset_are_set_then_they_apply() -> None:
    assert _one(_decode({"value": 10, "time": TIME}, scale=0.5, offset=1))["value"] == 6.0


def test_decode_when_the_unit_differs_but_fits_then_it_is_converted() -> None:
    assert _one(_decode({"value": 2, "time": TIME, "u": "MW"}, unit_path="u"))["value"] == pytest.approx(2000)
    assert _one(_decode({"value": 2, "time": TIME, "u": "kW"}, unit_path="u"))["value"] == 2
    assert _one(_decode({"value": 2, "time": TIME}, unit_path="u"))["value"] == 2


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_decode_when_python_json_spells_no_number_then_it_passes_for_the_validation_to_judge(word: bytes) -> None:
    value = _one(_decode(b'{"value": ' + word + b', "time": "' + TIME.encode() + b'"}'))["value"]
    assert not math.isfinite(value)


def test_decode_when_status_is_bad_and_value_null_then_the_value_is_null() -> None:
    row = _one(_decode({"value": None, "time": TIME, "status": "bad"}))
    assert (row["value"], row["status"]) == (None, 2)
    assert _one(_decode({"value": 1, "time": TIME, "status": "uncertain"}))["status"] == 1


@pytest.mark.parametrize(
    ("payload", "tag", "reason"),
    [
        (b"\xff\x00rubbish", {}, "garbage payload: it is not JSON"),
        (b"", {}, "the payload is empty"),
        ({"value": "12", "time": TIME}, {}, "wrong type: the value is text where a number is due"),
        ({"value": [1], "time": TIME}, {}, "wrong type: the value is a list where a number is due"),
        ({"value": {}, "time": TIME}, {}, "wrong type: the value is an object where a number is due"),
        ({"time": TIME}, {}, "no value at value in the payload"),
        ([1, 2], {"time_path": None}, "no value at value in the payload"),
        ({"value": None, "time": TIME}, {}, "the value is missing although the status is not bad"),
        ({"value": 1}, {}, "no time at time: the payload has none (time_path: null takes the receive time)"),
        ({"value": 1, "time": "yesterday"}, {}, "the time 'yesterday' is not RFC 3339"),
        ({"value": 1, "time": "2026-11-22T10:15"}, {},
         "the time '2026-11-22T10:15' has no zone: send Z or an offset such as +01:00"),
        ({"value": 1, "time": True}, {}, "the time at time is neither RFC 3339 text nor epoch milliseconds"),
        ({"value": 1, "time": 10**18}, {}, f"the time {10**18} is not in epoch milliseconds"),
        (b'{"value": 1, "time": NaN}', {}, "the time nan is not in epoch milliseconds"),
        (b'{"value": 1, "time": Infinity}', {}, "the time inf is not in epoch milliseconds"),
        (b'{"value": 1' + b"0" * 400 + b', "n": NaN, "time": 1795342500250}', {}, "the value is too large"),
        (b"[" * 100_000, {}, "garbage payload: it is not JSON"),
        ({"value": 1, "time": TIME, "status": "fine"}, {}, "the status 'fine' is none of good, uncertain, bad"),
        ({"value": 1, "time": TIME, "status": 192}, {}, "the status '192' is none of good, uncertain, bad"),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_decode_when_a_payload_is_bad_then_it_is_rejected_with_the_reason(
    payload: Any, tag: dict[str, Any], reason: str
) -> None:
    row = _refused(_decode(payload, **tag))
    assert row["reasons"] == [reason]
    assert row["sensor_id"] == "a"
    assert orjson.loads(row["raw"]) is not None


@pytest.mark.parametrize(
    ("unit", "words"),
    [("kg", "cannot convert kg"), ("zorkmid", "unknown unit 'zorkmid'"), ("m/0", ""), ("m99999", ""), ("/" * 30, "")],
)
def test_decode_when_the_unit_does_not_fit_then_it_is_rejected(unit: str, words: str) -> None:
    decoder = _decoder(unit_path="u")
    for _ in range(2):
        row = _refused(
            decoder.decode([Message(b"t", orjson.dumps({"value": 1, "time": TIME, "u": unit}), 1, 1, False)], NOW_US)
        )
        assert f"the unit '{unit[:40]}' does not fit: {words}" in row["reasons"][0]


def test_decode_when_the_time_is_known_then_the_reject_carries_it() -> None:
    decoded = _decode({"value": "x", "time": TIME})
    assert decoded.rejects is not None
    assert decoded.rejects.column("time").cast("int64").to_pylist() == [TIME_US]


def test_decode_when_no_tag_names_the_topic_then_it_is_rejected_as_unknown() -> None:
    row = _refused(_decode({"value": 1}, topic=b"else/where"))
    assert row["reasons"] == ["unknown sensor: no tag of this source names the topic else/where"]
    assert row["sensor_id"] is None


def test_decode_when_tags_share_a_topic_then_each_gets_its_value_and_one_may_fail_alone() -> None:
    decoded = _decode({"t": {"in": 20.5, "out": "?"}, "time": TIME}, topic=b"two")
    assert decoded.readings is not None
    assert decoded.rejects is not None
    assert decoded.readings.column("value").to_pylist() == [20.5]
    assert decoded.rejects.column("sensor_id").to_pylist() == ["c"]


def test_decode_when_the_payload_itself_is_the_number_then_the_receive_time_counts_on() -> None:
    decoder = _decoder(value_path="")
    decoded = decoder.decode([Message(b"t", b"1.5", 1, 1, False), Message(b"t", b"2.5", 2, 1, False)], NOW_US)
    assert decoded.readings is not None
    assert decoded.readings.column("value").to_pylist() == [1.5, 2.5]
    assert decoded.readings.column("time").cast("int64").to_pylist() == [NOW_US, NOW_US + 1]


@pytest.mark.parametrize("payload", [b"1.5", b"no number"], ids=["together", "one by one"])
def test_decode_when_the_wall_clock_was_set_back_then_receive_times_begin_anew(payload: bytes) -> None:
    decoder, back_us = _decoder(value_path=""), NOW_US - 3_600_000_000
    decoder.decode([Message(b"t", b"1.5", 1, 1, False)], NOW_US)
    messages = [Message(b"t", one, 1, 1, False) for one in (b"1.5", payload, b"2.5")]
    decoded = decoder.decode(messages, back_us)
    assert decoded.readings is not None
    times = decoded.readings.column("time").cast("int64").to_pylist()
    assert times == list(range(back_us, back_us + len(times)))
    assert len(times) >= 2


def test_decode_when_a_path_goes_through_a_list_then_the_index_counts() -> None:
    assert _one(_decode({"m": [{"v": 1}, {"v": 2}], "time": TIME}, value_path="m.1.v"))["value"] == 2
    assert "no value at m.9.v" in _refused(_decode({"m": [], "time": TIME}, value_path="m.9.v"))["reasons"][0]
