"""agents.yaml: what it may say, what a fault of it is called, and reading it again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from resources.agents.config import AgentsConfig
from resources.agents.members.roster import RosterFile, everyone, load_roster
from resources.core.errors import ConfigError
from resources.demo_plant.roster import AGENT_IDS, write_roster
from resources.transport.broker import BrokerConfig

REPOSITORY = Path(__file__).resolve().parents[4]

GOOD = """\
agents:
  GL-002:
    name: "Boiler house 1: boiler 2"
    type: boiler
    capabilities: [status, optimize]
  GL-003:
    name: Furnace
    type: furnace
"""


def test_roster_when_right_then_every_agent_with_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(GOOD)
    roster = load_roster(file)
    assert list(roster.agents) == ["GL-002", "GL-003"]
    assert roster.agents["GL-002"].capabilities == ("status", "optimize")
    assert roster.agents["GL-003"].capabilities == ()


def test_everyone_when_the_roster_declares_targets_and_others_then_each_once_the_orchestrator_first(
    tmp_path: Path,
) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(GOOD)
    agents = AgentsConfig(
        broker=BrokerConfig(host="127.0.0.1"),
        private_key=tmp_path / "GL-001.jwk",
        public_keys=tmp_path / "public-keys.jwks",
        targets=("GL-003", "GL-007"),
    )
    assert everyone(agents) == ("GL-001", "GL-003", "GL-007")
    assert everyone(agents.model_copy(update={"roster": file})) == ("GL-001", "GL-003", "GL-007", "GL-002")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "agents:\n  GL-002: {name: A, type: b}\n  GL-002: {name: B, type: b}\n",
            r"agents.yaml:3: agents.GL-002: .*twice",
        ),
        ("agents:\n  GL-002: {name: A, type: b}\n  GL 3: {name: B, type: b}\n", r"agents.yaml:3: agents.GL 3: "),
        ("agents:\n  GL-002:\n    name: A\n", r"agents.yaml:2: agents.GL-002.type: Field required"),
        (
            "agents:\n  GL-002:\n    name: A\n    type: b\n    kind: c\n",
            r"agents.yaml:5: agents.GL-002.kind: unknown key",
        ),
        (
            "agents:\n  GL-002:\n    name: A\n    type: b\n    capabilities: [heat, cool, heat]\n",
            r"agents.yaml:5: agents.GL-002.capabilities: heat stands there twice",
        ),
        (
            "agents:\n  GL-002:\n    name: A\n    type: b\n    capabilities:\n      - heat\n      - two words\n",
            r"agents.yaml:7: agents.GL-002.capabilities.1: ",
        ),
        ('agents:\n  GL-002:\n    name: "A\\0"\n    type: b\n', r"agents.yaml:3: agents.GL-002.name: "),
        ("agents:\n  GL-002:\n    name: A\n    type: b\n    capabilities: heat\n", r"agents.yaml:5: agents.GL-002"),
        ("agents: {}\n", r"agents.yaml:1: agents: "),
        ("", r"agents.yaml:1: agents: Field required"),
        ("agents: [\n", r"agents.yaml:\d: not YAML"),
    ],
)
def test_roster_when_wrong_then_file_line_and_key_are_named(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        load_roster(file)


def test_roster_when_missing_then_the_message_names_the_key_and_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agents.roster: .*nothing.yaml does not exist"):
        load_roster(tmp_path / "nothing.yaml")


def test_roster_of_the_demo_when_written_then_it_declares_99_agents(tmp_path: Path) -> None:
    write_roster(tmp_path / "agents.yaml")
    agents = load_roster(tmp_path / "agents.yaml").agents
    assert tuple(agents) == AGENT_IDS
    assert len(agents) == 99
    assert all("optimize" in agent.capabilities for agent in agents.values())


def replace(file: Path, text: str) -> None:
    """Write a file anew, as editors do: another inode, so that the change shows whatever the clock's grain."""
    other = file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, file)


def test_roster_file_when_it_changes_then_read_again_and_while_broken_the_last_good_one_counts(tmp_path: Path) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(GOOD)
    watched = RosterFile(file)
    assert watched.take_changed() is None
    replace(file, GOOD + "  GL-004: {name: New, type: boiler}\n")
    found = watched.take_changed()
    assert found is not None
    assert "GL-004" in found.agents
    replace(file, "agents: [\n")
    with capture_logs() as logs:
        assert watched.take_changed() is None
        assert watched.take_changed() is None
    assert [entry["event"] for entry in logs] == ["agents_roster_unreadable"]
    file.unlink()
    assert watched.take_changed() is None
    assert watched.roster == found
    replace(file, GOOD + "  GL-004: {name: New, type: boiler}\n# a remark changes nothing\n")
    assert watched.take_changed() is None


def test_roster_of_the_how_to_when_copied_then_it_is_right(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "how-to" / "agents-registry.md").read_text()
    file = tmp_path / "agents.yaml"
    file.write_text(text.split("```yaml\n")[1].split("```")[0])
    assert list(load_roster(file).agents) == ["GL-002", "GL-003"]
