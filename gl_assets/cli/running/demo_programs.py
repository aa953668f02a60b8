"""The processes that only the demo has: the broker, the simulated plant with its ERP, and the 99 agents."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gl_assets.cli.running.supervision import Program
from gl_assets.cli.state import Progress
from resources.agents.config import EVENT_TOPICS, AgentsConfig
from resources.agents.security.broker_access import BrokerAccess, write_broker_access
from resources.agents.security.keys import PUBLIC_KEYS_FILE, PublicKeys, generate_keys
from resources.demo_plant.configuration import PLANT_USER, PLATFORM_USER
from resources.demo_plant.setup import DemoSetup, prepare
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.ports import is_listening, remembered_port
from resources.embedded.programs import ServerPrograms
from resources.integrations import load_integrations

_OTHERS_ACL = f"""
user {PLATFORM_USER}
topic readwrite #

user {PLANT_USER}
topic readwrite #
topic deny gl/#

"""
"""The platform collects the plant's messages and orchestrates as well; the plant has no business with the agents."""


def prepare_demo(
    home: Path, servers: ServerPrograms, *, seed: int, progress: Progress
) -> tuple[list[Program], Mapping[str, str]]:
    """Return the demo's processes and what they, the collector and Dagster need in the environment.

    Args:
        home: Folder of the demo's state: certificates, keys, secrets, its integrations.yaml.
        servers: The programs to run the broker with.
        seed: Of the plant.
        progress: Told what takes a while.
    """
    progress("preparing the demo plant: certificates, keys, secrets, configuration")
    broker_home = home.parent / "mosquitto"
    broker_home.mkdir(parents=True, exist_ok=True)
    setup = prepare(home, broker_port=remembered_port(broker_home / "port"), seed=seed)
    config = load_integrations(setup.config)
    access = None
    if config.agents is not None:
        generate_keys(setup.keys, [config.agents.orchestrator_id, *config.agents.targets])
        access = _broker_access(setup, config.site, config.agents, servers)
    programs = [
        _broker(broker_home, servers, setup, access),
        _plant(home, setup, seed),
        _agents(home, setup, seed),
    ]
    return programs, {**setup.environment, "GL_CONFIG": str(setup.config)}


def _broker_access(setup: DemoSetup, site: str, agents: AgentsConfig, servers: ServerPrograms) -> BrokerAccess | None:
    """Return every agent's own user and topics; None where the broker has no access lists, and all share one user."""
    if servers.mosquitto is None:
        for path in setup.keys.glob("*.password"):
            path.unlink()
        return None
    keys = PublicKeys(setup.keys / PUBLIC_KEYS_FILE).entries()
    return write_broker_access(
        setup.keys,
        site,
        {entry.agent_id: entry.role for entry in keys if entry.use == "sig"},
        topics=dict.fromkeys((*EVENT_TOPICS, *agents.topics)),
        permissions=agents.permissions,
    )


def _broker(home: Path, servers: ServerPrograms, setup: DemoSetup, access: BrokerAccess | None) -> Program:
    issued = setup.broker_certificate
    options = BrokerOptions(setup.broker_users, issued.certificate, issued.key, issued.authority)
    if access is not None:
        acl, hashed = access.acl.read_text(encoding="utf-8"), access.passwords.read_text(encoding="utf-8")
        options = replace(options, acl=_OTHERS_ACL + acl, hashed_users=hashed)
    broker = EmbeddedBroker(home, servers, options, port=setup.state.broker_port)
    broker.prepare()
    return Program("mqtt-broker", broker.command(), 20, lambda: is_listening(broker.port))


def _plant(home: Path, setup: DemoSetup, seed: int) -> Program:
    command = [sys.executable, "-m", "resources.demo_plant", "--home", str(home), "--seed", str(seed)]
    return Program("demo-plant", command, 30, lambda: _is_healthy(f"{setup.control_url}/healthz"))


def _agents(home: Path, setup: DemoSetup, seed: int) -> Program:
    command = [
        sys.executable, "-m", "resources.demo_plant.agents", "--config", str(setup.config),
        "--keys", str(setup.keys), "--home", str(home / "agents"), "--seed", str(seed),
    ]  # fmt: skip
    return Program("demo-agents", command, 40, lambda: True)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - always http on loopback
            return bool(answer.status == 200)
    except OSError:
        return False
