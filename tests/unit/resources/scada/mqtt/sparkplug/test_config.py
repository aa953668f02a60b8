"""The configuration of a Sparkplug source, as the how-to shows it and as people get it wrong."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.scada.sparkplug import run
from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ConfigError
from resources.integrations import Integrations
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.resource import MqttResource
from resources.scada.mqtt.sparkplug.config import SparkplugAddress, SparkplugConfig
from resources.scada.values import plain_settings

HOW_TO = Path(__file__).resolve().parents[6] / "docs" / "how-to" / "connect-sparkplug.md"


def test_how_to_when_its_configuration_is_read_then_it_holds() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    text = "site: example\nstart: 2026-11-01T00:00:00Z\n" + "".join(blocks)
    source = parse_yaml(text, Integrations, name="how-to").sources["boilers"]
    assert isinstance(source, MqttConfig)
    places = [tag.sparkplug.text() for tag in source.tags if tag.sparkplug is not None]
    assert places == [
        "Plant/Boiler 1//Steam/Flow",
        "Plant/Boiler 1/Drum/Level",
        "Plant/Boiler 1/Drum/State",
        "Plant/Boiler 1//Setpoint",
    ]
    assert MqttConfig.model_validate(plain_settings(source)) == source


def test_address_when_written_either_way_then_it_is_the_same() -> None:
    parts = SparkplugAddress(group="G", edge_node="E", device="D", metric="a/b/c")
    assert SparkplugAddress.model_validate("G/E/D/a/b/c") == parts
    assert SparkplugAddress.model_validate(parts.text()) == parts
    assert parts.where() == "G/E/D"
    assert SparkplugAddress.model_validate("G/E//m").where() == "G/E"


@pytest.mark.parametrize("text", ["G/E/m", "G/E", "", "G//D/m", "/E//m", "G/E//", "G/E+//m", "#/E//m"])
def test_address_when_it_is_none_then_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        SparkplugAddress.model_validate(text)


def test_options_when_wrong_then_refused() -> None:
    for wrong in (
        {"host_id": "a/b"},
        {"reorder_timeout": "0s"},
        {"quality_codes": {"192": "fine"}},
        {"edge_nodes": ["E"]},
    ):
        with pytest.raises(ValidationError):
            SparkplugConfig.model_validate({"host_id": "gl"} | wrong)


@pytest.mark.parametrize("odd", [{"topic_filters": ["a/#"]}, {"status_topic": {"topic": "here"}}])
def test_source_when_it_has_keys_of_ordinary_topics_then_refused(odd: dict[str, object]) -> None:
    source = {
        "kind": "mqtt", "broker": {"host": "x"}, "client_id": "c", "payload": "sparkplug_b", "sparkplug": {"host_id": "h"},
        "tags": [{"sensor_id": "a", "unit": "1", "sparkplug": "G/E//m"}],
    }  # fmt: skip
    config = MqttConfig.model_validate(source)
    with pytest.raises(ConfigError, match="use read_sensor"):
        MqttResource.of("s", config).subscribe_topic("spBv1.0/#", 1.0)
    with pytest.raises(ValidationError, match="has a STATE of its own"):
        MqttConfig.model_validate(source | odd)


def test_benchmark_when_run_briefly_then_it_reads_everything() -> None:
    found = run(lambda _: None, repeats=1, values=1000)
    assert {"sparkplug_1_metrics_vs_bare", "sparkplug_50_metrics_vs_bare"} <= set(found)
