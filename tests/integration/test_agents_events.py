"""Events end to end on the platform's side: published through the outbox, received, stored, told; and cancelling."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gl_assets.cli.coordination.agents import agents as agents_command
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import TopicConfig
from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.orchestration.event_listeners import HeardEvent
from resources.agents.orchestration.events import EventRequest
from resources.agents.orchestration.orchestrator import Orchestrator
from resources.agents.record import outbox
from resources.agents.security import tokens
from resources.agents.security.keys import PublicKeys, load_private_key
from resources.agents.security.tokens import open_token, sign
from resources.agents.wire.message import Formatter, Message, new_id
from resources.core.clock import ManualClock, SystemClock
from resources.core.errors import DataError
from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, until

REASON = TopicConfig(payload_schema={"type": "object", "required": ["reason"]})


class Reader:
    """A client that reads all topics of events, and may publish."""

    def __init__(self, plant: Plant) -> None:
        self._keys = PublicKeys(plant.jwks)
        self._network = Network()
        self.events: list[Message] = []
        callbacks = BusCallbacks(self._hear, lambda: None, lambda: None)
        self.bus = Bus(plant.broker, "reader", [f"gl/{SITE}/events/+"], callbacks, self._network)
        self.bus.start()
        self.bus.wait_connected(30)

    def _hear(self, arrived: Arrived) -> None:
        self.events.append(open_token(arrived.payload, self._keys, SITE).message)
        arrived.ack()

    def close(self) -> None:
        self.bus.stop()
        self._network.close()


@pytest.fixture
def reader(plant: Plant) -> Iterator[Reader]:
    made = Reader(plant)
    yield made
    made.close()


def broadcaster_of(plant: Plant, **changes: Any) -> Broadcaster:
    return Broadcaster(plant.config.model_copy(update=changes), site=SITE, database_url=plant.database_url)


def leading(broadcaster: Broadcaster) -> Orchestrator:
    orchestrator = broadcaster._orchestrator
    assert orchestrator is not None
    orchestrator.wait_connected()
    return orchestrator


def token_of(plant: Plant, message: Message, *, at: datetime | None = None) -> bytes:
    key = load_private_key(plant.keys / f"{message.source_agent}.jwk")
    return sign(message, key, SITE, now=at or datetime.now(UTC)).encode()


def agent_says(topic: str, payload: Any, *, at: datetime | None = None, message_id: str | None = None) -> Message:
    clock = SystemClock() if at is None else ManualClock(at)
    return Formatter("GL-002", clock).event(topic, payload, timeout_s=60, message_id=message_id)


def rows(plant: Plant) -> list[tuple[Any, ...]]:
    return plant.rows(
        "SELECT topic, source_agent, payload, status, target_agents FROM agents.messages WHERE message_type = 'event' "
        "ORDER BY message_id"
    )


def test_event_when_published_then_all_read_it_once_and_its_row_is_done(plant: Plant, reader: Reader) -> None:
    first: list[HeardEvent] = []
    second: list[HeardEvent] = []
    with broadcaster_of(plant, topics={"emergency": REASON}) as broadcaster:
        for told in (first, second):
            broadcaster.subscribe("emergency", told.append)
        request = EventRequest("emergency", {"reason": "drum level"}, 60, "critical", message_id=new_id())
        published = broadcaster.publish(request)
        assert (published.status, published.repeated) == ("done", False)
        again = broadcaster.publish(request)
        assert (again.status, again.repeated) == ("done", True)
        until(lambda: first and second, "told to both subscribers")
        with pytest.raises(DataError, match="used for another message"):
            broadcaster.publish(EventRequest("system_status", {"reason": 1}, 60, message_id=request.message_id))
        with pytest.raises(DataError, match="does not fit topic emergency"):
            broadcaster.publish(EventRequest("emergency", {}, 60))
        with pytest.raises(DataError, match="no topic gossip"):
            broadcaster.publish(EventRequest("gossip", {}, 60))
        with broadcaster_of(plant) as follower:
            # another process: it accepts, the first one publishes
            follower.subscribe("emergency", first.append)
            assert follower.publish(EventRequest("system_status", {"load": 0.7}, 60)).status == "done"
        until(lambda: len(reader.events) == 2, "both events on the wire")
    assert [(event.topic, event.payload, event.priority) for event in reader.events] == [
        ("emergency", {"reason": "drum level"}, "critical"),
        ("system_status", {"load": 0.7}, "normal"),
    ]
    assert [(event.message_id, event.source_agent, event.role) for event in first] == [
        (published.message.message_id, "GL-001", "orchestrator")
    ]
    assert first == second
    assert rows(plant) == [
        ("emergency", "GL-001", {"reason": "drum level"}, "done", []),
        ("system_status", "GL-001", {"load": 0.7}, "done", []),
    ]
    assert plant.rows("SELECT count(*) FROM agents.deliveries") == [(0,)]


def test_events_when_received_then_each_is_stored_and_told_once_and_what_may_not_be_is_refused(
    plant: Plant, reader: Reader
) -> None:
    told: list[HeardEvent] = []
    with broadcaster_of(plant, topics={"emergency": REASON}) as broadcaster:
        orchestrator = leading(broadcaster)
        orchestrator.subscribe("emergency", told.append)
        good = agent_says("emergency", {"reason": "a\0b"})
        forged = good.model_copy(update={"payload": {"reason": "another"}})
        old = datetime.now(UTC) - timedelta(hours=1)
        publish: Callable[[str, bytes], None] = lambda topic, said: reader.bus.publish(  # noqa: E731
            f"gl/{SITE}/events/{topic}", said
        )
        publish("emergency", token_of(plant, good))
        until(lambda: told, "told")
        publish("emergency", token_of(plant, good))
        publish("emergency", token_of(plant, forged))
        publish("emergency", token_of(plant, agent_says("emergency", {})))
        publish("emergency", token_of(plant, agent_says("system_status", {})))
        publish("gossip", token_of(plant, agent_says("gossip", {})))
        publish("emergency", token_of(plant, agent_says("emergency", {"reason": "late"}, at=old), at=old))
        publish("emergency", token_of(plant, agent_says("emergency", {"reason": "the last"})))
        until(lambda: len(told) == 2, "told of the last")
        refused = orchestrator.refused()
    assert refused == {"forged_repeat": 1, "unfit_payload": 1, "wrong_topic": 1, "unknown_topic": 1, "expired": 1}
    assert [event.payload for event in told] == [{"reason": "a\0b"}, {"reason": "the last"}]
    assert rows(plant) == [
        ("emergency", "GL-002", {"reason": "a\ufffdb"}, "received", []),
        ("emergency", "GL-002", {"reason": "the last"}, "received", []),
    ]


def test_subscriber_when_its_process_takes_over_the_lead_then_it_hears_the_events_from_then_on(plant: Plant) -> None:
    told: list[HeardEvent] = []
    with ExitStack() as first:
        leading(first.enter_context(plant.broadcaster()))
        with plant.broadcaster() as second:
            second.subscribe("emergency", told.append)
            assert not second.orchestrating
            first.close()
            # whoever waits for a message looks whether it has to take over
            assert second.publish(EventRequest("emergency", {"n": 1}, 60)).status == "done"
            assert second.orchestrating
            until(lambda: told, "told after taking over")
    assert [event.payload for event in told] == [{"n": 1}]


def test_event_when_its_sender_is_killed_after_accepting_then_the_next_one_publishes(
    plant: Plant, reader: Reader
) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal
        from resources.agents.record import outbox
        from resources.agents.wire.message import Formatter
        from resources.core.clock import SystemClock
        from resources.databases.timescale.connection import connect
        event = Formatter("GL-001", SystemClock()).event("emergency", {{"reason": "fire"}}, timeout_s=120)
        outbox.accept(connect({plant.database_url!r}, autocommit=True), event)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    child = subprocess.run([sys.executable, "-c", program], check=False)
    assert child.returncode == -signal.SIGKILL
    assert [row[3] for row in rows(plant)] == ["accepted"]
    assert reader.events == []
    with plant.broadcaster():
        until(lambda: [row[3] for row in rows(plant)] == ["done"], "published by the next orchestrator")
        until(lambda: reader.events, "on the wire")
    assert [event.payload for event in reader.events] == [{"reason": "fire"}]


def test_broker_when_away_then_an_event_waits_or_expires_and_a_cancelled_command_is_never_run(
    plant: Plant, broker: EmbeddedBroker
) -> None:
    plant.agent("GL-002")
    with plant.broadcaster() as broadcaster:
        orchestrator = leading(broadcaster)
        broker.stop()
        until(lambda: not orchestrator._bus.connected, "the loss noticed")
        late = broadcaster.publish(EventRequest("emergency", {"n": 1}, 0.5))
        assert late.status == "expired"
        waiting = broadcaster.publish(EventRequest("emergency", {"n": 2}, 120), wait_s=0.0)
        assert waiting.status == "accepted"
        unwanted = broadcaster.accept(plant.command(targets=["GL-002"])).message.message_id
        with broadcaster_of(plant) as other:
            # cancelled by another process, over the database
            assert other.cancel(unwanted)
            assert not other.cancel(unwanted)
        assert broadcaster._wait_done(unwanted, 30) == "cancelled"
        broker.start()
        wanted = broadcaster.broadcast(plant.command(targets=["GL-002"]))
        assert wanted.answered == 1
        status = lambda: outbox.status(broadcaster._database, waiting.message.message_id)  # noqa: E731
        until(lambda: status() == "done", "the event that waited")
    assert [message_id for _, message_id in plant.executions] == [wanted.message.message_id]
    assert plant.rows(f"SELECT state, reason FROM agents.deliveries WHERE message_id = '{unwanted}'") == [
        ("expired", "cancelled before it was sent")
    ]


def test_command_when_cancelled_after_it_was_sent_then_a_late_answer_is_stored_all_the_same(plant: Plant) -> None:
    wire = plant.wire()
    with plant.broadcaster() as broadcaster:
        leading(broadcaster)
        accepted = broadcaster.accept(plant.command(targets=["GL-002"])).message
        until(lambda: broadcaster.results(accepted.message_id)[0].state == "sent", "sent")
        assert broadcaster.cancel(accepted.message_id)
        (result,) = broadcaster.results(accepted.message_id)
        assert (result.state, result.reason) == ("expired", "cancelled; it had been sent, so the agent may run it")
        answer = Formatter("GL-002", SystemClock()).response(accepted, "ok", result=5)
        wire.publish(f"gl/{SITE}/agents/GL-002/response", token_of(plant, answer))
        until(lambda: broadcaster.results(accepted.message_id)[0].state == "answered", "the late answer")
        assert outbox.status(broadcaster._database, accepted.message_id) == "cancelled"


def test_message_when_it_cannot_be_signed_then_it_ends_with_the_reason_and_the_next_goes_on(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant.broadcaster() as broadcaster:
        leading(broadcaster)
        monkeypatch.setattr(tokens, "LARGEST_TOKEN", 2_000)
        outcome = broadcaster.broadcast(plant.command(targets=["GL-002"], args={"text": "x" * 3_000}, check_args=False))
        ((reason,),) = [(result.reason,) for result in outcome.results]
        assert reason is not None
        assert reason.startswith("it could not be sent: message")
        assert broadcaster.publish(EventRequest("emergency", "x" * 3_000, 60)).status == "expired"
        assert broadcaster.publish(EventRequest("emergency", "x", 60)).status == "done"


def test_arguments_when_they_do_not_fit_what_was_declared_then_nothing_is_sent_unless_that_is_asked_for(
    plant: Plant,
) -> None:
    with plant.broadcaster() as broadcaster:
        # heard from the first heartbeat on: the next would come half a minute later
        leading(broadcaster)
        for agent_id in plant.targets:
            plant.agent(agent_id)
        until(lambda: plant.rows("SELECT count(*) FROM agents.sessions") == [(2,)], "both declared")
        with pytest.raises(DataError, match=r"\$\.n: breaks 'type' of the schema \(declared by GL-002, GL-003\)"):
            broadcaster.broadcast(plant.command(args={"n": "many"}))
        assert plant.rows("SELECT count(*) FROM agents.messages") == [(0,)]
        outcome = broadcaster.broadcast(plant.command(args={"n": "many"}, check_args=False))
        assert {result.state for result in outcome.results} == {"failed"}
        assert broadcaster.broadcast(plant.command(args={"n": 4})).answered == 2
    assert len(plant.executions) == 2


def test_gl_agents_publish_and_cancel_when_called_then_they_say_what_became_of_it(
    plant: Plant, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"site": SITE, "start": "2026-01-01T00:00:00Z", "agents": plant.config.model_dump(mode="json")}
    path = plant.folder / "integrations.yaml"
    path.write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", plant.database_url)
    gl = CliRunner()
    publish = ["publish", "emergency", "--payload", '{"reason": "drum level"}', "--priority", "critical"]
    done = json.loads(gl.invoke(agents_command, [*publish, "--json"]).stdout)
    assert (done["status"], done["repeated"]) == ("done", False)
    again = gl.invoke(agents_command, [*publish, "--message-id", done["message_id"]])
    assert again.stdout.strip() == f"event {done['message_id']} on emergency: the broker has it"
    assert "not JSON" in str(gl.invoke(agents_command, ["publish", "emergency", "--payload", "{"]).exception)
    until(lambda: reader.events, "on the wire")
    ended = gl.invoke(agents_command, ["cancel", done["message_id"]])
    assert (ended.exit_code, ended.stdout.strip()) == (1, f"{done['message_id']} had ended before: done")
    assert "there is none of that id" in str(gl.invoke(agents_command, ["cancel", new_id()]).exception)
    with plant.broadcaster() as broadcaster:
        open_id = broadcaster.accept(plant.command(targets=["GL-003"])).message.message_id
        withdrawn = gl.invoke(agents_command, ["cancel", open_id])
        assert (withdrawn.exit_code, withdrawn.stdout.strip()) == (0, f"{open_id} is withdrawn")
        assert broadcaster._wait_done(open_id, 30) == "cancelled"


def test_orchestrator_when_a_turn_fails_then_it_goes_on_with_the_next(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant.broadcaster() as broadcaster:
        orchestrator = leading(broadcaster)
        failed = threading.Event()
        look_around = orchestrator._desk.registry.look_around

        def fail_once(*, connected: bool) -> None:
            if not failed.is_set():
                failed.set()
                raise RuntimeError("a fault of ours")
            look_around(connected=connected)

        monkeypatch.setattr(orchestrator._desk.registry, "look_around", fail_once)
        assert failed.wait(30)
        # its deadline is noticed by the thread that had failed
        (result,) = broadcaster.broadcast(plant.command(targets=["GL-003"], timeout_s=0.2)).results
        assert result.state == "expired"
        assert orchestrator.leading
