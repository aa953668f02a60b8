"""What the outbox does with messages that something is wrong with, or that go wrong: nothing else must suffer by them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from resources.agents.broadcaster import Broadcaster
from resources.agents.record import outbox
from resources.agents.requests import Quorum, Request, Result, Retry
from resources.agents.security.keys import load_private_key
from resources.agents.security.tokens import sign
from resources.agents.strategies.parallel import Parallel
from resources.agents.wire.message import Formatter, Message, new_id
from resources.core.clock import SystemClock
from resources.core.errors import DataError
from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, orchestrator_says, plain_broker, until

DEEPEST_ARGS = 61
"""Depth of arguments whose token is nested 64 deep."""


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    made = Plant(tmp_path, plain_broker(broker.port), database_url, targets=("GL-002", "GL-003", "GL-004"))
    yield made
    made.leave()


def nested(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(depth - 1):
        made = {"a": made}
    return made


def accepted_by_an_older_version(plant: Plant) -> Message:
    """A row whose payload is nested deeper than it may be, and nobody knows of it yet."""
    command = orchestrator_says(timeout_s=600)
    payload = json.dumps({"name": "count", "args": nested(DEEPEST_ARGS + 3)})
    with psycopg.connect(plant.database_url, autocommit=True) as connection, connection.transaction():
        outbox.accept(connection, command)
        connection.execute(
            "UPDATE agents.messages SET payload = %s::jsonb WHERE message_id = %s", (payload, command.message_id)
        )
    return command


def fate(plant: Plant, message: Message) -> tuple[str, str, str]:
    """Status of the message, state and reason of its one delivery."""
    (found,) = plant.rows(
        "SELECT m.status, d.state, coalesce(d.reason, '') FROM agents.messages m JOIN agents.deliveries d "
        f"USING (message_id) WHERE message_id = '{message.message_id}'"
    )
    return found


@pytest.mark.parametrize("depth", [DEEPEST_ARGS + 1, DEEPEST_ARGS + 3, 400])
def test_command_when_nested_deeper_than_agents_read_then_not_accepted(plant: Plant, depth: int) -> None:
    with plant.broadcaster() as broadcaster, pytest.raises(DataError, match="agents would refuse|written as JSON"):
        broadcaster.accept(plant.command(args=nested(depth)))
    assert plant.rows("SELECT count(*) FROM agents.messages") == [(0,)]


def test_command_when_nested_as_deep_as_allowed_then_run(plant: Plant) -> None:
    plant.agent("GL-002")
    with plant.broadcaster() as broadcaster:
        outcome = broadcaster.broadcast(plant.command(targets=["GL-002"], args=nested(DEEPEST_ARGS)))
    assert outcome.answered == 1


def test_orchestrator_when_an_open_row_cannot_be_read_then_it_starts_and_the_row_ends_with_the_reason(
    plant: Plant,
) -> None:
    plant.agent("GL-002")
    unreadable = accepted_by_an_older_version(plant)
    with plant.broadcaster() as broadcaster:
        assert broadcaster.orchestrating
        assert broadcaster.broadcast(plant.command(targets=["GL-002"])).answered == 1
        with pytest.raises(DataError, match="its row cannot be read: nested deeper than 64"):
            broadcaster.broadcast(plant.command(message_id=unreadable.message_id))
    status, state, reason = fate(plant, unreadable)
    assert (status, state) == ("done", "expired")
    assert reason.startswith("it could not be sent: command")
    assert "nested deeper than 64" in reason


def test_orchestrator_when_it_hears_of_a_row_it_cannot_read_then_whoever_waits_is_told(plant: Plant) -> None:
    with plant.broadcaster() as leader, plant.broadcaster() as waiting:
        assert leader.orchestrating
        assert not waiting.orchestrating
        unreadable = accepted_by_an_older_version(plant)
        assert waiting._wait_done(unreadable.message_id, 60) == "done"
        (result,) = waiting.results(unreadable.message_id)
        assert isinstance(result, Result)
        assert "nested deeper than 64" in (result.reason or "")


def test_orchestrator_when_its_start_fails_then_it_holds_nothing_and_the_next_one_leads(plant: Plant) -> None:
    connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gl'"
    with psycopg.connect(plant.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE agents.seen_ids RENAME TO not_there")
        broadcaster = plant.broadcaster()
        with pytest.raises(psycopg.errors.UndefinedTable):
            broadcaster.__enter__()
        # a backend ends a moment after its connection
        until(lambda: plant.rows(connections) == [(0,)], "nothing is connected")
        connection.execute("ALTER TABLE agents.not_there RENAME TO seen_ids")
    with broadcaster:
        assert broadcaster.orchestrating


def test_command_when_cancelled_while_the_database_connection_is_lost_then_nothing_more_is_sent_of_it(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for agent_id in ("GL-003", "GL-004"):
        plant.agent(agent_id)
    message_id = new_id()
    # GL-002 is away, and the others have their turns after it
    command = plant.command(timeout_s=600, message_id=message_id, check_args=False)
    with plant.broadcaster() as broadcaster:
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        broadcaster.run(Request(command, Parallel(1), retry=Retry(0, 600), wait_s=0))
        schedule, take_lead, cancelled = orchestrator._desk.schedule, orchestrator._take_lead, threading.Event()

        def take_lead_after_the_cancelling() -> bool:
            assert cancelled.wait(60)
            return take_lead()

        monkeypatch.setattr(orchestrator, "_take_lead", take_lead_after_the_cancelling)
        with psycopg.connect(plant.database_url, autocommit=True) as connection:
            lost = orchestrator._connection
            assert lost is not None
            connection.execute("SELECT pg_terminate_backend(%s)", (lost.info.backend_pid,))
            until(lambda: lost.closed, "the connection is lost")
            assert outbox.cancel(connection, "GL-001", message_id)
        assert schedule.knows(message_id)
        cancelled.set()
        until(lambda: not schedule.knows(message_id), "withdrawn")
        # what was accepted, and is not cancelled, goes on
        assert broadcaster.broadcast(plant.command(targets=["GL-003"])).answered == 1
    assert [agent_id for agent_id, run in plant.executions if run == message_id] == []


def test_quorum_when_one_agent_answers_twice_then_another_is_still_waited_for(plant: Plant) -> None:
    wire, message_id = plant.wire(), new_id()
    command = plant.command(timeout_s=600, message_id=message_id, check_args=False)
    request = Request(command, Parallel(), quorum=Quorum(2))
    with plant.broadcaster() as broadcaster:
        assert broadcaster.run(replace(request, wait_s=0)).status == "accepted"

        def answer(agent_id: str) -> None:
            asked = orchestrator_says(message_id=message_id, timeout_s=600)
            response = Formatter(agent_id, SystemClock()).response(asked, "ok", result=1)
            token = sign(response, load_private_key(plant.keys / f"{agent_id}.jwk"), SITE, now=SystemClock().now())
            wire.publish(f"gl/{SITE}/agents/{agent_id}/response", token.encode())

        answer("GL-002")
        answer("GL-002")
        seen = "SELECT count(*) FROM agents.seen_ids"
        until(lambda: plant.rows(seen) == [(2,)], "both were taken")
        assert plant.rows("SELECT status FROM agents.messages") == [("accepted",)]
        answer("GL-003")
        outcome = broadcaster.run(request)
    assert (outcome.status, outcome.answered, outcome.needed, outcome.enough) == ("done", 2, 2, True)


def test_target_when_the_rate_limit_holds_its_command_back_then_that_is_the_reason_and_no_miss(plant: Plant) -> None:
    config = plant.config.model_copy(update={"rate_limit": 1})
    online = "SELECT count(*) FROM agents.registry WHERE status = 'online'"
    with Broadcaster(config, site=SITE, database_url=plant.database_url) as broadcaster:
        assert broadcaster._orchestrator is not None
        broadcaster._orchestrator.wait_connected()
        for agent_id in plant.targets:
            plant.agent(agent_id)
        until(lambda: plant.rows(online) == [(3,)], "all are there")
        # the third goes two seconds after the first at the earliest
        held_back = broadcaster.broadcast(plant.command(timeout_s=1.5)).results[-1]
    assert (held_back.agent_id, held_back.state, held_back.attempts) == ("GL-004", "expired", 0)
    assert "agents.rate_limit held it back" in (held_back.reason or "")
    score = "SELECT score_weight FROM agents.registry WHERE agent_id = 'GL-004'"
    assert plant.rows(score)[0][0] in (None, 0)
    assert "GL-004" not in [agent_id for agent_id, _ in plant.executions]
