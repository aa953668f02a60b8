"""What the how-to page on tags shows: it loads as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import resources
from resources.core.configuration.settings import TagConfig
from resources.integrations import load_integrations
from resources.scada.mqtt.config import MqttTag

PAGE = (Path(resources.__file__).resolve().parent.parent / "docs" / "how-to" / "tags.md").read_text(encoding="utf-8")
HEAD = "site: plant\nstart: 2026-11-01T00:00:00Z\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_tags_when_loaded_then_one_is_text_and_one_has_states() -> None:
    text, mode = (MqttTag.model_validate(tag) for tag in yaml.safe_load(blocks("yaml")[0])["tags"])
    assert text.is_text
    assert mode.states == {"OFF": 0, "HEATING": 1, "HOLDING": 2}


def test_reports_when_loaded_then_each_is_one() -> None:
    for block in yaml.safe_load(blocks("yaml")[1]):
        assert TagConfig.model_validate({"sensor_id": "a", "unit": "bar", "minimum": 0, "maximum": 9} | block).report


def test_lists_when_loaded_then_their_tags_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GL_HOME", str(tmp_path / "home"))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "boilers.csv").write_text(blocks("csv")[0])
    (tmp_path / "integrations.yaml").write_text(HEAD + blocks("yaml")[2])
    assert list(load_integrations(tmp_path / "integrations.yaml").tags()) == ["b1.p", "b1.mode"]
    (tmp_path / "integrations.yaml").write_text(HEAD + blocks("yaml")[3])
    discover = load_integrations(tmp_path / "integrations.yaml").sources["meters"].discover
    assert discover is not None
    assert discover.wants("plant/flow/value")
    assert not discover.wants("plant/noise/value")
    assert discover.sensor_id_of("meters", "plant/flow/value") == "flow"
