"""Commands beside a running demo mean that demo, unless a configuration is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gl_assets.cli.main import cli
from gl_assets.cli.running import demo_environment
from gl_assets.cli.state import only_one
from resources.demo_plant.setup import prepare


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    setup = prepare(tmp_path / "demo", broker_port=18830, seed=1)
    demo_environment.remember(tmp_path, {**setup.environment, "GL_CONFIG": str(setup.config)})
    monkeypatch.setenv("GL_HOME", str(tmp_path))
    monkeypatch.delenv("GL_CONFIG", raising=False)
    for name in setup.environment:
        monkeypatch.delenv(name, raising=False)
        # what the command sets is taken back at the end of the test
        monkeypatch.setenv(name, "")
    return tmp_path


def test_command_when_a_demo_runs_then_its_configuration_is_meant(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_CONFIG", "x")
    monkeypatch.delenv("GL_CONFIG")
    with only_one(home, "the test"):
        result = CliRunner().invoke(cli, ["config", "check"])

    assert "the demo that runs here is meant" in result.output
    assert result.exit_code == 0, result.output
    assert "integrations.yaml" in result.output


def test_command_when_no_demo_runs_then_the_kept_environment_is_not_used(home: Path):
    assert demo_environment.of_running_demo(home) is None
    result = CliRunner().invoke(cli, ["config", "check"])
    assert "demo" not in result.output.split("integrations")[0]


def test_command_when_a_configuration_is_named_then_that_one_is_meant(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_CONFIG", str(home / "missing.yaml"))
    with only_one(home, "the test"):
        result = CliRunner().invoke(cli, ["config", "check"])
    assert "the demo that runs here" not in result.output


def test_environment_when_kept_then_only_the_owner_can_read_it_and_it_can_be_forgotten(home: Path):
    assert (home / "demo" / demo_environment.FILE).stat().st_mode & 0o777 == 0o600
    with only_one(home, "the test"):
        assert demo_environment.of_running_demo(home) is not None
        demo_environment.forget(home)
        assert demo_environment.of_running_demo(home) is None
