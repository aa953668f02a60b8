from __future__ import annotations

from pathlib import Path

import pytest

from resources.core.process.home import config_path, gl_home


def test_gl_home_when_unset_then_dot_gl_in_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert gl_home() == tmp_path / ".gl"


def test_gl_home_when_relative_then_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GL_HOME", "state")
    assert gl_home() == tmp_path / "state"


def test_config_path_when_unset_then_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GL_CONFIG", raising=False)
    assert config_path() is None


def test_config_path_when_set_then_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GL_CONFIG", "plant.yaml")
    assert config_path() == tmp_path / "plant.yaml"
