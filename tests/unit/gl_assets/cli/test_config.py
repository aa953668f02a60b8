from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gl_assets.cli.main import cli
from resources.core.errors import ConfigError

GOOD = """\
site: plant
start: 2026-01-01T00:00:00Z
window: 30m
sources:
  plc:
    kind: modbus
    host: 127.0.0.1
    ca_certificate: nowhere/ca.pem
    tags:
      - {sensor_id: A.B, unit: Cel, address: 0}
  meters:
    kind: mqtt
    broker: {host: localhost, username: u, password: "${GL_TEST_PASSWORD}"}
    client_id: c
    topic_filters: ["a/#"]
    tags:
      - {sensor_id: A.C, unit: kW, topic: a/c}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "integrations.yaml"
    path.write_text(GOOD)
    return path


def _check(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["config", "check", *arguments])


def test_check_when_the_file_is_right_names_what_is_missing_beside_it(file: Path):
    result = _check(str(file), "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["sources"], said["tags"]) == (2, 2)
    assert said["missing_files"] == ["sources.plc.ca_certificate: nowhere/ca.pem does not exist"]
    assert said["unset_variables"] == ["GL_TEST_PASSWORD"]


def test_check_when_the_secret_is_set_does_not_name_or_show_it(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_TEST_PASSWORD", "hunter2")
    result = _check(str(file))
    assert "GL_TEST_PASSWORD" not in result.output
    assert "hunter2" not in result.output


def test_check_when_no_file_is_named_takes_the_one_of_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_CONFIG", str(file))
    assert json.loads(_check("--json").stdout)["file"] == str(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unit: Cel", "unit: Zork", "integrations.yaml:10: sources.plc.modbus.tags.0.unit: unknown unit 'Zork'"),
        ("sensor_id: A.C", "sensor_id: A.B", "sensor_id A.B is configured twice (sources plc and meters)"),
        ("host: 127.0.0.1", "hots: 127.0.0.1", "integrations.yaml:7: sources.plc.modbus.hots: unknown key"),
        ('"${GL_TEST_PASSWORD}"', "hunter2", "a secret must be written as ${NAME_OF_AN_ENVIRONMENT_VARIABLE}"),
        ("window: 30m", "window: 7m", "window 0:07:00: must be whole minutes from 1m to 1h that divide the hour"),
        ("start: 2026-01-01T00:00:00Z", "start: 2026-01-01T00:00:00", "integrations.yaml:2: start:"),
        ("site: plant", "site: plant\nsite: other", "the key occurs twice (first on line 1)"),
        ("host: 127.0.0.1", "host: ${GL_TEST_HOST}.local", "environment variable GL_TEST_HOST is not set"),
        ("window: 30m", "window: [", "not YAML"),
    ],
    ids=["unit", "duplicate", "unknown-key", "literal-secret", "window", "naive-start", "twice", "unset", "syntax"],
)
def test_check_when_the_file_is_wrong_names_file_line_and_key(file: Path, old: str, new: str, message: str):
    file.write_text(GOOD.replace(old, new))
    result = _check(str(file))
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert "hunter2" not in str(result.exception)


def test_check_when_the_windows_are_too_many_for_the_ui_names_one_that_fits(file: Path):
    file.write_text(GOOD.replace("30m", "1m").replace("2026-01-01", "2020-01-01"))
    result = _check(str(file))
    assert "set window to 30m or longer" in str(result.exception)


def test_check_when_the_file_is_missing_says_how_it_is_named(tmp_path: Path):
    assert "GL_CONFIG names the configuration file" in str(_check(str(tmp_path / "none.yaml")).exception)


def test_check_when_the_roster_of_the_agents_is_wrong_names_its_file_line_and_key(file: Path, tmp_path: Path):
    roster = tmp_path / "agents.yaml"
    roster.write_text("agents:\n  GL-002:\n    name: Boiler\n")
    agents = f"agents: {{broker: {{host: localhost}}, private_key: a.jwk, public_keys: b.jwks, roster: {roster}}}\n"
    file.write_text(GOOD + agents)
    assert str(_check(str(file)).exception) == "agents.yaml:2: agents.GL-002.type: Field required"
    roster.unlink()
    assert f"agents.roster: {roster} does not exist" in json.loads(_check(str(file), "--json").stdout)["missing_files"]
