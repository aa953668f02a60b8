"""Agents, orchestrator and broker killed in the middle of things: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.agents.agent import Agent, Call, Event
from resources.agents.wire.message import Formatter
from resources.core.clock import SystemClock
from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, orchestrator_says, plain_broker, until
from tests.conftest import REPOSITORY

TARGETS = ("GL-002", "GL-003", "GL-004", "GL-005")


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    made = Plant(tmp_path, plain_broker(broker.port), database_url, TARGETS)
    yield made
    made.leave()


def start(plant: Plant, agent_id: str, when: str) -> subprocess.Popen[bytes]:
    """An agent in a process of its own that dies `when`."""
    arguments = [str(plant.folder), str(plant.broker.port), agent_id, when]
    return subprocess.Popen([sys.executable, "-m", "tests.faults.agent_process", *arguments], cwd=REPOSITORY)


def executed(plant: Plant) -> Counter[tuple[str, str]]:
    """(agent, message id) -> how often it was run, in whatever process."""
    log = plant.folder / "executed.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter([*plant.executions, *((line.split()[0], line.split()[1]) for line in lines)])


def online(plant: Plant) -> int:
    return int(plant.rows("SELECT count(*) FROM agents.registry WHERE status = 'online'")[0][0])


def test_broadcast_when_agents_die_in_it_and_return_in_time_then_each_ran_at_most_once_and_answers(
    plant: Plant,
) -> None:
    deaths = {"GL-003": "begun", "GL-004": "handler", "GL-005": "stored"}
    with plant.broadcaster() as broadcaster:
        assert broadcaster._orchestrator is not None
        broadcaster._orchestrator.wait_connected()
        processes = [start(plant, agent_id, when) for agent_id, when in deaths.items()]
        plant.agent("GL-002")
        until(lambda: online(plant) == 4, "four agents online")
        message_id = broadcaster.accept(plant.command(timeout_s=300)).message.message_id
        assert [process.wait(60) for process in processes] == [-9, -9, -9]
        for agent_id in deaths:
            plant.agent(agent_id)

        def states() -> dict[str, str]:
            return {result.agent_id: result.state for result in broadcaster.results(message_id)}

        until(lambda: not {"queued", "sent"} & set(states().values()), "an end at every agent")
        # what may have been done is in doubt, and not done again; what was done is answered from the store
        assert states() == {"GL-002": "answered", "GL-003": "in_doubt", "GL-004": "in_doubt", "GL-005": "answered"}
        assert executed(plant) == {(agent_id, message_id): 1 for agent_id in ("GL-002", "GL-004", "GL-005")}
        assert broadcaster.broadcast(plant.command()).answered == 4


def test_broadcast_when_the_broker_is_killed_while_agents_work_then_each_answers_and_has_run_once(
    plant: Plant, broker: EmbeddedBroker
) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def declare(agent: Agent) -> None:
        @agent.command("work")
        def work(_args: dict[str, Any], call: Call) -> None:
            plant.executions.append((agent.agent_id, call.message_id))
            begun.release()
            assert go.wait(60)

    for agent_id in plant.targets[:3]:
        plant.agent(agent_id, declare=declare)
    with plant.broadcaster() as broadcaster:
        message_id = broadcaster.accept(plant.command("work", timeout_s=300)).message.message_id
        assert all(begun.acquire(timeout=60) for _ in range(3))
        # killed, it forgets its sessions: answers come over new ones, commands a second time
        broker.kill()
        go.set()
        broker.start()
        plant.agent("GL-005", declare=declare)
        until(lambda: all(r.state == "answered" for r in broadcaster.results(message_id)), "answers", 120)
    assert executed(plant) == {(agent_id, message_id): 1 for agent_id in TARGETS}


def test_orchestrator_when_killed_in_the_middle_of_sending_then_the_next_one_reaches_the_others(plant: Plant) -> None:
    for agent_id in plant.targets:
        plant.agent(agent_id)
    config = plant.folder / "config.json"
    config.write_text(plant.config.model_dump_json())
    program = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        import paho.mqtt.client as paho
        from resources.agents.broadcaster import Broadcaster
        from resources.agents.config import AgentsConfig
        from resources.agents.requests import Command
        publish, sent = paho.Client.publish, []
        def publish_two_and_die(client, topic, *given, **named):
            sent.append(topic)
            if len(sent) > 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return publish(client, topic, *given, **named)
        paho.Client.publish = publish_two_and_die
        config = AgentsConfig.model_validate_json(Path({str(config)!r}).read_text())
        with Broadcaster(config, site={SITE!r}, database_url={plant.database_url!r}) as broadcaster:
            broadcaster.broadcast(Command("count", {{}}, config.targets, 300))
        """
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    message_id = plant.rows("SELECT message_id FROM agents.messages")[0][0]
    with plant.broadcaster() as broadcaster:
        until(lambda: all(r.state == "answered" for r in broadcaster.results(message_id)), "answers of all")
    assert executed(plant) == {(agent_id, message_id): 1 for agent_id in TARGETS}


def test_command_when_delivered_again_after_the_agent_died_then_answered_from_its_store_and_not_run(
    plant: Plant,
) -> None:
    wire, message = plant.wire(), orchestrator_says()
    process = start(plant, "GL-002", "stored")
    until(lambda: wire.messages("heartbeat"), "the agent is there")
    wire.send(message, to="GL-002")
    assert process.wait(60) == -9
    assert wire.responses() == []
    plant.agent("GL-002")
    for _ in range(3):
        wire.send(message, to="GL-002")
    answers = until(lambda: len(found := wire.responses(message.message_id)) >= 3 and found, "answers")
    assert len({answer.message_id for answer in answers}) == 1
    assert executed(plant) == {("GL-002", message.message_id): 1}


def test_event_when_its_publisher_or_its_listener_dies_then_sent_all_the_same_and_handled_once(plant: Plant) -> None:
    heard: list[tuple[str, Any]] = []

    def declare(agent: Agent) -> None:
        @agent.event("emergency")
        @agent.event("system_status")
        def note(payload: Any, event: Event) -> None:
            heard.append((event.topic, payload))

    wire = plant.wire()
    publisher, listener = start(plant, "GL-003", "published"), start(plant, "GL-002", "event")
    assert publisher.wait(60) == -9
    until(lambda: wire.messages("heartbeat"), "the listener is there")
    emergency = Formatter("GL-001", SystemClock()).event("emergency", "fire", timeout_s=300)
    wire.tell(emergency)
    assert listener.wait(60) == -9
    plant.agent("GL-002", declare=declare)
    wire.tell(emergency)
    plant.agent("GL-003")
    until(lambda: heard, "the event of the publisher that died")
    assert heard == [("system_status", {"state": "tripped"})]
    assert executed(plant) == {("GL-002", emergency.message_id): 1}
