"""The demo's broker: each of its agents logs in as itself, and reaches its own topics only."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from gl_assets.cli.running.demo_programs import prepare_demo
from resources.agents.broadcaster import Broadcaster
from resources.agents.requests import Command
from resources.agents.security.broker_access import password_path
from resources.demo_plant.agents import Fleet, FleetConfig
from resources.embedded.ports import is_listening
from resources.embedded.process import ServerProcess
from resources.embedded.programs import ServerPrograms, find_programs
from resources.integrations import load_integrations


def test_demo_when_its_broker_runs_then_each_agent_logs_in_as_itself_and_answers(
    tmp_path: Path, programs: ServerPrograms, server_folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = server_folder / "demo-broker" / "demo"
    found, environment = prepare_demo(home, programs, seed=1, progress=lambda _: None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # were they to share a user, they could not get in
    monkeypatch.setenv("MQTT_AGENTS_PASSWORD", "not theirs")
    config = load_integrations()
    assert config.agents is not None
    port = config.agents.broker.port
    broker = ServerProcess("mqtt broker", found[0].command, log=tmp_path / "broker.log")
    broker.start(lambda: is_listening(port))
    agents = config.agents.model_copy(update={"targets": ("GL-002", "GL-050", "GL-100")})
    fleet = Fleet(FleetConfig(site=config.site, agents=agents), keys=home / "keys", home=tmp_path)
    try:
        fleet.start()
        fleet.wait_connected()
        with Broadcaster(agents, site=config.site, database_url=database_url) as broadcaster:
            outcome = broadcaster.broadcast(Command("status", {}, agents.targets, 60.0))
        assert outcome.answered == 3
    finally:
        fleet.stop()
        broker.stop(signal.SIGTERM)


def test_demo_when_its_broker_has_no_access_lists_then_the_agents_share_a_user(server_folder: Path) -> None:
    home = server_folder / "demo-amqtt" / "demo"
    (home / "keys").mkdir(parents=True)
    password_path(home / "keys", "GL-002").write_text("of a time with Mosquitto")
    prepare_demo(home, find_programs(print, wheels=True), seed=1, progress=lambda _: None)
    assert not password_path(home / "keys", "GL-002").exists()
