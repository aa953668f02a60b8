"""The configurations of docs/how-to/connect-mqtt.md are ones that the platform takes."""

import re
from pathlib import Path

import pytest

from resources.core.configuration.settings import parse_yaml
from resources.integrations import Integrations, example_path
from resources.scada.mqtt.config import MqttConfig

HOW_TO = example_path().parent / "docs" / "how-to" / "connect-mqtt.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", Path(HOW_TO).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("text", "tags"), list(zip(BLOCKS, (1, 7), strict=True)), ids=["one tag", "templates"])
def test_how_to_when_its_configuration_is_read_then_it_is_taken(text: str, tags: int) -> None:
    config = parse_yaml(text, Integrations, name="connect-mqtt.md")
    (source,) = config.sources.values()
    assert isinstance(source, MqttConfig)
    assert len(source.tags) == tags
