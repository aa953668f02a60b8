"""`gl write` and `gl writes`, against a real broker with a device behind it, and a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gl_assets.cli.main import cli
from gl_assets.cli.site import write as module
from resources.core.errors import ConfigError
from resources.embedded.broker import EmbeddedBroker
from resources.embedded.postgres import EmbeddedPostgres
from resources.write_back import person_here
from tests.conftest import fresh_database
from tests.setpoint_plant import Device, configuration


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def plant(tmp_path: Path, url: str, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    path = tmp_path / "integrations.yaml"
    path.write_text(yaml.safe_dump(configuration(broker.port, f"s{abs(hash(tmp_path)) % 10**9}")))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", url)
    monkeypatch.setattr(module, "interrupt_on_signals", lambda: None)
    device = Device(broker.port)
    yield device
    device.stop()


def gl(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_write_when_rehearsed_confirmed_and_refused_then_words_and_exit_codes_say_so(plant: Device) -> None:
    assert "B1.SP: 40 → 45 bar  dry run: would be sent, in place of 40: --confirm sends it (row " in gl(
        "write", "B1.SP", "45"
    ).output.replace("\n", " ")
    assert "written: read back as -5" in gl("write", "B1.SP", "-5", "--confirm").output
    assert "refused: it is read-only" in gl("write", "B1.P", "1", "--confirm", code=1).output
    refused = json.loads(gl("write", "B1.SP", "60", "--json", code=1).stdout)
    assert (refused["outcome"], refused["old_value"]) == ("refused", -5.0)
    assert "is a step of 65" in refused["reason"]

    rows = json.loads(gl("writes", "--json").stdout)
    assert [row["outcome"] for row in rows] == ["refused", "refused", "written", "dry_run"]
    assert {row["requested_by"] for row in rows} == {person_here("gl write").by}
    assert len(json.loads(gl("writes", "--sensor", "B1.P", "--json").stdout)) == 1
    table = gl("writes", "--limit", "2").output
    assert "read-only" in table
    assert "dry run" not in table


def test_list_when_asked_then_only_writable_tags_are_shown(plant: Device) -> None:
    (row,) = json.loads(gl("write", "--list", "--json").stdout)
    assert {name: row[name] for name in ("sensor_id", "source", "unit", "minimum", "maximum", "max_step")} == {
        "sensor_id": "B1.SP",
        "source": "boilers",
        "unit": "bar",
        "minimum": -10.0,
        "maximum": 60.0,
        "max_step": 50.0,
    }
    table = gl("write", "--list").output
    assert "B1.SP" in table
    assert "B1.P " not in table
    assert "nothing was ever asked to be written" in gl("writes").output


@pytest.mark.parametrize("arguments", [[], ["B1.SP"], ["B1.SP", "high"], ["B1.SP", "41", "--cofirm"]], ids=str)
def test_write_when_misused_then_nothing_is_sent_and_usage_is_told(plant: Device, arguments: list[str]) -> None:
    assert "Usage:" in gl("write", *arguments, code=2).output
    assert "nothing was ever" in gl("writes").output


def test_write_when_no_database_runs_then_it_is_refused_and_says_what_to_start(
    plant: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GL_DATABASE_URL")
    result = CliRunner().invoke(cli, ["write", "B1.SP", "41", "--confirm"])
    assert isinstance(result.exception, ConfigError)
    assert "nothing was sent. Start the platform with `gl up`" in str(result.exception)


def test_list_when_no_tag_is_writable_then_it_says_how_one_becomes_so(
    plant: Device, tmp_path: Path, broker: EmbeddedBroker
) -> None:
    changed = configuration(broker.port, "north")
    del changed["sources"]["boilers"]["tags"][0]
    (tmp_path / "integrations.yaml").write_text(yaml.safe_dump(changed))
    assert "needs a block `writable`" in gl("write", "--list").output


def test_person_when_variables_lie_then_the_operating_system_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = person_here("gl write").by
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, "somebody-else")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.3 50000 10.0.0.1 22")
    found = person_here("gl write")
    assert found.by == before
    assert found.host.endswith("(ssh from 10.0.0.3)")
