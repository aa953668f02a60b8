"""The registry on a real broker and database: declared, discovered, unwell and gone; scores; the directory; `gl agents`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from gl_assets.cli.coordination import agent_registry
from gl_assets.cli.coordination.agents import agents as agents_command
from resources.agents.members.directory import CapabilityQuery, Directory
from resources.agents.members.registry_rows import declare, load_scores, load_states, write_scores
from resources.agents.members.roster import Roster, load_roster
from resources.agents.members.score import Score
from resources.agents.orchestration.orchestrator import Orchestrator
from resources.agents.orchestration.registry_keeper import RegistryKeeper
from resources.agents.record.recorder import Recorder
from resources.core.clock import ManualClock
from resources.core.errors import ConfigError
from tests.agents_support import SITE, Plant, until

ROSTER = {
    "GL-002": {"name": "Boiler 2", "type": "boiler", "capabilities": ["status", "optimize"]},
    "GL-004": {"name": "Furnace 4", "type": "furnace", "capabilities": ["status", "excess_air"]},
}


@contextmanager
def orchestrating(plant: Plant, roster: dict[str, Any] | None = None) -> Iterator[Orchestrator]:
    file = plant.folder / "agents.yaml"
    if roster is not None:
        file.write_text(yaml.safe_dump({"agents": roster}))
    config = plant.config.model_copy(update={"roster": None if roster is None else file})
    orchestrator = Orchestrator(config, site=SITE, database_url=plant.database_url)
    assert orchestrator.try_start()
    try:
        orchestrator.wait_connected()
        yield orchestrator
    finally:
        orchestrator.stop()


def registered(plant: Plant) -> dict[str, tuple[Any, ...]]:
    rows = plant.rows("SELECT agent_id, status, declared, status_reason, capabilities FROM agents.registry")
    return {row[0]: row[1:] for row in rows}


def test_registry_when_a_roster_declares_agents_then_they_are_there_before_their_first_heartbeat(plant: Plant) -> None:
    never = ("offline", True, "never heard of")
    with orchestrating(plant, ROSTER):
        until(lambda: len(registered(plant)) == 2, "declared")
        assert registered(plant) == {
            "GL-002": (*never, ["status", "optimize"]),
            "GL-004": (*never, ["status", "excess_air"]),
        }
        for agent_id in ("GL-002", "GL-003"):
            plant.agent(agent_id)
        until(lambda: [row[0] for row in registered(plant).values()].count("online") == 2, "two heard of")
        # what the heartbeat says goes before what the file says; the other one joined by itself
        assert registered(plant) == {
            "GL-002": ("online", True, None, ["heat"]),
            "GL-003": ("online", False, None, ["heat"]),
            "GL-004": (*never, ["status", "excess_air"]),
        }
        plant.leave()
        until(lambda: [row[0] for row in registered(plant).values()].count("offline") == 3, "all left")
        assert registered(plant)["GL-002"][2] == "it left, or its connection was lost"


def test_registry_when_the_roster_is_wrong_then_the_orchestrator_says_where(plant: Plant) -> None:
    wrong = pytest.raises(ConfigError, match=r"agents.yaml:\d+: agents.GL-002.type: Field required")
    with wrong, orchestrating(plant, {"GL-002": {"name": "Boiler"}}):
        pass


def test_declare_when_agents_leave_the_roster_then_only_those_heard_of_stay_as_discovered(plant: Plant) -> None:
    whole = Roster.model_validate({"agents": ROSTER | {"GL-005": ROSTER["GL-002"]}})
    fewer = Roster.model_validate({"agents": {"GL-005": {"name": "Anew", "type": "boiler"}}})
    with psycopg.connect(plant.database_url, autocommit=True) as connection:
        declare(connection, whole, "elsewhere")
        declare(connection, Roster.model_validate({"agents": {"GL-009": ROSTER["GL-002"]}}), SITE)
        declare(connection, whole, SITE)
        assert sorted(registered(plant)) == ["GL-002", "GL-004", "GL-005"]
        connection.execute(
            "UPDATE agents.registry SET last_heartbeat = now(), status = 'online' WHERE agent_id = 'GL-002'"
        )
        declare(connection, fewer, SITE)
    assert {agent: row[:2] for agent, row in registered(plant).items()} == {
        "GL-002": ("online", False),
        "GL-005": ("offline", True),
    }
    assert plant.rows("SELECT agent_name FROM agents.registry WHERE agent_id = 'GL-005'") == [("Anew",)]


def test_scores_when_answers_come_or_fail_then_they_are_stored_and_taken_over(plant: Plant) -> None:
    with orchestrating(plant), plant.broadcaster() as broadcaster:
        for agent_id in plant.targets:
            plant.agent(agent_id)
        until(lambda: len(registered(plant)) == 2, "heard of")
        broadcaster.broadcast(plant.command("count", targets=["GL-002"]))
        broadcaster.broadcast(plant.command("unknown", targets=["GL-003"], check_args=False))
    scores = dict(plant.rows("SELECT agent_id, performance_score FROM agents.registry"))
    assert scores["GL-002"] > 0.5 > scores["GL-003"]
    with psycopg.connect(plant.database_url) as connection:
        found = load_scores(connection)
        states = {state.agent_id: state for state in load_states(connection)}
    with Directory(plant.database_url) as directory:
        best, second = directory.find(CapabilityQuery(all=["heat"]), only_online=False)
        assert (best.agent_id, second.agent_id) == ("GL-002", "GL-003")
        assert [command["name"] for command in best.commands] == ["count", "emergency"]
    assert found["GL-002"].value == pytest.approx(scores["GL-002"])
    assert found["GL-003"].weight == pytest.approx(1.0, abs=0.01)
    assert states["GL-002"].commands[0]["name"] == "count"
    with orchestrating(plant):
        pass
    assert dict(plant.rows("SELECT agent_id, performance_score FROM agents.registry")) == scores


@contextmanager
def keeping(plant: Plant, clock: ManualClock, roster: Path) -> Iterator[RegistryKeeper]:
    config = plant.config.model_copy(update={"roster": roster})
    recorder = Recorder(plant.database_url)
    keeper = RegistryKeeper(config, site=SITE, recorder=recorder, clock=clock)
    with psycopg.connect(plant.database_url) as connection:
        keeper.restore(connection)
    recorder.start()
    try:
        yield keeper
    finally:
        keeper.write_scores()
        recorder.close()


def listen(keeper: RegistryKeeper, clock: ManualClock, seconds: int, *, connected: bool = True) -> None:
    for _ in range(seconds // 5):
        keeper.look_around(connected=connected)
        clock.advance(5)
    keeper.look_around(connected=connected)


def noted(keeper: RegistryKeeper) -> tuple[str, str | None]:
    state = keeper.get("GL-002")
    assert state is not None
    return state.status, state.reason


def test_keeper_when_nobody_listened_for_a_while_then_no_agent_has_gone_before_it_was_silent_for_90_s(
    plant: Plant,
) -> None:
    clock = ManualClock(datetime.now(UTC))
    with orchestrating(plant):
        plant.agent("GL-002")
        until(lambda: "GL-002" in registered(plant), "heard of")
    roster = plant.folder / "agents.yaml"
    roster.write_text(yaml.safe_dump({"agents": ROSTER}))
    clock.advance(600)
    with keeping(plant, clock, roster) as keeper:
        listen(keeper, clock, 90)
        assert noted(keeper) == ("online", None), "the platform was started anew"
        listen(keeper, clock, 200, connected=False)
        listen(keeper, clock, 90)
        assert noted(keeper) == ("online", None), "the broker was away"
        clock.advance(600)
        listen(keeper, clock, 90)
        assert noted(keeper) == ("online", None), "this process stood still"
        listen(keeper, clock, 10)
        gone = ("offline", "3 or more heartbeats missed")
        assert noted(keeper) == gone
        clock.advance(600)
        listen(keeper, clock, 100)
        assert noted(keeper) == gone, "it does not come back by itself"


def test_keeper_when_time_passes_then_it_notes_silence_fading_and_another_roster(plant: Plant) -> None:
    clock = ManualClock(datetime.now(UTC))
    with orchestrating(plant):
        plant.agent("GL-002")
        until(lambda: "GL-002" in registered(plant), "heard of")
    with psycopg.connect(plant.database_url) as connection:
        write_scores(connection, {"GL-002": Score(8.0, 8.0, clock.now())})
    roster = plant.folder / "agents.yaml"
    roster.write_text(yaml.safe_dump({"agents": ROSTER}))
    with keeping(plant, clock, roster) as keeper:
        until(lambda: "GL-004" in registered(plant), "declared")
        known = keeper.get("GL-002")
        assert known is not None
        assert known.status == "online"
        keeper.missed("GL-002")
        keeper.missed("GL-004")
        clock.advance(31)
        other = plant.folder / "other.yaml"
        other.write_text(yaml.safe_dump({"agents": {"GL-005": ROSTER["GL-004"]}}))
        other.replace(roster)
        keeper.look_around(connected=True)
        until(lambda: "GL-005" in registered(plant), "the roster was read again")
        assert sorted(registered(plant)) == ["GL-002", "GL-005"]
        missed = plant.rows("SELECT performance_score FROM agents.registry WHERE agent_id = 'GL-002'")
        assert missed[0][0] == pytest.approx(8.5 / 10, abs=0.01)
        clock.advance(3570)
        listen(keeper, clock, 100)
        until(lambda: registered(plant)["GL-002"][0] == "offline", "silent")
        keeper.missed("GL-002")
    ((score, weight),) = plant.rows(
        "SELECT performance_score, score_weight FROM agents.registry WHERE agent_id = 'GL-002'"
    )
    assert weight == pytest.approx(4.5, abs=0.05)
    assert score == pytest.approx((0.5 + 4) / 5.5, abs=0.01)


def test_gl_agents_list_when_asked_by_capability_status_and_type_then_only_those(plant: Plant, gl: CliRunner) -> None:
    file = plant.folder / "agents.yaml"
    file.write_text(yaml.safe_dump({"agents": ROSTER}))
    with psycopg.connect(plant.database_url, autocommit=True) as connection:
        declare(connection, load_roster(file), SITE)
        connection.execute(
            "INSERT INTO agents.registry (agent_id, agent_name, agent_type, capabilities, status, last_heartbeat) "
            "SELECT 'A-0000' || n, 'agent', 'boiler', array['all', 'c' || n], 'online', now() "
            "FROM generate_series(1, 2) n"
        )

    def listed(*options: str) -> list[str]:
        result = gl.invoke(agents_command, ["list", "--json", *options])
        assert result.exit_code == 0, result.output
        return [row["agent_id"] for row in json.loads(result.stdout)]

    assert listed() == ["A-00001", "A-00002", "GL-002", "GL-004"]
    assert listed("--can", "status", "--cannot", "optimize") == ["GL-004"]
    assert listed("--can-any", "c1", "--can-any", "optimize") == ["A-00001", "GL-002"]
    assert listed("--status", "online") == ["A-00001", "A-00002"]
    assert listed("--type", "furnace") == ["GL-004"]
    table = gl.invoke(agents_command, ["list", "--type", "furnace"]).stdout
    assert "never heard of" in table
    assert "1 of 4 agents" in table


def test_gl_agents_health_when_agents_answered_or_are_unknown_then_scores_and_reasons(
    plant: Plant, gl: CliRunner
) -> None:
    with orchestrating(plant), plant.broadcaster() as broadcaster:
        plant.agent("GL-002")
        until(lambda: len(registered(plant)) == 1, "heard of")
        broadcaster.broadcast(plant.command("count", targets=["GL-002"]))
    rows = {row["agent_id"]: row for row in json.loads(gl.invoke(agents_command, ["health", "--json"]).stdout)}
    assert (rows["GL-002"]["status"], rows["GL-002"]["answered"], rows["GL-002"]["missed"]) == ("online", 1, 0)
    assert rows["GL-002"]["performance_score"] > 0.5
    assert (rows["GL-003"]["status"], rows["GL-003"]["status_reason"]) == ("offline", "never heard of")
    assert "never heard of" in gl.invoke(agents_command, ["health", "--hours", "1"]).stdout


def test_gl_agents_watch_when_agents_come_and_go_then_each_change_is_a_line(
    plant: Plant, gl: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orchestrating(plant):
        plant.agent("GL-002")
        until(lambda: len(registered(plant)) == 1, "heard of")
        plant.leave()
        until(lambda: registered(plant)["GL-002"][0] == "offline", "gone")
        result = gl.invoke(agents_command, ["watch", "--json", "--for", "0"])
        assert result.exit_code == 0, result.output
        (line,) = [json.loads(text) for text in result.stdout.splitlines()]
        assert (line["agent_id"], line["was"], line["status"]) == ("GL-002", None, "offline")
        shown = gl.invoke(agents_command, ["watch", "--for", "0.2", "--every", "0.1"])
        assert shown.exit_code == 0, shown.output
        assert "1 agents:  0 online  0 degraded  1 offline" in shown.stdout
        assert "it left, or its connection was lost" in shown.stdout
        monkeypatch.setattr(agent_registry, "console", Console(force_terminal=True, width=120))
        live = gl.invoke(agents_command, ["watch", "--for", "0.2", "--every", "0.1"])
        assert live.exit_code == 0, live.output
        entered, left = live.stdout.index("\x1b[?1049h"), live.stdout.index("\x1b[?1049l")
        assert "GL-002" in live.stdout[entered:left]
        # the terminal is as it was, with the last look below
        assert "GL-002" in live.stdout[left:]
