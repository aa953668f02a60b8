"""What an MQTT source may say in the configuration, and the commands that its tags make."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from resources.core.errors import ProtocolError
from resources.scada.mqtt.config import MqttConfig, MqttTag
from resources.scada.mqtt.forms.commands import command
from resources.scada.mqtt.templates import MOST_TAGS, expanded
from resources.scada.values import plain_settings

TAG = {"sensor_id": "a", "unit": "Cel", "topic": "t/a"}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _source(**changes: Any) -> MqttConfig:
    return MqttConfig.model_validate(
        {"kind": "mqtt", "broker": {"host": "h"}, "client_id": "c", "topic_filters": ["t/#"], "tags": [TAG]} | changes
    )


def test_config_when_filters_are_texts_or_mappings_then_both_are_filters() -> None:
    source = _source(topic_filters=["a/+", {"filter": "$share/g/b/#", "qos": 2, "retained": "never"}])
    assert [(f.filter, f.qos, f.retained) for f in source.topic_filters] == [
        ("a/+", None, "always"),
        ("$share/g/b/#", 2, "never"),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"topic_filters": []}, "name at least one"),
        ({"topic_filters": ["a/b#"]}, "at the end"),
        ({"topic_filters": ["#/a"]}, "at the end"),
        ({"topic_filters": ["a+/b"]}, "for a whole level"),
        ({"topic_filters": ["$share/g"]}, r"a shared subscription is \$share/GROUP/FILTER"),
        ({"topic_filters": ["$share/g+/t"]}, r"a shared subscription is \$share/GROUP/FILTER"),
        ({"tags": [TAG | {"topic": "t/+"}]}, "holds a wildcard.*tag_templates"),
        ({"tags": [TAG | {"command_topic": "t/#"}]}, "holds a wildcard"),
        ({"tags": [TAG | {"command_topic": "t", "command_payload": "{}"}]}, "has no {value}"),
        ({"tags": [{"sensor_id": "a", "unit": "1"}]}, "name its topic"),
        ({"tags": []}, "name at least one"),
        ({"payload": "csv"}, "value_path 'value' is no column"),
        ({"tags": [TAG | {"payload": "csv", "value_path": "0", "unit_path": "u"}]}, "unit_path 'u' is no column"),
        ({"payload": "sparkplug_b"}, "go together"),
        ({"status_topic": {"topic": "a/#"}}, "pattern"),
        ({"csv_delimiter": ",,"}, "at most 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_config_when_it_makes_no_sense_then_it_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _source(**changes)


def test_config_when_csv_leaves_time_and_status_out_then_it_is_taken() -> None:
    assert _source(payload="csv", tags=[TAG | {"value_path": "0"}]).tags[0].value_path == "0"
    assert _source(payload="csv", tags=[TAG | {"value_path": ""}]).tags[0].value_path == ""


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"qos": 0}, False),
        ({"topic_filters": ["a", {"filter": "b", "qos": 0}]}, False),
        ({"qos": 0, "topic_filters": [{"filter": "b", "qos": 2}]}, True),
        (
            {
                "payload": "sparkplug_b",
                "sparkplug": {"host_id": "h"},
                "topic_filters": [],
                "tags": [{"sensor_id": "a", "unit": "1", "sparkplug": "g/e//m"}],
            },
            False,
        ),
    ],
    ids=["qos 1", "qos 0", "one filter of qos 0", "filter of qos 2", "Sparkplug"],
)
def test_config_when_asked_whether_the_broker_keeps_all_then_the_qos_decides(
    changes: dict[str, Any], kept: bool
) -> None:
    assert _source(**changes).is_kept_by_the_broker is kept


TEMPLATE = {
    "levels": {"line": [1, 2], "quantity": ["temp", "press"]},
    "tag": {
        "sensor_id": "L{line}.{quantity}",
        "unit": "1",
        "topic": "lines/{line}/{quantity}",
        "minimum": 0,
        "command_topic": "lines/{line}/set",
        "command_payload": '{"line": {line}, "v": {value}}',
        "writable": {"minimum": 0, "maximum": 1, "max_step": 1},
    },
}


def test_config_when_a_template_is_given_then_every_combination_is_a_tag() -> None:
    source = _source(tag_templates=[TEMPLATE])
    assert [tag.sensor_id for tag in source.tags] == ["a", "L1.temp", "L1.press", "L2.temp", "L2.press"]
    assert source.tags[3].topic == "lines/2/temp"
    assert source.tags[3].command_payload == '{"line": 2, "v": {value}}'
    assert source.tag_templates == ()
    alone = {
        "kind": "mqtt",
        "broker": {"host": "h"},
        "client_id": "c",
        "topic_filters": ["#"],
        "tag_templates": [TEMPLATE],
    }
    assert len(MqttConfig.model_validate(alone).tags) == 4


def test_config_when_it_is_dumped_and_read_again_then_it_is_the_same() -> None:
    source = _source(tag_templates=[TEMPLATE], topic_filters=["a", {"filter": "b", "qos": 0}])
    assert MqttConfig.model_validate(plain_settings(source)) == source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"levels": {"line": [1]}}, "no level quantity for"),
        ({"levels": {"value": [1]}}, "the level value means something else"),
        ({"levels": {}}, "at least 1"),
        ({"levels": {"a": list(range(400)), "b": list(range(400))}, "tag": {}}, f"more than {MOST_TAGS:,} tags"),
        ({"tag": {"sensor_id": "{line}{quantity}", "unit": "zorkmid", "topic": "t"}}, "unknown unit"),
    ],
    ids=["place without level", "reserved", "no level", "too many", "bad tag"],
)
def test_config_when_a_template_is_wrong_then_it_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _source(tag_templates=[TEMPLATE | change])


def test_expanded_when_a_template_holds_numbers_and_lists_then_they_stay() -> None:
    assert expanded([{"levels": {"n": [1]}, "tag": {"a": 5, "b": {"c": "{n}"}}}]) == [{"a": 5, "b": {"c": "1"}}]


def _tag(**changes: Any) -> MqttTag:
    return MqttTag.model_validate(TAG | {"command_topic": "t/set"} | changes)


@pytest.mark.parametrize(
    ("tag", "value", "payload"),
    [
        ({}, 41.5, b'{"value": 41.5}'),
        ({"scale": 2, "offset": 1}, 41.0, b'{"value": 20}'),
        ({"scale": 0.1}, 0.25, b'{"value": 2.5}'),
        ({"command_payload": "{value}"}, 3.0, b"3"),
        ({"states": {"off": 0, "on": 1}}, 1.0, b'{"value": "on"}'),
        ({"data": "text"}, 'say "hi"', b'{"value": "say \\"hi\\""}'),
        (
            {"command_payload": "[{time}, {unit}, {sensor_id}, {value}, {other}]"},
            1.0,
            b'["2026-11-22T12:00:00+00:00", "Cel", "a", 1, {other}]',
        ),
    ],
    ids=["number", "scaled", "fraction", "bare", "state", "text", "all places"],
)
def test_command_when_a_value_is_written_then_the_payload_holds_it_as_the_device_counts(
    tag: dict[str, Any], value: float | str, payload: bytes
) -> None:
    message = command("m", _tag(**tag), value, NOON)
    assert (message.topic, message.payload, message.qos, message.retain) == ("t/set", payload, 1, False)


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ({"command_topic": None}, 1.0, "no command_topic"),
        ({}, "warm", "the tag takes a number"),
        ({"data": "text"}, 1.0, "the tag takes a text"),
        ({"states": {"off": 0}}, 3.0, "3 is none of its states"),
        ({"scale": 0}, 3.0, "scale 0 cannot be written"),
    ],
)
def test_command_when_it_cannot_be_then_protocol_error_says_why(
    tag: dict[str, Any], value: float | str, words: str
) -> None:
    with pytest.raises(ProtocolError, match=f"source m: writing a: .*{words}"):
        command("m", _tag(**tag), value, NOON)


def test_command_when_it_is_to_be_kept_then_it_is_retained() -> None:
    assert command("m", _tag(command_retain=True), 1.0, NOON).retain
