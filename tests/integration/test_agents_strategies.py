"""Requests to six agents on a real broker and a real database: whom they reach, in which order, and when they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from gl_assets.cli.coordination.agents import agents as agents_command
from resources.agents.agent import Agent, AgentRuntime, AgentSettings, Call, CommandError
from resources.agents.broadcaster import Broadcaster
from resources.agents.coordination_config import CircuitRules
from resources.agents.members.directory import CapabilityQuery
from resources.agents.mqtt.network import Network
from resources.agents.requests import Outcome, Quorum, Request, Retry
from resources.agents.sdk.executor import PriorityExecutor
from resources.agents.seen_store import SeenStore
from resources.agents.strategies.capability import ByCapability
from resources.agents.strategies.load_balanced import LoadBalanced
from resources.agents.strategies.parallel import Parallel
from resources.agents.strategies.round_robin import RoundRobin
from resources.agents.wire.message import new_id
from resources.core.errors import DataError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms
from tests.agents_support import SITE, Plant, plain_broker, until
from tests.conftest import fresh_database

AGENTS = tuple(f"GL-{n:03d}" for n in range(2, 8))
OPTIMIZERS = AGENTS[:3]
PATIENT = Retry(0, 60)


@dataclass
class Fleet:
    """Six agents of one process whose command `work` does what the test says."""

    plant: Plant
    server: EmbeddedBroker
    behaviour: dict[str, Callable[[], Any]] = field(default_factory=dict)
    worked: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    running: dict[str, Agent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._store = SeenStore(self.plant.folder / "agents.sqlite")
        self._runtime = AgentRuntime(Network(), PriorityExecutor(len(AGENTS)))

    def start(self, agent_id: str) -> None:
        keys = self.plant.keys
        capabilities = ["heat", "optimize"] if agent_id in OPTIMIZERS else ["heat"]
        settings = AgentSettings(
            SITE, self.plant.broker, keys / f"{agent_id}.jwk", self.plant.jwks, agent_id, "boiler", capabilities
        )
        agent = Agent(settings, self._store, runtime=self._runtime)

        @agent.command("work")
        def work(_args: dict[str, Any], _call: Call) -> Any:
            self.worked.append(agent_id)
            return self.behaviour.get(agent_id, lambda: agent_id)()

        agent.start()
        agent.wait_connected()
        self.running[agent_id] = agent

    def until_online(self) -> None:
        """Wait until everyone is known to be online; somebody has to orchestrate."""
        online = "SELECT count(*) FROM agents.registry WHERE status = 'online'"
        until(lambda: self.plant.rows(online) == [(6,)], "six agents online", 120)

    def silent(self) -> None:
        """A handler that says nothing until the test ends."""
        assert self.gate.wait(60)

    def run(self, strategy: Any = None, **more: Any) -> Outcome:
        with self.broadcaster() as broadcaster:
            return broadcaster.run(self.request(strategy, **more))

    def broadcaster(self, **config: Any) -> Broadcaster:
        settings = self.plant.config.model_copy(update=config)
        return Broadcaster(settings, site=SITE, database_url=self.plant.database_url)

    def request(self, strategy: Any = None, **more: Any) -> Request:
        given = {name: more.pop(name) for name in ("targets", "message_id", "timeout_s", "kind") if name in more}
        more.setdefault("retry", PATIENT)
        command = self.plant.command("work", **{"targets": (), **given})
        return Request(command, strategy or Parallel(), **more)

    def close(self) -> None:
        for agent in self.running.values():
            agent.stop()
        self._runtime.executor.shutdown()
        self._runtime.network.close()
        self._store.close()


@pytest.fixture(scope="module")
def shared(
    programs: ServerPrograms, server_folder: Any, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    broker = EmbeddedBroker(server_folder / "strategies", programs, BrokerOptions(insecure_anonymous=True))
    broker.start()
    databases = fresh_database(postgres)
    plant = Plant(tmp_path_factory.mktemp("fleet"), plain_broker(broker.port), next(databases), AGENTS)
    fleet = Fleet(plant, broker)
    with plant.broadcaster():
        for agent_id in AGENTS:
            fleet.start(agent_id)
        fleet.until_online()
    yield fleet
    fleet.close()
    next(databases, None)
    broker.stop()


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    shared.behaviour.clear()
    shared.worked.clear()
    shared.gate = threading.Event()
    shared.plant.rows("WITH t AS (DELETE FROM agents.turns), c AS (DELETE FROM agents.circuits) SELECT 1")
    yield shared
    shared.gate.set()


def states(outcome: Outcome) -> dict[str, str]:
    return {result.agent_id: result.state for result in outcome.results}


def test_parallel_when_bounded_then_never_more_at_a_time_and_all_answer(fleet: Fleet) -> None:
    pair, lock, active, most = threading.Barrier(2, timeout=60), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        pair.wait()
        with lock:
            active -= 1

    fleet.behaviour = dict.fromkeys(AGENTS, work)
    outcome = fleet.run(Parallel(2))
    assert states(outcome) == dict.fromkeys(AGENTS, "answered")
    assert (most, len(fleet.worked), outcome.enough) == (2, 6, True)
    assert [result.attempts for result in outcome.results] == [1] * 6
    assert fleet.plant.rows(
        f"SELECT release->>'concurrency' FROM agents.messages WHERE message_id = '{outcome.message.message_id}'"
    ) == [("2",)]


def test_query_when_sent_to_all_at_once_then_it_says_so_on_the_wire(fleet: Fleet) -> None:
    outcome = fleet.run(Parallel(None), kind="query", targets=AGENTS[:2])
    assert (outcome.message.message_type, outcome.answered) == ("query", 2)


def test_round_robin_when_repeated_then_in_order_and_the_next_turn_begins_later_in_another_process(
    fleet: Fleet,
) -> None:
    ring = list(AGENTS)
    assert fleet.run(RoundRobin()).answered == 6
    assert fleet.worked == ring
    fleet.run(RoundRobin())
    assert fleet.worked[6:] == [*ring[1:], ring[0]]
    for _ in range(2):
        fleet.run(RoundRobin(count=2, turn="pairs"))
    assert fleet.worked[12:] == ring[:4]


@pytest.mark.parametrize("follows", [False, True], ids=["orchestrating", "following"])
def test_round_robin_when_the_first_good_answer_is_enough_then_the_rest_is_never_asked(
    fleet: Fleet, follows: bool
) -> None:
    def refuse() -> None:
        raise CommandError("out of order")

    fleet.behaviour["GL-002"] = refuse
    with fleet.broadcaster() as leader, fleet.broadcaster() as follower:
        asked = follower if follows else leader
        assert asked.orchestrating is not follows
        outcome = asked.run(fleet.request(RoundRobin(stop_at_first_good=True)))
    assert fleet.worked == ["GL-002", "GL-003"]
    assert states(outcome) == {"GL-002": "failed", "GL-003": "answered"} | dict.fromkeys(AGENTS[2:], "expired")
    assert [result.awaited for result in outcome.results] == [True, True, False, False, False, False]
    assert {(r.reason, r.attempts) for r in outcome.results[2:]} == {
        ("not sent: the good answers before its turn were enough", 0)
    }
    assert (outcome.enough, outcome.status, outcome.needed) == (True, "done", 1)


def test_agent_when_silent_then_asked_again_under_the_same_id_and_the_next_has_its_turn(fleet: Fleet) -> None:
    fleet.behaviour["GL-002"] = fleet.silent
    with fleet.broadcaster() as broadcaster:
        outcome = broadcaster.run(fleet.request(RoundRobin(stop_at_first_good=True), retry=Retry(1, 0.3)))
        silent, answered = outcome.results[:2]
        assert (silent.state, silent.awaited, answered.state) == ("expired", False, "answered")
        assert silent.reason == "not awaited: the other good answers were enough"
        sent_again = until(lambda: broadcaster.results(outcome.message.message_id)[0].attempts == 2, "sent twice")
        assert sent_again
        fleet.gate.set()
        # whoever was not waited for any more may still answer
        until(lambda: broadcaster.results(outcome.message.message_id)[0].state == "answered", "the late answer")
    assert fleet.worked == ["GL-002", "GL-003"]


def test_load_balanced_when_scores_differ_then_the_best_and_least_busy(fleet: Fleet) -> None:
    set_score = "UPDATE agents.registry SET performance_score = {} WHERE agent_id = '{}' RETURNING 1"
    for agent_id in AGENTS:
        fleet.plant.rows(set_score.format(0.9 if agent_id in ("GL-004", "GL-006") else 0.2, agent_id))
    outcome = fleet.run(LoadBalanced(2, exploration=0.0), dry_run=True)
    assert states(outcome) == {"GL-004": "queued", "GL-006": "queued"}
    with fleet.broadcaster() as broadcaster:
        fleet.behaviour["GL-004"] = fleet.silent
        for _ in range(4):
            broadcaster.accept(fleet.plant.command("work", targets=["GL-004"]))
        busy = broadcaster.run(fleet.request(LoadBalanced(1, exploration=0.0), targets=["GL-004", "GL-005"]))
        assert states(busy) == {"GL-005": "answered"}
        assert busy.results[0].score is not None


def test_capability_when_wanted_then_only_who_has_it_and_is_there(fleet: Fleet) -> None:
    wanted = CapabilityQuery(all=("heat",), any=("optimize",))
    assert states(fleet.run(ByCapability(), capabilities=wanted)) == dict.fromkeys(OPTIMIZERS, "answered")
    fleet.running["GL-003"].stop()
    with fleet.broadcaster() as broadcaster:
        until(lambda: fleet.plant.rows("SELECT 1 FROM agents.registry WHERE status = 'offline'"), "one has left")
        request = fleet.request(ByCapability(), capabilities=wanted, targets=AGENTS[:4])
        outcome = broadcaster.run(request)
        assert states(outcome) == {"GL-002": "answered", "GL-004": "answered"}
        assert [(item.agent_id, item.reason) for item in outcome.skipped] == [
            ("GL-003", "it is offline"),
            ("GL-005", "it does not declare the capabilities that are wanted"),
        ]
        with pytest.raises(DataError, match="found no agent to send it to .*GL-099: it was never heard of"):
            broadcaster.run(fleet.request(LoadBalanced(), targets=["GL-099"]))
        with pytest.raises(DataError, match="say which capabilities"):
            broadcaster.run(fleet.request(ByCapability()))
        fleet.start("GL-003")
        fleet.until_online()


def test_quorum_when_reached_then_the_rest_is_not_awaited(fleet: Fleet) -> None:
    for agent_id in AGENTS[3:]:
        fleet.behaviour[agent_id] = fleet.silent
    outcome = fleet.run(Parallel(None), quorum=Quorum(share=0.5))
    assert (outcome.answered, outcome.needed, outcome.enough) == (3, 3, True)
    assert [result.agent_id for result in outcome.results if not result.awaited] == list(AGENTS[3:])
    with fleet.broadcaster() as broadcaster, pytest.raises(DataError, match="7 good answers"):
        broadcaster.run(fleet.request(quorum=Quorum(7)))


def test_command_when_cancelled_then_whoever_waits_returns_and_nothing_more_is_sent(fleet: Fleet) -> None:
    fleet.behaviour["GL-002"] = fleet.silent
    message_id = new_id()
    with fleet.broadcaster() as broadcaster, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(broadcaster.run, fleet.request(Parallel(1), message_id=message_id))
        until(lambda: fleet.worked == ["GL-002"], "the first has begun")
        assert broadcaster.cancel(message_id)
        outcome = waiting.result(60)
        assert not broadcaster.cancel(message_id)
        assert (outcome.status, outcome.answered, outcome.enough) == ("cancelled", 0, False)
        assert not any(result.awaited for result in outcome.results)
        fleet.gate.set()
        until(lambda: broadcaster.results(message_id)[0].state == "answered", "what had begun is stored")
    assert fleet.worked == ["GL-002"]


def test_command_when_the_wait_is_shorter_then_partial_results_and_the_id_brings_the_rest(fleet: Fleet) -> None:
    fleet.behaviour["GL-003"] = fleet.silent
    request = fleet.request(targets=AGENTS[:2], message_id=new_id(), wait_s=0.0)
    with fleet.broadcaster() as broadcaster:
        begun = broadcaster.run(request)
        assert begun.status == "accepted"
        assert all(result.awaited for result in begun.results)
        until(lambda: broadcaster.results(begun.message.message_id)[0].state == "answered", "the first answer")
        partial = broadcaster.run(request)
        assert partial.repeated
        assert [result.state in ("queued", "sent") for result in partial.results] == [False, True]
        fleet.gate.set()
        # another strategy would choose others now: whom an id went to was decided when it was accepted
        whole = broadcaster.run(fleet.request(LoadBalanced(1), message_id=begun.message.message_id, targets=AGENTS))
        assert states(whole) == {"GL-002": "answered", "GL-003": "answered"}
        assert broadcaster.run(request).status == "done"
        with pytest.raises(DataError, match="used for another"):
            broadcaster.run(fleet.request(kind="query", message_id=begun.message.message_id))
    assert fleet.worked == ["GL-002", "GL-003"]


def test_circuit_when_an_agent_is_silent_then_skipped_until_one_command_has_tried_it(fleet: Fleet) -> None:
    plant = fleet.plant
    fleet.behaviour["GL-002"] = fleet.silent
    rules = CircuitRules(failures=2)
    pair = AGENTS[:2]
    with fleet.broadcaster(circuits=rules) as broadcaster:
        for _ in range(2):
            outcome = broadcaster.run(fleet.request(targets=pair, timeout_s=2.0))
            assert states(outcome) == {"GL-002": "expired", "GL-003": "answered"}
            assert outcome.results[0].awaited
        skipping = broadcaster.run(fleet.request(targets=pair))
        assert states(skipping) == {"GL-003": "answered"}
        assert "its circuit is open: 2 commands in a row unanswered" in skipping.skipped[0].reason
        with pytest.raises(DataError, match="its circuit is open"):
            broadcaster.run(fleet.request(targets=["GL-002"]))
        assert len(broadcaster.run(fleet.request(targets=pair, dry_run=True, skip_open_circuits=False)).results) == 2
        # the recovery is over
        plant.rows("UPDATE agents.circuits SET failed_at = failed_at - interval '1 min' RETURNING 1")
        assert len(broadcaster.run(fleet.request(targets=pair, dry_run=True)).results) == 2
        trial = broadcaster.run(fleet.request(targets=pair, wait_s=0.0))
        assert len(trial.results) == 2
        second = broadcaster.run(fleet.request(targets=pair))
        assert second.skipped[0].reason.endswith("another command is trying it")
        fleet.gate.set()
        until(lambda: not plant.rows("SELECT 1 FROM agents.circuits"), "closed by the answer")
        assert broadcaster.run(fleet.request(targets=pair)).answered == 2


def test_dry_run_when_asked_then_it_says_who_and_nothing_is_stored_or_sent(fleet: Fleet) -> None:
    before = fleet.plant.rows("SELECT count(*) FROM agents.messages")
    for _ in range(2):
        outcome = fleet.run(RoundRobin(count=2), dry_run=True)
        assert (outcome.status, states(outcome)) == ("dry_run", dict.fromkeys(AGENTS[:2], "queued"))
    nobody = fleet.run(LoadBalanced(), targets=["GL-099"], dry_run=True)
    assert (nobody.results, nobody.skipped[0].agent_id) == ((), "GL-099")
    assert fleet.plant.rows("SELECT count(*) FROM agents.messages") == before
    assert fleet.plant.rows("SELECT 1 FROM agents.turns") == []
    assert fleet.worked == []


def test_turn_when_several_processes_take_one_then_each_has_its_own_and_a_refused_command_takes_none(
    fleet: Fleet,
) -> None:
    with fleet.broadcaster() as broadcaster, pytest.raises(DataError, match="262144 are allowed"):
        broadcaster.run(
            replace(fleet.request(RoundRobin(count=1)), command=fleet.plant.command("work", args={"x": "x" * 300_000}))
        )
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(fleet.run, [RoundRobin(count=1)] * 4))
    assert [outcome.answered for outcome in outcomes] == [1] * 4
    assert sorted(fleet.worked) == list(AGENTS[:4])


def test_turns_when_the_process_is_killed_after_accepting_then_the_next_orchestrator_keeps_to_them(
    fleet: Fleet,
) -> None:
    message_id = new_id()
    program = textwrap.dedent(
        f"""
        import os, signal
        from resources.agents.record import outbox
        from resources.agents.wire.message import Formatter
        from resources.agents.record.release import Release
        from resources.core.clock import SystemClock
        from resources.databases.timescale.connection import connect
        message = Formatter("GL-001", SystemClock()).command(
            "work", {{}}, targets={AGENTS[::-1]!r}, timeout_s=120, message_id={message_id!r}
        )
        connection = connect({fleet.plant.database_url!r}, autocommit=True)
        outbox.accept(connection, message, release=Release(concurrency=1, needed=2))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with fleet.broadcaster() as broadcaster:
        done = f"SELECT 1 FROM agents.messages WHERE message_id = '{message_id}' AND status = 'done'"
        until(lambda: fleet.plant.rows(done), "two good answers")
        found = broadcaster.results(message_id)
    assert fleet.worked == ["GL-007", "GL-006"]
    assert [result.state for result in found] == ["expired"] * 4 + ["answered"] * 2


@pytest.fixture
def gl(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    config = {"site": SITE, "start": "2026-01-01T00:00:00Z", "agents": fleet.plant.config.model_dump(mode="json")}
    path = tmp_path / "integrations.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", fleet.plant.database_url)
    return lambda *words: CliRunner().invoke(agents_command, words)


def test_gl_agents_send_when_given_a_strategy_then_it_asks_those_and_shows_what_they_come_to(
    fleet: Fleet, gl: Callable[..., Result]
) -> None:
    fleet.behaviour = {agent_id: lambda: {"load": 2} for agent_id in OPTIMIZERS}
    words = ["--strategy", "capability", "--can", "optimize", "--cannot", "fly", "--quorum", "100%"]
    asked = gl("query", "work", *words, "--aggregate", "average", "--at", "/load", "--weighted", "--json")
    assert asked.exit_code == 0, asked.exception
    told = json.loads(asked.stdout)
    assert (told["targeted"], told["answered"], told["needed"], told["enough"]) == (3, 3, 3, True)
    assert told["aggregate"]["value"] == 2
    shown = gl(
        "send", "work", "--to", "GL-002", "--to", "GL-003", "--quorum", "1", "--aggregate", "all", "--at", "/load"
    )
    assert shown.exit_code == 0, shown.output
    assert "1 needed; message" in shown.stdout
    dry = gl("send", "work", "--strategy", "round-robin", "--count", "2", "--first-good", "--dry-run")
    assert "0 of 2 answered, 1 needed; nothing was sent" in dry.stdout
    nobody = gl("send", "work", "--strategy", "load-balanced", "--to", "GL-099", "--dry-run", "--seed", "1")
    assert "it was never heard of" in nobody.stdout
    failed = gl("send", "other", "--to", "GL-002", "--all-at-once", "--aggregate", "all")
    assert failed.exit_code == 1
    assert "GL-002 has no command other" in failed.stdout


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--args", "{"], "is not JSON"),
        (["--args", "[]"], "must be a JSON object"),
        (["--all-at-once", "--concurrency", "3"], "contradict each other"),
        (["--all-at-once", "--strategy", "round-robin"], "strategy round_robin: it has no concurrency"),
        (["--strategy", "capability"], "say which capabilities"),
    ],
)
def test_gl_agents_send_when_misused_then_the_reason(words: list[str], fault: str, gl: Callable[..., Result]) -> None:
    assert fault in str(gl("send", "work", *words).exception)


def test_gl_agents_send_when_the_quorum_is_none_then_exit_code_2(gl: Callable[..., Result]) -> None:
    for quorum in ("some", "0", "200%"):
        found = gl("send", "work", "--quorum", quorum)
        assert (found.exit_code, "neither a number" in found.output) == (2, True)


def test_gl_agents_send_when_interrupted_then_withdrawn_and_what_came_is_shown(
    fleet: Fleet, gl: Callable[..., Result]
) -> None:
    fleet.behaviour["GL-003"] = fleet.silent
    first = "SELECT 1 FROM agents.deliveries WHERE agent_id = 'GL-002' AND state = 'answered' AND message_id = '{}'"
    message_id = new_id()

    def interrupt() -> None:
        until(lambda: fleet.plant.rows(first.format(message_id)), "the first answer")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        interrupted = threads.submit(interrupt)
        found = gl("send", "work", "--to", "GL-002", "--to", "GL-003", "--message-id", message_id, "--json")
        interrupted.result()
    assert found.exit_code == 130
    told = json.loads(found.stdout)
    assert (told["status"], told["answered"]) == ("cancelled", 1)


def test_turns_when_the_broker_is_restarted_between_them_then_each_agent_has_its_own_once(fleet: Fleet) -> None:
    # the last of this file: who was not heard at the new broker is offline until its next heartbeat
    fleet.behaviour["GL-003"] = fleet.silent
    with fleet.broadcaster() as broadcaster, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(broadcaster.run, fleet.request(Parallel(1), targets=AGENTS[:4], timeout_s=120.0))
        until(lambda: fleet.worked == ["GL-002", "GL-003"], "the second has begun")
        fleet.server.stop()
        fleet.gate.set()
        fleet.server.start()
        outcome = waiting.result(120)
    assert states(outcome) == dict.fromkeys(AGENTS[:4], "answered")
    assert fleet.worked == list(AGENTS[:4])
