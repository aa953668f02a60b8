from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from resources.scada.config import SourceOptions
from resources.scada.modbus.config import ModbusConfig
from resources.scada.mqtt.config import MqttConfig
from resources.scada.opc_ua.config import OpcUaConfig


def test_options_when_nothing_is_said_then_five_failures_and_a_minute() -> None:
    options = SourceOptions()
    assert options.circuit_breaker.failures == 5
    assert options.circuit_breaker.recovery == timedelta(seconds=60)
    assert options.probe_interval == timedelta(seconds=2)
    assert options.health_interval == timedelta(seconds=30)


@pytest.mark.parametrize("model", [OpcUaConfig, ModbusConfig, MqttConfig])
def test_options_when_a_protocol_is_configured_then_it_has_them_all(model: type[SourceOptions]) -> None:
    assert SourceOptions.model_fields.keys() <= model.model_fields.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"other_endpoints": ["plc-b.example"]}, "names no host and port"),
        ({"probe_interval": "2m"}, "longer than circuit_breaker.recovery"),
        ({"probe_interval": "0s"}, "greater than"),
        ({"health_interval": "0s"}, "greater than"),
        ({"connections_per_endpoint": 0}, "greater than or equal to 1"),
        ({"circuit_breaker": {"failures": 0}}, "greater than or equal to 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_when_wrong_then_refused_with_the_reason(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SourceOptions.model_validate(wrong)


def test_options_when_copied_from_the_how_to_then_they_load() -> None:
    page = Path(__file__).parents[4] / "docs" / "how-to" / "keep-sources-connected.md"
    shown = yaml.safe_load(page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])
    source = shown["sources"]["boiler_house"] | {
        "insecure_no_security": True,
        "tags": [{"sensor_id": "a.b", "unit": "1", "node_id": "nsu=urn:a;s=b"}],
    }
    loaded = OpcUaConfig.model_validate(source)
    assert loaded.circuit_breaker.failures == 5
    assert loaded.other_endpoints == ("opc.tcp://boiler-house-b.example:4840/server",)
