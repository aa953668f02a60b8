"""What breaks around a command: agents, orchestrator, broker, database. Afterwards each was run once and is stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, plain_broker, until


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    made = Plant(tmp_path, plain_broker(broker.port), database_url)
    yield made
    made.leave()


def state_of(plant: Plant, agent_id: str) -> str:
    rows = plant.rows(f"SELECT state FROM agents.deliveries WHERE agent_id = '{agent_id}'")
    return str(rows[0][0]) if rows else ""


def test_agent_when_offline_then_it_runs_the_command_when_it_returns_before_the_deadline(plant: Plant) -> None:
    plant.agent("GL-002")
    plant.leave()
    with plant.broadcaster() as broadcaster:
        message_id = broadcaster.accept(plant.command(targets=["GL-002"])).message.message_id
        until(lambda: state_of(plant, "GL-002") == "sent", "handed to the broker")
        plant.agent("GL-002")
        until(lambda: state_of(plant, "GL-002") == "answered", "answered after the return")
    # the broker's copy and the one sent at the return: one of them was run
    assert plant.executions == [("GL-002", message_id)]


def test_orchestrator_when_killed_after_accepting_then_the_next_one_sends(plant: Plant) -> None:
    plant.agent("GL-002")
    program = textwrap.dedent(
        f"""
        import os, signal
        from resources.agents.record import outbox
        from resources.agents.wire.message import Formatter
        from resources.core.clock import SystemClock
        from resources.databases.timescale.connection import connect
        message = Formatter("GL-001", SystemClock()).command("count", {{}}, targets=["GL-002"], timeout_s=120)
        outbox.accept(connect({plant.database_url!r}, autocommit=True), message)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    child = subprocess.run([sys.executable, "-c", program], check=False)
    assert child.returncode == -9
    assert state_of(plant, "GL-002") == "queued"
    assert plant.executions == []
    with plant.broadcaster():
        until(lambda: state_of(plant, "GL-002") == "answered", "sent by the next orchestrator")
    assert len(plant.executions) == 1


def test_orchestrator_when_killed_while_answers_come_then_the_next_one_stores_them(plant: Plant) -> None:
    for agent_id in plant.targets:
        plant.agent(agent_id)
    config = plant.folder / "config.json"
    config.write_text(plant.config.model_dump_json())
    program = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from resources.agents.broadcaster import Broadcaster
        from resources.agents.config import AgentsConfig
        from resources.agents.record.recorder import Recorder
        from resources.agents.requests import Command
        # dies at the moment the first answer would be written
        Recorder._write = lambda self, entries: os.kill(os.getpid(), signal.SIGKILL) if entries.answers else None
        config = AgentsConfig.model_validate_json(Path({str(config)!r}).read_text())
        with Broadcaster(config, site={SITE!r}, database_url={plant.database_url!r}) as broadcaster:
            broadcaster.broadcast(Command("count", {{}}, config.targets, 120))
        """
    )
    child = subprocess.run([sys.executable, "-c", program], check=False)
    assert child.returncode == -9
    with plant.broadcaster():
        until(lambda: {state_of(plant, agent) for agent in plant.targets} == {"answered"}, "answers stored")
    assert len(plant.executions) == 2
    assert plant.rows("SELECT count(*) FROM agents.responses") == [(2,)]


def test_broker_when_restarted_in_the_middle_of_a_broadcast_then_every_agent_answers_once(
    plant: Plant, broker: EmbeddedBroker
) -> None:
    for agent_id in plant.targets:
        plant.agent(agent_id)
    with plant.broadcaster() as broadcaster:
        broadcaster.broadcast(plant.command())
        broker.stop()
        message_id = broadcaster.accept(plant.command(timeout_s=120)).message.message_id
        broker.start()
        until(lambda: all(r.state == "answered" for r in broadcaster.results(message_id)), "answers", 90)
    assert sorted(plant.executions[2:]) == sorted((agent, message_id) for agent in plant.targets)


def test_database_when_its_connections_die_then_the_orchestrator_goes_on(plant: Plant) -> None:
    plant.agent("GL-002")
    with plant.broadcaster() as broadcaster:
        broadcaster.broadcast(plant.command(targets=["GL-002"]))
        with psycopg.connect(plant.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with plant.broadcaster() as second:
            outcome = second.broadcast(plant.command(targets=["GL-002"]))
        assert outcome.answered == 1
    assert len(plant.executions) == 2


def test_orchestrator_when_the_leading_process_is_killed_then_a_waiting_one_takes_over(plant: Plant) -> None:
    plant.agent("GL-002")
    config = plant.folder / "config.json"
    config.write_text(plant.config.model_dump_json())
    program = textwrap.dedent(
        f"""
        import signal
        from pathlib import Path
        from resources.agents.config import AgentsConfig
        from resources.agents.orchestration.dispatcher import Dispatcher
        from resources.agents.orchestration.orchestrator import Orchestrator
        config = AgentsConfig.model_validate_json(Path({str(config)!r}).read_text())
        orchestrator = Orchestrator(config, site={SITE!r}, database_url={plant.database_url!r})
        # holds the lead and sends nothing, as a process that hangs
        Dispatcher.send_due = lambda self: None
        assert orchestrator.try_start()
        print("leading", flush=True)
        signal.pause()
        """
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"leading\n"
    with plant.broadcaster() as broadcaster:
        assert not broadcaster.orchestrating
        message_id = broadcaster.accept(plant.command(targets=["GL-002"])).message.message_id
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        broadcaster._wait_done(message_id)
        assert broadcaster.results(message_id)[0].state == "answered"
