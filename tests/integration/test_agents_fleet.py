"""The 99 simulated agents in their own process, as the demo runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from resources.agents.security.keys import generate_keys
from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, plain_broker, until

TARGETS = tuple(f"GL-{n:03d}" for n in range(2, 101))


class FleetProcess:
    """`python -m resources.demo_plant.agents` as a child."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._config = plant.folder / "integrations.yaml"
        broker = {"host": "127.0.0.1", "port": plant.broker.port, "tls": False, "insecure_plain_tcp": True}
        agents = {
            "broker": broker,
            "private_key": str(plant.keys / "GL-001.jwk"),
            "public_keys": str(plant.jwks),
            "targets": list(plant.targets),
        }
        self._config.write_text(yaml.safe_dump({"site": SITE, "window": "1m", "agents": agents}))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "resources.demo_plant.agents", "--config", str(self._config)]
        command += ["--keys", str(self._plant.keys), "--home", str(self._plant.folder / "fleet"), *options]
        self.process = subprocess.Popen(command)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    made = Plant(tmp_path, plain_broker(broker.port), database_url, TARGETS)
    generate_keys(made.keys, TARGETS)
    yield made
    made.leave()


@pytest.fixture
def fleet(plant: Plant) -> Iterator[FleetProcess]:
    process = FleetProcess(plant)
    yield process
    if process.process is not None and process.process.poll() is None:
        assert process.stop() == 0


def test_broadcast_when_99_agents_run_then_all_answer_and_are_registered(plant: Plant, fleet: FleetProcess) -> None:
    with plant.broadcaster() as broadcaster:
        fleet.start()
        online = "SELECT count(*) FROM agents.registry WHERE status = 'online'"
        until(lambda: plant.rows(online) == [(99,)], "99 agents online")
        args = {"objective": "efficiency", "load_share": 0.7}
        outcome = broadcaster.broadcast(plant.command("optimize", args=args))
        assert outcome.answered == 99
        assert all(r.result["efficiency_after"] >= r.result["efficiency_before"] for r in outcome.results)
        assert plant.rows("SELECT count(*), count(DISTINCT agent_id) FROM agents.responses") == [(99, 99)]
        assert plant.rows("SELECT state, count(*) FROM agents.deliveries GROUP BY 1") == [("answered", 99)]
        assert fleet.stop() == 0
        until(lambda: plant.rows(online) == [(0,)], "all left")


def test_agent_when_killed_after_started_then_it_answers_in_doubt_and_does_not_run_again(
    plant: Plant, fleet: FleetProcess
) -> None:
    with plant.broadcaster() as broadcaster:
        fleet.start("--only", "GL-007", "--crash", "GL-007")
        until(lambda: plant.rows("SELECT 1 FROM agents.registry"), "agent online")
        message_id = broadcaster.accept(plant.command("status", targets=["GL-007"])).message.message_id
        assert fleet.process is not None
        assert fleet.process.wait(60) == -9
        fleet.start("--only", "GL-007")
        until(lambda: broadcaster.results(message_id)[0].state not in ("queued", "sent"), "an answer after the crash")
        result = broadcaster.results(message_id)[0]
        assert (result.state, result.reason) == ("in_doubt", "the agent stopped while it ran this")


def test_fleet_when_told_to_misbehave_then_single_agents_are_late_or_silent(plant: Plant, fleet: FleetProcess) -> None:
    with plant.broadcaster() as broadcaster:
        fleet.start("--only", "GL-002", "GL-003", "GL-004", "--silent", "GL-002", "--slow", "GL-003=0.5")
        until(lambda: plant.rows("SELECT count(*) FROM agents.registry") == [(3,)], "agents online")
        outcome = broadcaster.broadcast(plant.command("status", targets=["GL-002", "GL-003", "GL-004"], timeout_s=4))
        assert [result.state for result in outcome.results] == ["expired", "answered", "answered"]


def test_answers_when_the_seed_is_the_same_then_the_same(plant: Plant, fleet: FleetProcess) -> None:
    found = []
    for _ in range(2):
        with plant.broadcaster() as broadcaster:
            fleet.start("--only", "GL-005", "--seed", "7")
            outcome = broadcaster.broadcast(plant.command("status", targets=["GL-005"]))
            found.append(outcome.results[0].result)
            assert fleet.stop() == 0
    assert found[0] == found[1] is not None
