"""What a program that embeds the agent SDK gets from it, on a real broker: events, turns, presence, leaving."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from resources.agents.agent import Agent, AgentSettings, Call
from resources.agents.security.keys import generate_keys
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Formatter, Message
from resources.agents.wire.permissions import PermissionRule, Permissions
from resources.core.clock import Clock, ManualClock, SystemClock
from resources.core.errors import ConfigError, DataError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from tests.agents_support import SITE, Plant, orchestrator_says, plain_broker, set_access, until


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker) -> Iterator[Plant]:
    """A site without a platform: what is tested here needs no database."""
    made = Plant(tmp_path, plain_broker(broker.port), "")
    yield made
    made.leave()


def event(
    payload: Any = "fire", *, topic: str = "emergency", sender: str = "GL-001", clock: Clock | None = None
) -> Message:
    return Formatter(sender, clock or SystemClock()).event(topic, payload, timeout_s=60)


class Listener:
    """Subscribes an agent and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __call__(self, agent: Agent) -> None:
        for name in ("first", "second"):
            agent.event("emergency")(lambda payload, _event, name=name: self.heard.append((name, payload)))  # type: ignore[misc]


class Gate:
    """Gives an agent the command `wait`, whose handler waits until the gate is open."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.calls: list[Call] = []

    def __call__(self, agent: Agent) -> None:
        @agent.command("wait")
        def wait(_args: dict[str, Any], call: Call) -> str:
            self.calls.append(call)
            self.entered.set()
            assert self.open.wait(60)
            return "done"


def store_of(agent: Agent) -> SeenStore:
    return agent._inbox._store


def test_event_when_it_comes_twice_then_every_handler_is_called_once(plant: Plant) -> None:
    listener = Listener()
    plant.agent("GL-002", declare=listener)
    wire, told, last = plant.wire(), event(), event("over")
    wire.tell(told)
    wire.tell(told)
    wire.tell(last)
    until(lambda: len(listener.heard) >= 4, "both events at both handlers")
    assert sorted(listener.heard) == [("first", "fire"), ("first", "over"), ("second", "fire"), ("second", "over")]


def test_event_when_the_agent_is_away_then_it_hears_it_when_it_returns(plant: Plant) -> None:
    listener = Listener()
    plant.agent("GL-002", declare=listener)
    plant.leave()
    wire = plant.wire()
    wire.tell(event())
    plant.agent("GL-002", declare=listener)
    until(lambda: len(listener.heard) == 2, "the event that waited at the broker")


def test_event_when_not_of_a_sender_form_or_time_that_may_be_then_refused_and_counted(plant: Plant) -> None:
    generate_keys(plant.keys, ["OBS-1"], role="observer")
    listener = Listener()

    def declare(agent: Agent) -> None:
        agent.event("emergency", schema={"type": "string"})(
            lambda payload, _event: listener.heard.append(("", payload))
        )

    agent = plant.agent("GL-002", declare=declare, store_clock=ManualClock(datetime.now(UTC) - timedelta(days=1)))
    wire, before = plant.wire(), ManualClock(datetime.now(UTC) - timedelta(seconds=400))
    wire.tell(event(sender="OBS-1"), sender="OBS-1")
    wire.tell(event(clock=before), clock=before)
    wire.tell(event(7))
    first = event()
    wire.tell(first)
    wire.tell(first.model_copy(update={"payload": "another"}))
    until(lambda: sum(agent.refused().values()) == 4 and listener.heard, "four refusals and one event")
    assert agent.refused() == {"role_not_allowed": 1, "expired": 1, "malformed": 1, "forged_repeat": 1}
    assert listener.heard == [("", "fire")]


def test_event_when_published_by_an_agent_then_heard_by_others_and_refused_if_it_cannot_be_one(plant: Plant) -> None:
    listener = Listener()
    plant.agent("GL-003", declare=listener)
    agent = plant.agent("GL-002")
    wire = plant.wire()
    message_id = agent.publish("emergency", {"tag": "TT-1"}, priority="critical")
    heard = until(lambda: wire.messages("event"), "event")[0]
    assert (heard.message_id, heard.source_agent, heard.priority) == (message_id, "GL-002", "critical")
    until(lambda: listener.heard == [("first", {"tag": "TT-1"}), ("second", {"tag": "TT-1"})], "at the other agent")
    for topic, payload, fault in (
        ("a/b", 1, "not a topic"),
        ("emergency", object(), "JSON"),
        ("x", "y" * 300_000, "262144"),
    ):
        with pytest.raises(DataError, match=fault):
            agent.publish(topic, payload)


def test_event_when_published_before_there_is_a_connection_then_sent_by_whoever_opens_the_store(plant: Plant) -> None:
    def make(store: SeenStore, clock: Clock | None = None) -> Agent:
        settings = AgentSettings(SITE, plant.broker, plant.keys / "GL-002.jwk", plant.jwks, "GL-002", "boiler")
        return Agent(settings, store, clock=clock)

    wire, path = plant.wire(), plant.folder / "store.sqlite"
    store = SeenStore(path)
    first = make(store, ManualClock(datetime.now(UTC) - timedelta(days=1)))
    first.publish("system_status", "too old")
    second = make(store)
    message_id = second.publish("system_status", "kept")
    first.stop()
    second.stop()
    store.close()
    again = SeenStore(path)
    agent = make(again)
    agent.start()
    heard = until(lambda: wire.messages("event"), "the event kept")
    until(lambda: again.outgoing("GL-002") == [], "forgotten once the broker has it")
    agent.stop()
    again.close()
    assert [(e.message_id, e.payload) for e in heard] == [(message_id, "kept")]


def test_event_when_the_permissions_do_not_allow_the_agent_to_publish_it_then_not_accepted(plant: Plant) -> None:
    store = SeenStore(plant.folder / "store.sqlite")
    permissions = Permissions(events={"emergency": PermissionRule(roles=("alarm",))})
    key = plant.keys / "GL-002.jwk"
    settings = AgentSettings(SITE, plant.broker, key, plant.jwks, "GL-002", "boiler", permissions=permissions)
    agent = Agent(settings, store)
    with pytest.raises(DataError, match="GL-002 with role agent may not send it"):
        agent.publish("emergency", "fire")
    agent.publish("system_status", "running")
    assert [event.topic for event in store.outgoing("GL-002")] == ["system_status"]
    agent.stop()
    store.close()


def test_commands_when_they_wait_then_critical_at_once_and_the_others_by_priority(plant: Plant) -> None:
    gate = Gate()
    plant.agent("GL-002", declare=gate, threads=1)
    wire = plant.wire()
    wire.send(orchestrator_says(name="wait", priority="low"), to="GL-002")
    assert gate.entered.wait(60)
    waiting = [orchestrator_says(priority=priority) for priority in ("low", "normal", "high", "critical")]
    for message in waiting:
        wire.send(message, to="GL-002")
    ids = [message.message_id for message in waiting]
    until(lambda: plant.executions == [("GL-002", ids[3])], "the critical one, while the handler of another runs")
    gate.open.set()
    until(lambda: len(plant.executions) == 4, "all run")
    assert [message_id for _, message_id in plant.executions] == list(reversed(ids))


def test_command_when_its_deadline_passes_in_the_queue_then_answered_expired_and_not_run(plant: Plant) -> None:
    clock, gate = ManualClock(datetime.now(UTC)), Gate()
    agent = plant.agent("GL-002", clock=clock, declare=gate, threads=1)
    wire = plant.wire()
    wire.send(orchestrator_says(clock, name="wait", timeout_s=200), to="GL-002", clock=clock)
    assert gate.entered.wait(60)
    late = orchestrator_says(clock, timeout_s=5)
    wire.send(late, to="GL-002", clock=clock)
    until(lambda: store_of(agent).find("GL-002", late.message_id), "taken")
    clock.advance(6)
    gate.open.set()
    answer = until(lambda: wire.responses(late.message_id), "answer")[0]
    assert answer.payload["status"] == "expired"
    assert plant.executions == []
    assert store_of(agent).find("GL-002", late.message_id) is None


def test_command_when_delivered_again_while_it_runs_then_run_once_and_answered_once(plant: Plant) -> None:
    gate = Gate()
    plant.agent("GL-002", declare=gate)
    wire = plant.wire()
    message, last = orchestrator_says(name="wait"), orchestrator_says()
    for _ in range(3):
        wire.send(message, to="GL-002")
    wire.send(last, to="GL-002")
    until(lambda: wire.responses(last.message_id), "what came after the repeats is answered")
    assert wire.responses(message.message_id) == []
    gate.open.set()
    until(lambda: wire.responses(message.message_id), "answer")
    assert len(gate.calls) == 1
    assert len(wire.responses(message.message_id)) == 1


def test_command_when_its_result_is_too_large_for_a_token_then_answered_with_an_error(plant: Plant) -> None:
    def declare(agent: Agent) -> None:
        agent.command("trend")(lambda _args, _call: "x" * 300_000)

    plant.agent("GL-002", declare=declare)
    wire, message = plant.wire(), orchestrator_says(name="trend")
    wire.send(message, to="GL-002")
    answer = until(lambda: wire.responses(message.message_id), "answer")[0]
    assert answer.payload["status"] == "error"
    assert "262144" in answer.payload["error"]


def test_agent_when_its_handler_degrades_it_then_said_at_once_and_taken_back(plant: Plant) -> None:
    def declare(agent: Agent) -> None:
        @agent.command("trip")
        def trip(_args: dict[str, Any], _call: Call) -> None:
            agent.degrade("burner tripped")

    agent = plant.agent("GL-002", declare=declare)
    wire = plant.wire()
    wire.send(orchestrator_says(name="trip"), to="GL-002")
    until(lambda: [b.payload["status"] for b in wire.messages("heartbeat")] == ["degraded"], "degraded")
    assert agent.status == "degraded"
    agent.degrade("still")
    agent.recover()
    until(lambda: [b.payload["status"] for b in wire.messages("heartbeat")] == ["degraded", "online"], "online again")


def test_agent_when_it_leaves_then_the_running_command_is_answered_first_and_the_waiting_one_given_back(
    plant: Plant, database_url: str
) -> None:
    plant.database_url = database_url
    gate = Gate()
    agent = plant.agent("GL-002", declare=gate, threads=1)
    wire = plant.wire(client_id="listener")
    with plant.broadcaster() as broadcaster:
        running = broadcaster.accept(plant.command("wait", targets=["GL-002"])).message.message_id
        assert gate.entered.wait(60)
        waiting = broadcaster.accept(plant.command(targets=["GL-002"])).message.message_id
        until(lambda: len(store_of(agent).unfinished("GL-002")) == 2, "both are recorded as started")
        leaving = threading.Thread(target=agent.stop)
        leaving.start()
        until(lambda: agent._inbox._jobs._leaving, "on the way out")
        gate.open.set()
        leaving.join()
        assert plant.executions == []
        until(lambda: broadcaster.results(running)[0].state == "answered", "the running one is answered")
        until(lambda: "offline" in [b.payload["status"] for b in wire.messages("heartbeat")], "farewell")
        plant.leave()
        plant.agent("GL-002")
        until(lambda: broadcaster.results(waiting)[0].state == "answered", "run after the return")
    assert plant.executions == [("GL-002", waiting)]


def test_agent_when_it_was_never_started_or_declares_too_much_then_it_stops_all_the_same(plant: Plant) -> None:
    store = SeenStore(plant.folder / "store.sqlite")
    settings = AgentSettings(SITE, plant.broker, plant.keys / "GL-002.jwk", plant.jwks, "GL-002", "boiler")
    agent = Agent(settings, store)
    agent.command("huge", schema={"description": "x" * 300_000})(lambda _args, _call: None)
    with pytest.raises(ConfigError, match="do not fit into a heartbeat"):
        agent.run()
    assert not agent.connected
    store.close()


def test_event_and_answer_when_the_broker_refuses_them_then_they_are_sent_again_until_it_takes_them(
    tmp_path: Path, programs: ServerPrograms, server_folder: Path
) -> None:
    quiet = f"topic read gl/{SITE}/#\ntopic write gl/{SITE}/agents/+/command\n"
    strict = EmbeddedBroker(server_folder / "sdk-acl", programs, BrokerOptions(acl=quiet, insecure_anonymous=True))
    strict.start()
    plant = Plant(tmp_path, plain_broker(strict.port), "")
    try:
        agent, wire = plant.agent("GL-002"), plant.wire()
        with structlog.testing.capture_logs() as logged:
            agent.publish("system_status", {"state": "tripped"})
            wire.send(orchestrator_says(), to="GL-002")
            topics = {f"gl/{SITE}/events/system_status", f"gl/{SITE}/agents/GL-002/response"}
            until(lambda: {e["topic"] for e in logged if e["event"] == "publication_refused"} >= topics, "refused")
        set_access(strict, f"topic readwrite gl/{SITE}/#\n")
        until(lambda: wire.responses() and wire.messages("event"), "both")
        until(lambda: store_of(agent).outgoing("GL-002") == [], "the event is not kept any more")
    finally:
        plant.leave()
        strict.stop()
