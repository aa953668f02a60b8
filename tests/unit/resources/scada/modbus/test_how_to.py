"""The configurations in the how-to are such as load."""

import re
from pathlib import Path

import pytest
import yaml

import resources
from resources.scada.modbus.config import ModbusConfig

HOW_TO = Path(resources.__file__).resolve().parent.parent / "docs" / "how-to" / "connect-modbus.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split(":")[0])
def test_how_to_when_its_configuration_is_loaded_then_it_is_right(text: str) -> None:
    for source in yaml.safe_load(text).values():
        assert ModbusConfig.model_validate(source).tags


def test_how_to_when_read_then_it_shows_every_kind_of_source() -> None:
    assert len(BLOCKS) == 6
