"""Keys rotated and revoked while agents run, encrypted payloads, permissions, and the broker's own access list."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from gl_assets.cli.coordination.agents import agents as cli
from resources.agents.agent import Agent, AgentRuntime, AgentSettings
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import EVENT_TOPICS
from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.orchestration.events import EventRequest
from resources.agents.sdk.executor import PriorityExecutor
from resources.agents.security.broker_access import own_user, write_broker_access
from resources.agents.security.key_revocation import revoke_keys
from resources.agents.security.keys import PublicKeys, generate_keys
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Formatter
from resources.agents.wire.permissions import PermissionRule, Permissions
from resources.core.clock import SystemClock
from resources.core.errors import DataError, UnreachableError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from resources.transport.broker import BrokerConfig
from tests.agents_support import SITE, Plant, plain_broker, until


class Running:
    """Agents of a test with settings of their own; stopped at its end."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._runtime = AgentRuntime(Network(), PriorityExecutor(2))
        self._store = SeenStore(plant.folder / "running.sqlite")
        self._agents: list[Agent] = []
        self.events: list[tuple[str, Any]] = []

    def agent(self, agent_id: str, *, start: bool = True, **changes: Any) -> Agent:
        plant = self._plant
        key = plant.keys / f"{agent_id}.jwk"
        settings = AgentSettings(SITE, plant.broker, key, plant.jwks, agent_id, "boiler", ["heat"])
        agent = Agent(replace(settings, **changes), self._store, runtime=self._runtime)

        @agent.command("echo")
        def echo(args: dict[str, Any], _call: Any) -> Any:
            return args

        @agent.event("emergency")
        def emergency(payload: Any, _event: Any) -> None:
            self.events.append((agent_id, payload))

        self._agents.append(agent)
        if start:
            agent.start()
            agent.wait_connected()
        return agent

    def close(self) -> None:
        for agent in self._agents:
            agent.stop()
        self._runtime.executor.shutdown()
        self._runtime.network.close()
        self._store.close()


@pytest.fixture
def running(plant: Plant) -> Iterator[Running]:
    made = Running(plant)
    yield made
    made.close()


def broadcaster(plant: Plant, **changes: Any) -> Broadcaster:
    return Broadcaster(plant.config.model_copy(update=changes), site=SITE, database_url=plant.database_url)


def ask(plant: Plant, found: Broadcaster, agent_id: str, *, timeout_s: float = 60.0, n: int = 1) -> str:
    command = plant.command("echo", targets=[agent_id], args={"n": n}, timeout_s=timeout_s)
    return found.broadcast(command).results[0].state


@pytest.mark.usefixtures("seen_at_once")
def test_rotation_when_both_keys_are_valid_then_nothing_is_lost_and_after_revoking_only_the_new_one_counts(
    plant: Plant, running: Running
) -> None:
    agent = running.agent("GL-002")
    old_key, (first, second) = (plant.keys / "GL-002.jwk").read_text(), ("GL-002:1", "GL-002:2")
    wire = plant.wire(subscribe="GL-002")

    def signed_by() -> str:
        answers = [a.payload for a in wire.heard if a.topic.endswith("/response")]
        header = answers[-1].split(b".")[0]
        return str(json.loads(base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4)))["kid"])

    with broadcaster(plant) as found:
        orchestrator = found._orchestrator
        assert orchestrator is not None
        assert ask(plant, found, "GL-002") == "answered"
        until(wire.responses, "first answer heard")
        assert signed_by() == first
        # both ends rotate while they run: the agent, and the orchestrator whose new key the agent has never seen
        generate_keys(plant.keys, ["GL-001", "GL-002"], rotate=True)
        assert ask(plant, found, "GL-002") == "answered"
        until(lambda: len(wire.responses()) == 2, "second answer heard")
        assert signed_by() == second
        assert agent.refused() == orchestrator.refused() == {}
        # an agent that has not got its new key yet still signs with the old one
        new_key = (plant.keys / "GL-002.jwk").read_text()
        (plant.keys / "GL-002.jwk").write_text(old_key)
        assert ask(plant, found, "GL-002") == "answered"
        until(lambda: len(wire.responses()) == 3, "third answer heard")
        assert signed_by() == first
        revoke_keys(plant.keys, [first, "GL-001:1"])
        assert ask(plant, found, "GL-002", timeout_s=2) == "expired"
        assert set(orchestrator.refused()) == {"unknown_key"}
        (plant.keys / "GL-002.jwk").write_text(new_key)
        assert ask(plant, found, "GL-002") == "answered"
    assert agent.refused() == {}


def test_payloads_when_encrypted_then_plain_in_the_database_and_nowhere_on_the_wire(
    plant: Plant, running: Running
) -> None:
    generate_keys(plant.keys, ["GL-001", "GL-002"], encryption=True)
    heard: list[Arrived] = []
    network = Network()
    listener = Bus(
        plant.broker,
        "listener",
        [f"gl/{SITE}/agents/#"],
        BusCallbacks(heard.append, lambda: None, lambda: None),
        network,
    )
    listener.start()
    listener.wait_connected(30)
    running.agent("GL-002")
    running.agent("GL-003")
    with broadcaster(plant, encrypt_payloads="where_possible") as found:
        command = plant.command("echo", args={"secret": "four words for nobody"})
        outcome = found.broadcast(command)
        assert [(r.agent_id, r.result) for r in outcome.results] == [(a, command.args) for a in plant.targets]
        again = found.broadcast(plant.command("echo", args=command.args, message_id=outcome.message.message_id))
        assert again.repeated
    with broadcaster(plant, encrypt_payloads="always") as found:
        assert ask(plant, found, "GL-002") == "answered"
        with pytest.raises(DataError, match="no key to encrypt to, among them GL-003"):
            ask(plant, found, "GL-003")
    until(lambda: len([a for a in heard if "heartbeat" not in a.topic]) == 6, "all heard")
    listener.stop()
    network.close()
    clear = {a.topic.removeprefix(f"gl/{SITE}/agents/") for a in heard if b"four words" in _claims(a.payload)}
    # GL-003 has no key: what goes to it, and comes from it to the orchestrator, which has one, but not without its own
    assert clear == {"GL-003/command", "GL-003/response"}
    enc = [json.loads(_claims(a.payload))["msg"] for a in heard if "GL-002" in a.topic and "heartbeat" not in a.topic]
    assert all("payload" not in msg and msg["enc"].count(".") == 4 for msg in enc)
    assert plant.rows(
        "SELECT DISTINCT payload->'args'->>'secret' FROM agents.messages WHERE payload->'args' ? 'secret'"
    ) == [("four words for nobody",)]


def _claims(token: bytes) -> bytes:
    body = token.split(b".")[1]
    return base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))


ONLY = Permissions(
    commands={"echo": PermissionRule(roles=("orchestrator",))},
    events={"emergency": PermissionRule(roles=("alarm",), agents=("GL-003",))},
)


def test_emergency_when_sent_by_who_may_not_then_refused_everywhere_and_counted(plant: Plant, running: Running) -> None:
    generate_keys(plant.keys, ["ALARM-1"], role="alarm")
    agent = running.agent("GL-002", permissions=ONLY)
    wire = plant.wire()
    events = {
        sender: Formatter(sender, SystemClock()).event("emergency", {"from": sender}, timeout_s=60.0)
        for sender in ("GL-001", "GL-002", "GL-003", "ALARM-1")
    }
    with broadcaster(plant, permissions=ONLY) as found:
        orchestrator = found._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        with pytest.raises(DataError, match=r"event emergency: GL-001 with role orchestrator may not send it"):
            found.publish(EventRequest("emergency", {"from": "GL-001"}, 60.0))
        for sender, event in events.items():
            wire.tell(event, sender=sender)
        until(lambda: len(running.events) == 2, "the permitted ones")
        until(lambda: agent.refused() == {"not_permitted": 2}, "refused by the agent")
        until(lambda: orchestrator.refused() == {"not_permitted": 2}, "refused by the orchestrator")
        assert {payload["from"] for _, payload in running.events} == {"GL-003", "ALARM-1"}
    assert sorted(plant.rows("SELECT claimed, sum(refused)::int FROM agents.refusals GROUP BY 1")) == [
        ("GL-001", 1),
        ("GL-002", 1),
    ]


def test_command_when_the_agent_declared_it_for_another_role_then_not_even_sent(plant: Plant, running: Running) -> None:
    agent = running.agent("GL-002", start=False)

    @agent.command("stop", roles=("alarm",))
    def stop(_args: dict[str, Any], _call: Any) -> None:
        raise AssertionError

    with broadcaster(plant) as found:
        agent.start()
        until(lambda: plant.rows("SELECT agent_id FROM agents.sessions"), "heard of")
        with pytest.raises(DataError, match="takes stop from alarm only, not from orchestrator"):
            found.accept(plant.command("stop", targets=["GL-002"]))
    assert plant.rows("SELECT * FROM agents.messages") == []


@pytest.fixture
def guarded(plant: Plant, programs: ServerPrograms, server_folder: Path) -> Iterator[BrokerConfig]:
    """A broker with the users and the access list that `gl agents keys --broker` writes."""
    roles = {"GL-001": "orchestrator", "GL-002": "agent", "GL-003": "agent"}
    access = write_broker_access(plant.keys, SITE, roles, topics=EVENT_TOPICS, permissions=ONLY)
    options = BrokerOptions(acl=access.acl.read_text(), hashed_users=access.passwords.read_text())
    running = EmbeddedBroker(server_folder / f"guarded{id(plant)}", programs, options)
    running.start()
    plant.broker = plain_broker(running.port)
    yield plain_broker(running.port)
    running.stop()


class Client:
    """A bare client with an agent's own user."""

    def __init__(self, broker: BrokerConfig, client_id: str, topics: list[str]) -> None:
        self.heard: list[str] = []
        self._network = Network()
        callbacks = BusCallbacks(self._hear, lambda: None, lambda: None)
        self.bus = Bus(broker, client_id, topics, callbacks, self._network)
        self.bus.start()

    def _hear(self, arrived: Arrived) -> None:
        self.heard.append(arrived.topic)
        arrived.ack()

    def close(self) -> None:
        self.bus.stop()
        self._network.close()


@pytest.fixture
def clients() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*given: Any) -> Client:
        made.append(Client(*given))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_broker_when_guarded_then_an_agent_reaches_its_own_topics_only(
    plant: Plant, guarded: BrokerConfig, clients: Callable[..., Client]
) -> None:
    agent_2, agent_3, platform = (own_user(guarded, SITE, a, plant.keys) for a in ("GL-002", "GL-003", "GL-001"))
    everything = clients(agent_2, f"gl-{SITE}-GL-002", ["#"])
    boss = clients(platform, f"gl-{SITE}-GL-001", [f"gl/{SITE}/agents/+/response", f"gl/{SITE}/events/+"])
    thief = clients(agent_3, f"gl-{SITE}-GL-003", ["#"])
    for client in (everything, boss, thief):
        client.bus.wait_connected(30)
    prefix = f"gl/{SITE}/agents"
    for topic in (f"{prefix}/GL-002/command", f"{prefix}/GL-002/response", f"gl/{SITE}/events/emergency"):
        thief.bus.publish(topic, b"forged")
    boss.bus.publish(f"{prefix}/GL-002/command", b"for two")
    boss.bus.publish(f"{prefix}/GL-003/command", b"for three")
    thief.bus.publish(f"{prefix}/GL-003/response", b"its own")
    until(lambda: f"{prefix}/GL-003/command" in thief.heard, "its own command")
    until(lambda: f"{prefix}/GL-003/response" in boss.heard, "its own response")
    # GL-003 alone may publish emergencies beside alarms
    until(lambda: f"gl/{SITE}/events/emergency" in boss.heard, "the event")
    everything.bus.publish(f"gl/{SITE}/events/emergency", b"not permitted")
    everything.bus.publish(f"gl/{SITE}/events/system_status", b"permitted")
    until(lambda: f"gl/{SITE}/events/system_status" in boss.heard, "the permitted event")
    assert everything.heard.count(f"{prefix}/GL-002/command") == 1
    assert not any("GL-003" in topic for topic in everything.heard)
    assert not any("GL-002" in topic for topic in thief.heard)
    assert boss.heard.count(f"gl/{SITE}/events/emergency") == 1


def test_broker_when_the_password_is_wrong_or_missing_then_nobody_gets_in(
    plant: Plant, guarded: BrokerConfig, clients: Callable[..., Client]
) -> None:
    (plant.keys / "GL-002.password").write_text("guessed\n")
    wrong = own_user(guarded, SITE, "GL-002", plant.keys)
    for broker in (wrong, guarded):
        with pytest.raises(UnreachableError, match="not connected within"):
            clients(broker, f"gl-{SITE}-GL-002", []).bus.wait_connected(1)


def test_broker_when_guarded_then_a_broadcast_goes_through(plant: Plant, guarded: BrokerConfig) -> None:
    running = Running(plant)
    with broadcaster(plant, broker=own_user(guarded, SITE, "GL-001", plant.keys)) as found:
        assert found._orchestrator is not None
        found._orchestrator.wait_connected()
        for agent_id in plant.targets:
            running.agent(agent_id, broker=own_user(guarded, SITE, agent_id, plant.keys))
        outcome = found.broadcast(plant.command("echo"))
        assert outcome.answered == 2
        until(lambda: len(plant.rows("SELECT 1 FROM agents.registry WHERE status = 'online'")) == 2, "heartbeats")
    running.close()


def run_cli(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GL_CONFIG", "integrations.example.yaml")
    return tmp_path / "made"


def test_keys_command_when_used_for_a_rotation_then_says_what_is_valid(configured: Path) -> None:
    folder = str(configured)
    two = ("--agent", "GL-001", "--agent", "GL-002")
    assert "keys of 2 agents" in run_cli("keys", folder, *two, "--encryption", "--broker").output
    made = json.loads(run_cli("keys", folder, "--agent", "GL-002", "--rotate", "--json").output)
    assert made["revoked"] == made["not_listed"] == []
    shown = json.loads(run_cli("keys", folder, "--agent", "GL-002", "--show", "--json").output)
    assert [(row["kid"], row["use"], row["replaced"]) for row in shown] == [
        ("GL-002:1", "sig", True),
        ("GL-002:2", "enc", False),
        ("GL-002:3", "sig", False),
    ]
    assert "replaced by a newer one" in run_cli("keys", folder, "--show").output
    assert "revoked: GL-002:1" in run_cli("keys", folder, "--agent", "GL-002", "--revoke-former").output
    done = json.loads(run_cli("keys", folder, *two, "--revoke", "GL-002:3", "--broker", "--json").output)
    assert (done["revoked"], done["not_listed"]) == (["GL-002:3"], ["GL-002:3"])
    assert "GL-002" not in Path(done["broker_acl"]).read_text()
    assert "GL-002:3 is revoked" in run_cli("keys", folder, *two).output
    assert {e.kid for e in PublicKeys(configured / "public-keys.jwks").entries()} == {
        "GL-001:1",
        "GL-001:2",
        "GL-002:2",
    }
    before = (configured / "GL-001.password").read_text()
    run_cli("keys", folder, "--agent", "GL-001", "--broker", "--new-password")
    assert (configured / "GL-001.password").read_text() != before


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--rotate"], "need --agent"),
        (["--revoke-former"], "need --agent"),
        (["--agent", "GL-002", "--rotate", "--revoke", "GL-002:1"], "exclude each other"),
        (["--agent", "GL-002", "--new-password"], "needs --broker"),
    ],
)
def test_keys_command_when_options_do_not_go_together_then_said(
    configured: Path, arguments: list[str], fault: str
) -> None:
    done = run_cli("keys", str(configured), *arguments)
    assert done.exit_code == 2
    assert fault in done.output


def test_refused_command_when_something_was_refused_then_shown_without_its_tricks(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GL_CONFIG", "integrations.example.yaml")
    monkeypatch.setenv("GL_DATABASE_URL", plant.database_url)
    assert "nothing was refused" in run_cli("refused").output
    with broadcaster(plant) as found:
        orchestrator = found._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        header = base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"\\u001b[31m[red]GL-999:1"}').rstrip(b"=")
        plant.wire().publish(f"gl/{SITE}/agents/GL-002/response", header + b".e30.e30")
        until(lambda: orchestrator.refused() == {"unknown_key": 1}, "refused")
    with psycopg.connect(plant.database_url) as connection:
        connection.execute("UPDATE agents.refusals SET site = 'example'")
    output = run_cli("refused").output
    assert "unknown_key" in output
    assert "[31m[red]GL-999:1" in output
    assert "\x1b[31m[red]" not in output
    rows = json.loads(run_cli("refused", "--hours", "1", "--json").output)
    assert [(row["reason"], row["refused"], row["receiver"]) for row in rows] == [("unknown_key", 1, "GL-001")]
