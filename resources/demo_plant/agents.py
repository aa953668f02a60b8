"""`python -m resources.demo_plant.agents`: the 99 simulated agents, GL-002 to GL-100, in one process.

Each has its own connection, session and key, and answers `status` and `optimize` from a small combustion model with
its own seed. What it can be told to do wrong is for tests: keep silent, be slow, or die in the middle of a command.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict

from resources.agents.agent import Agent, AgentRuntime, AgentSettings, Call
from resources.agents.config import AgentsConfig
from resources.agents.mqtt.network import Network
from resources.agents.sdk.executor import PriorityExecutor
from resources.agents.security.broker_access import own_user, password_path
from resources.agents.security.keys import PublicKeys
from resources.agents.seen_store import SeenStore
from resources.core.configuration.settings import EnvSecret, Name, load_yaml
from resources.core.errors import PlatformError
from resources.core.process.logs import setup_logging
from resources.core.process.memory import collect_rarely, release_unused
from resources.demo_plant.roster import kind_of, name_of
from resources.transport.broker import BrokerConfig

log = structlog.get_logger(__name__)

USER, PASSWORD_VARIABLE = "agents", "MQTT_AGENTS_PASSWORD"
"""The one user of all agents at a broker without users of their own, where that variable is set."""

OPTIMIZE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "objective": {"enum": ["efficiency", "cost", "emissions"]},
        "load_share": {"type": "number", "minimum": 0.1, "maximum": 1.2},
    },
    "required": ["objective"],
    "additionalProperties": False,
}
"""Arguments of `optimize`."""

STATUS_SCHEMA: dict[str, Any] = {"type": "object", "additionalProperties": False}
"""Arguments of `status`: none."""


class FleetConfig(BaseModel):
    """What the fleet needs of `integrations.yaml`; the rest is not its business."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    site: Name
    agents: AgentsConfig


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What single agents do wrong."""

    silent: frozenset[str] = frozenset()
    """Never answer: their handler waits until the process ends."""
    slow: dict[str, float] = field(default_factory=dict)
    """Answer so many seconds late."""
    crash: frozenset[str] = frozenset()
    """End the whole process, as kill -9 does, once the command is recorded as started."""


class SimulatedAgent:
    """The model behind one agent: the same seed and arguments give the same answer."""

    def __init__(self, agent_id: str, seed: int) -> None:
        """Draw the unit's traits from the seed."""
        draw = random.Random(f"{seed}/{agent_id}")
        self.agent_id = agent_id
        self.kind, self.capabilities = kind_of(agent_id)
        self._rating_kw = round(draw.uniform(800, 12_000))
        self._oxygen = draw.uniform(3.5, 6.5)
        self._stack_c = draw.uniform(150, 230)
        self._load = draw.uniform(0.45, 0.95)

    def status(self) -> dict[str, Any]:
        """Return how the unit runs."""
        return {
            "state": "running",
            "load_share": round(self._load, 3),
            "heat_kw": round(self._rating_kw * self._load, 1),
            "efficiency": round(self._efficiency(self._oxygen, self._stack_c), 4),
        }

    def optimize(self, objective: str, load_share: float | None) -> dict[str, Any]:
        """Return the excess oxygen to aim at and what it saves: less air, less heat up the stack."""
        load = self._load if load_share is None else load_share
        # a burner needs more air at low load; emissions ask for a margin above the economic optimum
        target = 2.0 + 1.5 * max(0.0, 0.8 - load) + (0.8 if objective == "emissions" else 0.0)
        target = min(target, self._oxygen)
        before = self._efficiency(self._oxygen, self._stack_c)
        after = self._efficiency(target, self._stack_c - 3.0 * (self._oxygen - target))
        return {
            "objective": objective,
            "oxygen_setpoint_percent": round(target, 2),
            "efficiency_before": round(before, 4),
            "efficiency_after": round(after, 4),
            "fuel_saved_kw": round(self._rating_kw * load * (1 / before - 1 / after), 2),
        }

    @staticmethod
    def _efficiency(oxygen_percent: float, stack_c: float, ambient_c: float = 20.0) -> float:
        """Return 1 minus the dry stack loss by Siegert's formula (natural gas: A2 0.66, B 0.009)."""
        return 1 - (stack_c - ambient_c) * (0.66 / (21 - oxygen_percent) + 0.009) / 100


class Fleet:
    """Simulated agents that share one store, one network thread and one pool for their handlers."""

    def __init__(
        self, config: FleetConfig, *, keys: Path, home: Path, seed: int = 1, wrong: Misbehaviour | None = None
    ):
        """Make the agents of `config.agents.targets`; nothing is opened yet."""
        self._wrong = wrong or Misbehaviour()
        self._ending = threading.Event()
        # the model only calculates: more threads than processors would stand in each other's way
        self._executor = PriorityExecutor(2 + len(self._wrong.silent) + len(self._wrong.slow))
        self._runtime = AgentRuntime(Network(), self._executor)
        self._store = SeenStore(home / "agents.sqlite")
        public = PublicKeys(config.agents.public_keys)
        self.agents: dict[str, Agent] = {}
        for agent_id in config.agents.targets:
            model = SimulatedAgent(agent_id, seed)
            settings = AgentSettings(
                site=config.site,
                broker=_own_user(config, agent_id, keys),
                private_key=keys / f"{agent_id}.jwk",
                public_keys=public,
                agent_name=name_of(agent_id),
                agent_type=model.kind,
                capabilities=model.capabilities,
                orchestrator_id=config.agents.orchestrator_id,
                permissions=config.agents.permissions,
            )
            agent = Agent(settings, self._store, runtime=self._runtime)
            self._declare(agent, model)
            self.agents[agent_id] = agent

    def start(self) -> None:
        """Connect all agents."""
        for agent in self.agents.values():
            agent.start()

    def wait_connected(self, timeout_s: float = 60.0) -> None:
        """Return when all are connected; UnreachableError if that takes longer."""
        ends = time.monotonic() + timeout_s
        for agent in self.agents.values():
            agent.wait_connected(max(0.1, ends - time.monotonic()))

    def stop(self) -> None:
        """Have all agents leave cleanly."""
        self._ending.set()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(Agent.stop, self.agents.values()))
        self._executor.shutdown()
        self._runtime.network.close()
        self._store.close()

    def _declare(self, agent: Agent, model: SimulatedAgent) -> None:
        @agent.command("status", schema=STATUS_SCHEMA)
        def status(_args: dict[str, Any], _call: Call) -> Any:
            self._misbehave(model.agent_id)
            return model.status()

        @agent.command("optimize", schema=OPTIMIZE_SCHEMA)
        def optimize(args: dict[str, Any], _call: Call) -> Any:
            self._misbehave(model.agent_id)
            return model.optimize(args["objective"], args.get("load_share"))

    def _misbehave(self, agent_id: str) -> None:
        if agent_id in self._wrong.crash:
            os.kill(os.getpid(), signal.SIGKILL)
        if agent_id in self._wrong.silent:
            self._ending.wait()
        if agent_id in self._wrong.slow:
            self._ending.wait(self._wrong.slow[agent_id])


def _own_user(config: FleetConfig, agent_id: str, keys: Path) -> BrokerConfig:
    """Return how one agent logs in: as itself where it has a password, else as the user of them all."""
    broker = config.agents.broker
    if password_path(keys, agent_id).exists():
        return own_user(broker, config.site, agent_id, keys)
    if not os.environ.get(PASSWORD_VARIABLE):
        return broker
    return broker.model_copy(update={"username": USER, "password": EnvSecret(PASSWORD_VARIABLE)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fleet until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m resources.demo_plant.agents", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="integrations.yaml with site and agents")
    parser.add_argument("--keys", type=Path, required=True, help="folder of the <agent_id>.jwk files")
    parser.add_argument("--home", type=Path, required=True, help="folder of the agents' store")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same answers")
    parser.add_argument("--only", nargs="+", metavar="ID", help="only these agents")
    parser.add_argument("--silent", nargs="+", default=[], metavar="ID", help="agents that never answer")
    parser.add_argument("--slow", nargs="+", default=[], metavar="ID=SECONDS", help="agents that answer late")
    parser.add_argument(
        "--crash", nargs="+", default=[], metavar="ID", help="agents that kill the process in a command"
    )
    given = parser.parse_args(arguments)
    setup_logging()
    try:
        config = load_yaml(given.config, FleetConfig)
        if given.only:
            config = config.model_copy(update={"agents": config.agents.model_copy(update={"targets": given.only})})
        slow = {agent: float(seconds) for agent, _, seconds in (item.partition("=") for item in given.slow)}
        wrong = Misbehaviour(frozenset(given.silent), slow, frozenset(given.crash))
        fleet = Fleet(config, keys=given.keys, home=given.home, seed=given.seed, wrong=wrong)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command's own message
        return 1
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    fleet.start()
    release_unused()
    collect_rarely()
    log.info("demo_agents_started", agents=len(fleet.agents))
    ending.wait()
    fleet.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
