"""The configurations in the how-to are ones that load."""

import re
from pathlib import Path

import yaml

from resources.scada.opc_ua.config import OpcUaConfig

HOW_TO = Path(__file__).parents[5] / "docs" / "how-to" / "connect-opc-ua.md"


def test_how_to_when_its_sources_are_read_then_each_is_a_valid_configuration() -> None:
    blocks = re.findall(r"```yaml\nsources:\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        for source in yaml.safe_load(block).values():
            assert OpcUaConfig.model_validate(source).tags
