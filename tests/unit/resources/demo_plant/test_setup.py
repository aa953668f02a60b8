from __future__ import annotations

import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import ConfigError
from resources.demo_plant import __main__ as program
from resources.demo_plant.plant import SENSORS
from resources.demo_plant.setup import SECRETS, load_secrets, load_state, prepare, start_of
from resources.integrations import load_integrations

NOW = ManualClock(datetime(2026, 11, 22, 10, 17, 5, tzinfo=UTC))


def test_prepare_when_called_then_the_configuration_loads_and_names_every_sensor(tmp_path: Path) -> None:
    setup = prepare(tmp_path / "demo", broker_port=8883, clock=NOW)
    config = load_integrations(setup.config)
    assert config.start == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert len(config.tags()) == 200
    assert {name: len(source.tags) for name, source in config.sources.items()} == {
        n: len(s) for n, s in SENSORS.items()
    }
    assert set(config.boilers) == {"boiler_1", "boiler_2"}
    assert config.erp.start == datetime(2024, 11, 22, tzinfo=UTC)
    assert [system.kind for system in config.erp.systems.values()] == ["sap", "oracle", "dynamics", "workday"]
    assert config.agents is not None
    assert config.agents.private_key == setup.keys / "GL-001.jwk"


def test_prepare_when_called_then_secrets_are_private_and_nowhere_in_the_configuration(tmp_path: Path) -> None:
    setup = prepare(tmp_path / "demo", broker_port=8883)
    assert stat.S_IMODE((setup.home / "secrets.env").stat().st_mode) == 0o600
    assert set(setup.environment) == set(SECRETS)
    assert len(set(setup.environment.values())) == len(SECRETS)
    text = setup.config.read_text() + (setup.home / "plant.json").read_text()
    assert not any(secret in text for secret in setup.environment.values())
    assert set(setup.broker_users) == {"platform", "demo-plant", "agents"}


def test_prepare_when_called_again_then_keeps_secrets_start_ports_and_seed(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 22, 10, 17, 5, tzinfo=UTC))
    first = prepare(tmp_path / "demo", broker_port=8883, seed=5, clock=clock)
    clock.advance(86_400)
    again = prepare(tmp_path / "demo", broker_port=8884, clock=clock)
    assert again.environment == first.environment
    assert again.state.start == first.state.start
    assert start_of(again.state) == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert again.state.ports == first.state.ports
    assert again.state.seed == 5
    assert load_state(again.home).broker_port == 8884
    assert again.control_url.endswith(str(first.state.ports["control"]))


def test_prepare_when_a_port_was_taken_meanwhile_then_chooses_another(tmp_path: Path) -> None:
    first = prepare(tmp_path / "demo", broker_port=8883)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.state.ports["modbus"]))
        other.listen()
        again = prepare(tmp_path / "demo", broker_port=8883)
    assert again.state.ports["modbus"] != first.state.ports["modbus"]
    assert again.state.ports["opc_ua"] == first.state.ports["opc_ua"]


def test_load_secrets_when_a_variable_is_set_then_it_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = prepare(tmp_path / "demo", broker_port=8883)
    monkeypatch.setenv("SCADA_PASSWORD", "mine")
    found = load_secrets(setup.home)
    assert found["SCADA_PASSWORD"] == "mine"
    assert found["MQTT_PASSWORD"] == setup.environment["MQTT_PASSWORD"]


def test_load_state_when_never_prepared_then_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gl up --demo"):
        load_state(tmp_path)


def test_program_when_never_prepared_then_ends_with_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--home", str(tmp_path), "--log-level", "error"]) == 1
    assert "gl up --demo" in capsys.readouterr().err
