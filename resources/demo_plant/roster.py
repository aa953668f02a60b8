"""The demo's 99 agents: what each is and can do, as `agents.yaml` declares it and as it says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("boiler", ("status", "optimize", "excess_air", "load_dispatch")),
    ("furnace", ("status", "optimize", "excess_air")),
    ("heat_exchanger", ("status", "optimize", "fouling")),
    ("steam_distribution", ("status", "optimize", "pressure_reset")),
    ("heat_recovery", ("status", "optimize", "economizer")),
)
"""Kind of agent -> its capabilities; the agents take them in turn."""

AGENT_IDS = tuple(f"GL-{number:03d}" for number in range(2, 101))
"""The agents of the demo."""

_HEADER = """\
# The demo's agents: written anew by each `gl up --demo`, so do not edit it here. docs/how-to/agents.md explains it.
"""


def kind_of(agent_id: str) -> tuple[str, tuple[str, ...]]:
    """Return the kind of an agent and its capabilities."""
    turn = int(agent_id[-3:]) if agent_id[-3:].isdigit() else 0
    return KINDS[turn % len(KINDS)]


def name_of(agent_id: str) -> str:
    """Return what people call an agent."""
    return f"{kind_of(agent_id)[0].replace('_', ' ')} {agent_id}"


def roster(agent_ids: Iterable[str] = AGENT_IDS) -> dict[str, Any]:
    """Return the roster as it stands in the file."""
    agents = {}
    for agent_id in agent_ids:
        kind, capabilities = kind_of(agent_id)
        agents[agent_id] = {"name": name_of(agent_id), "type": kind, "capabilities": list(capabilities)}
    return {"agents": agents}


def write_roster(file: Path) -> None:
    """Write the demo's `agents.yaml`."""
    file.write_text(_HEADER + yaml.safe_dump(roster(), sort_keys=False, default_flow_style=None), encoding="utf-8")
