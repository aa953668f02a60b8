"""Alarms of a collector over a real broker: told at once, told once, and lost by no crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from resources.agents.agent import Agent
from resources.agents.broadcaster import Broadcaster
from resources.agents.orchestration.orchestrator import Orchestrator
from resources.agents.security.keys import generate_keys, load_private_key
from resources.agents.security.tokens import sign
from resources.agents.wire.message import Formatter
from resources.core.clock import ManualClock, SystemClock
from resources.core.errors import ConfigError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from sensors.collector.alarms import service
from sensors.collector.alarms.evaluator import Evaluator
from sensors.collector.alarms.journal import STORE_FILE, AlarmJournal
from sensors.collector.alarms.service import Alarms
from tests.agents_support import SITE, plain_broker, set_access, until
from tests.alarms_support import ALARM_ID, CATALOG, AlarmPlant, reading, rules

COMMAND = {"name": "emergency", "targets": ["GL-002", "GL-003"], "timeout": "60s", "with_alarm": True}
RAISED, CLEARED = ("emergency", "raised", "b1.p", 12.0), ("system_status", "cleared", "b1.p", 9.0)


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker) -> Iterator[AlarmPlant]:
    plant = AlarmPlant(tmp_path, plain_broker(broker.port))
    yield plant
    plant.close()


def started(alarms: Alarms) -> Alarms:
    alarms.start()
    until(lambda: alarms.desk.connected, "the alarms' connection")
    return alarms


def journal(plant: AlarmPlant) -> list[tuple[str, str | None]]:
    with AlarmJournal(plant.home / STORE_FILE) as found:
        return [(entry.change.state, entry.change.answerer) for entry in found.oldest(100)]


def levels(alarms: Alarms) -> dict[str, str]:
    return {finding.name: finding.level for finding in alarms.findings()}


def test_reading_when_beyond_the_limit_then_agents_get_event_and_command_and_their_answers_are_noted(
    plant: AlarmPlant,
) -> None:
    events: list[tuple[str, Any]] = []

    def subscribe(agent: Agent) -> None:
        @agent.event("emergency")
        def emergency(payload: Any, call: Any) -> None:
            events.append((call.sender, payload["alarm"]))

    plant.agents.agent("GL-002", declare=subscribe)
    plant.agents.agent("GL-003")
    listener, alarms = plant.listen(), started(plant.alarms(rules(command=COMMAND)))
    assert levels(alarms) == {"alarms": "green"}
    alarms.watch(reading(12.0))
    until(lambda: len(plant.agents.executions) == 2, "both agents run the command")
    until(lambda: listener.told() == [RAISED], "the event")
    until(lambda: events == [(ALARM_ID, "overpressure")], "the agent's own handler of the event")
    assert set(listener.roles) == {"alarm"}
    event = listener.events[0]
    assert (event.source_agent, event.priority, event.payload["message"]) == (ALARM_ID, "critical", "Open the valve")
    assert levels(alarms) == {"alarms": "warning"}
    until(lambda: alarms.desk.figures.answers["ok"] == 2, "both answers")
    alarms.watch(reading(9.0))
    until(lambda: listener.told() == [RAISED, CLEARED], "the event that it is over")
    assert listener.events[-1].correlation_id == event.message_id
    until(lambda: alarms.desk.figures.unsent == 0, "the acknowledgement")
    alarms.stop()
    assert sorted(journal(plant), key=str) == [
        ("answered", "GL-002"),
        ("answered", "GL-003"),
        ("cleared", None),
        ("raised", None),
    ]
    assert alarms.desk.refused() == {}


TAKES_ALL = f"topic readwrite gl/{SITE}/#\n"
READS_ALL = f"topic read gl/{SITE}/#\ntopic write gl/{SITE}/agents/+/heartbeat\n"
"""With `TAKES_ALL` the broker takes what anybody says, with this only heartbeats."""


def answered(plant: AlarmPlant) -> dict[str | None, str | None]:
    with AlarmJournal(plant.home / STORE_FILE) as found:
        changes = [entry.change for entry in found.oldest(100)]
    return {c.answerer: c.details.get("error") for c in changes if c.state in ("answered", "unanswered")}


@pytest.fixture
def strict(programs: ServerPrograms, server_folder: Path) -> Iterator[EmbeddedBroker]:
    """A broker that takes nothing but heartbeats, until it is told to."""
    options = BrokerOptions(acl=READS_ALL, insecure_anonymous=True)
    made = EmbeddedBroker(server_folder / "alarms-acl", programs, options)
    made.start()
    yield made
    made.stop()


def test_alarm_when_the_broker_refuses_it_then_it_is_sent_again_until_it_is_taken(
    tmp_path: Path, strict: EmbeddedBroker
) -> None:
    plant = AlarmPlant(tmp_path, plain_broker(strict.port))
    plant.agents.agent("GL-002")
    listener, alarms = plant.listen(), started(plant.alarms(rules(command={**COMMAND, "targets": ["GL-002"]})))
    try:
        with structlog.testing.capture_logs() as logged:
            alarms.watch(reading(12.0))
            refused = {"event": "alarm_refused_by_broker", "type": "command", "target": "GL-002"}
            until(lambda: any(refused.items() <= line.items() for line in logged), "refused")
        assert alarms.desk.figures.unsent == 2
        set_access(strict, TAKES_ALL)
        until(lambda: alarms.desk.figures.answers["ok"] == 1, "the agent has run it and answered")
        until(lambda: listener.told() == [RAISED], "the event")
        until(lambda: alarms.desk.figures.unsent == 0, "nothing is left")
    finally:
        alarms.stop()
        plant.close()
    assert answered(plant) == {"GL-002": None}


def test_alarm_when_the_broker_refuses_it_for_one_agent_then_that_is_said_of_this_one_alone(
    tmp_path: Path, strict: EmbeddedBroker
) -> None:
    set_access(strict, READS_ALL + f"topic write gl/{SITE}/agents/GL-002/command\n")
    plant, clock = AlarmPlant(tmp_path, plain_broker(strict.port)), ManualClock(SystemClock().now())
    alarms = started(plant.alarms(rules(command=COMMAND), clock=clock))
    outbox = alarms.desk._outbox

    def noted() -> tuple[set[str], set[str]]:
        (found,) = [w for w in outbox._waiting.values() if w.outgoing.message.message_type == "command"]
        return found.taken, found.refused

    try:
        alarms.watch(reading(12.0, clock=clock))
        until(lambda: len(outbox._waiting) == 2, "both messages")
        until(lambda: noted() == ({"GL-002"}, {"GL-003"}), "one taken, one refused")
        clock.advance(61)
        until(lambda: alarms.desk.figures.answers["unanswered"] == 2, "given up")
    finally:
        alarms.stop()
    assert answered(plant) == {
        "GL-002": "no answer before the deadline",
        "GL-003": "refused by the broker until the deadline",
    }


def test_answer_when_it_is_for_the_collector_then_the_orchestrator_refuses_nothing(
    plant: AlarmPlant, database_url: str
) -> None:
    plant.agents.database_url = database_url
    plant.agents.agent("GL-002")
    orchestrator = Orchestrator(plant.agents.config, site=SITE, database_url=database_url)
    assert orchestrator.try_start()
    orchestrator.wait_connected()
    alarms = started(plant.alarms(rules(command={"name": "emergency", "targets": ["GL-002"]})))
    alarms.watch(reading(12.0))
    until(lambda: alarms.desk.figures.answers["ok"] == 1, "the answer")
    with plant.agents.broadcaster() as broadcaster:
        # its answer comes on the same topic, behind the one to the collector
        assert broadcaster.broadcast(plant.agents.command(targets=["GL-002"])).answered == 1
    assert orchestrator.refused() == {}
    alarms.stop()
    orchestrator.stop()


def test_command_when_payloads_are_encrypted_then_the_agent_runs_it_and_nobody_refuses_what_is_for_others(
    plant: AlarmPlant, database_url: str
) -> None:
    generate_keys(plant.agents.keys, ["GL-001", "GL-002"], encryption=True)
    plant.agents.agent("GL-002")
    config = plant.agents.config.model_copy(update={"encrypt_payloads": "always"})
    alarms = Alarms(
        plant.config(rules(command={"name": "emergency", "targets": ["GL-002"]})),
        config,
        site=SITE,
        home=plant.home,
        catalog=CATALOG,
        clock=SystemClock(),
    )
    started(alarms).watch(reading(12.0))
    until(lambda: alarms.desk.figures.answers["ok"] == 1, "the answer")
    with Broadcaster(config, site=SITE, database_url=database_url) as broadcaster:
        # its answer is encrypted for GL-001, and comes to the collector as well
        assert broadcaster.broadcast(plant.agents.command(targets=["GL-002"])).answered == 1
    alarms.watch(reading(9.0))
    alarms.watch(reading(12.0))
    until(lambda: alarms.desk.figures.answers["ok"] == 2, "the answer behind it")
    assert alarms.desk.refused() == {}
    alarms.stop()


def test_alarm_when_the_collector_comes_back_then_it_still_stands_and_is_not_told_again(plant: AlarmPlant) -> None:
    listener, alarms = plant.listen(), started(plant.alarms(rules()))
    alarms.watch(reading(12.0))
    until(lambda: listener.told() == [RAISED], "the event")
    alarms.stop()
    alarms = started(plant.alarms(rules()))
    alarms.watch(reading(13.0))
    alarms.watch(reading(9.0))
    until(lambda: listener.told() == [RAISED, CLEARED], "the event that it is over, and no second emergency")
    alarms.stop()


def test_alarm_when_its_rule_is_gone_then_it_is_ended(plant: AlarmPlant) -> None:
    alarms = started(plant.alarms(rules()))
    alarms.watch(reading(12.0))
    alarms.stop()
    alarms = started(plant.alarms({}))
    until(lambda: alarms.desk.standing() == [], "the alarm is withdrawn")
    alarms.stop()
    assert [state for state, _ in journal(plant)] == ["raised", "cleared"]


async def test_alarm_when_the_broker_is_away_then_durable_and_told_when_it_is_back(
    plant: AlarmPlant, broker: EmbeddedBroker
) -> None:
    listener = plant.listen()
    broker.stop()
    alarms = plant.alarms(rules())
    alarms.start()
    alarms.watch(reading(12.0))
    await alarms.durable()
    assert alarms.desk.figures.unsent == 1
    # this run dies without having told anybody: the next one has the message, under the same id
    alarms.stop()
    broker.start()
    alarms = started(plant.alarms(rules()))
    until(lambda: listener.told() == [RAISED], "the event of the run before")
    alarms.stop()


def test_alarm_when_the_store_takes_nothing_then_told_all_the_same_and_noted_later(plant: AlarmPlant) -> None:
    listener, alarms = plant.listen(), started(plant.alarms(rules()))
    other = sqlite3.connect(plant.home / STORE_FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    alarms.watch(reading(12.0))
    until(lambda: listener.told() == [RAISED], "the event")
    until(lambda: alarms.desk.disk_error, "the fault is seen")
    assert levels(alarms) == {"alarms": "warning"}
    other.execute("ROLLBACK")
    other.close()
    until(lambda: alarms.desk.disk_error is None and not alarms.desk.has_news, "the change is durable")
    alarms.stop()
    assert journal(plant) == [("raised", None)]


async def test_durable_when_the_store_takes_nothing_then_readings_do_not_wait(plant: AlarmPlant) -> None:
    alarms = started(plant.alarms(rules()))
    await alarms.durable()
    other = sqlite3.connect(plant.home / STORE_FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    alarms.watch(reading(12.0))
    await alarms.durable()
    assert alarms.desk.disk_error is not None
    other.execute("ROLLBACK")
    other.close()
    alarms.stop()


def test_command_when_nobody_answers_before_the_deadline_then_that_is_noted(plant: AlarmPlant) -> None:
    command = {"name": "count", "targets": ["GL-002"], "timeout": "1500ms"}
    # `count` does not allow the role alarm
    agent = plant.agents.agent("GL-002")
    alarms = started(plant.alarms(rules(command=command)))
    alarms.watch(reading(12.0))
    until(lambda: agent.refused().get("role_not_allowed") == 1, "the agent refuses")
    until(lambda: alarms.desk.figures.answers["unanswered"] == 1, "the deadline")
    alarms.stop()
    assert plant.agents.executions == []
    assert journal(plant) == [("raised", None), ("unanswered", "GL-002")]


def test_answer_when_it_is_not_what_an_agent_may_say_then_refused_and_counted(plant: AlarmPlant) -> None:
    wire = plant.agents.wire("GL-002")
    alarms = started(plant.alarms(rules(command={"name": "emergency", "targets": ["GL-002"]})))
    alarms.watch(reading(12.0))
    topic = f"gl/{SITE}/agents/GL-002/response"
    key = load_private_key(plant.agents.keys / "GL-002.jwk")
    command = Formatter(ALARM_ID, SystemClock()).command("emergency", {}, targets=["GL-002"], timeout_s=60)
    answer = Formatter("GL-002", SystemClock()).response(command, "ok")
    malformed = answer.model_copy(update={"payload": {"said": "ok"}})
    elsewhere = answer.model_copy(update={"target_agents": ["GL-001"]})
    late = Formatter("GL-002", SystemClock()).response(command, "expired")
    for message in (malformed, elsewhere, late, answer):
        wire.publish(topic, sign(message, key, SITE, now=SystemClock().now()).encode())
    wire.publish(topic, b"no token")
    until(lambda: alarms.desk.refused() == {"malformed": 1, "not_a_token": 1}, "both are refused")
    # it answers a command that is not open: nothing is noted of it
    assert alarms.desk.figures.answers == {}
    alarms.stop()


def test_command_when_it_is_too_large_for_a_token_then_the_event_goes_all_the_same(plant: AlarmPlant) -> None:
    command = {"name": "emergency", "targets": ["GL-002"], "args": {"plan": "x" * 300_000}, "timeout": "1s"}
    listener, alarms = plant.listen(), started(plant.alarms(rules(command=command)))
    alarms.watch(reading(12.0))
    until(lambda: listener.told() == [RAISED], "the event")
    until(lambda: alarms.desk.figures.answers["unanswered"] == 1, "the deadline")
    alarms.stop()


def test_message_when_its_deadline_passes_while_the_broker_is_away_then_given_up_and_counted(
    plant: AlarmPlant, broker: EmbeddedBroker
) -> None:
    broker.stop()
    command = {"name": "emergency", "targets": ["GL-002"], "timeout": "200ms"}
    alarms = plant.alarms(rules(timeout="100ms", command=command))
    alarms.start()
    alarms.watch(reading(12.0))
    until(lambda: alarms.desk.figures.expired == {"event": 1, "command": 1}, "both deadlines")
    alarms.stop()
    assert journal(plant) == [("raised", None), ("unanswered", "GL-002")]


def test_rule_when_the_cleared_topic_is_null_then_the_end_is_noted_and_not_told(plant: AlarmPlant) -> None:
    listener, alarms = plant.listen(), started(plant.alarms(rules(cleared_topic=None)))
    alarms.watch(reading(12.0))
    alarms.watch(reading(9.0))
    until(lambda: alarms.desk.figures.cleared["overpressure"] == 1, "the end")
    until(lambda: listener.told() == [RAISED], "the event")
    alarms.stop()
    assert [state for state, _ in journal(plant)] == ["raised", "cleared"]


async def test_alarm_when_a_duration_runs_out_without_a_reading_then_raised_by_the_clock(plant: AlarmPlant) -> None:
    import asyncio

    alarms = started(plant.alarms(rules(duration="300ms")))
    ticking = asyncio.create_task(alarms.tick_forever(lambda _: True))
    alarms.watch(reading(12.0))
    async with asyncio.timeout(60):
        while not alarms.desk.standing():
            await asyncio.sleep(0.01)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    alarms.stop()


def test_watch_when_judging_fails_then_the_readings_go_on_and_so_do_the_alarms(
    plant: AlarmPlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[Any]:
        raise IndexError("a fault")

    alarms = plant.alarms(rules())
    alarms.start()
    with monkeypatch.context() as patched:
        patched.setattr(Evaluator, "judge", fail)
        alarms.watch(reading(12.0))
    alarms.watch(reading(13.0))
    until(alarms.desk.standing, "the alarm of the next reading")
    alarms.stop()


def test_findings_when_a_source_gives_old_readings_only_then_a_warning_names_it(
    plant: AlarmPlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(SystemClock().now())
    alarms = plant.alarms(rules(), clock=clock)
    alarms.start()
    old = reading(12.0, clock=clock)
    clock.advance(service.NOT_LIVE_LIMIT_S + 1)
    alarms.watch(old)
    assert levels(alarms)["alarms.boilers"] == "warning"
    alarms.watch(reading(1.0, clock=clock))
    assert "alarms.boilers" not in levels(alarms)
    alarms.stop()
    names = {sample.name for family in alarms.collect() for sample in family.samples}
    assert {"gl_alarms_standing", "gl_alarms_late_readings_total", "gl_alarms_latency_seconds_bucket"} <= names


def test_alarms_when_the_key_is_an_agents_then_refused(plant: AlarmPlant) -> None:
    with pytest.raises(ConfigError, match="role is agent, and alarms need one of role alarm"):
        plant.alarms(rules(), private_key=plant.agents.keys / "GL-002.jwk")


def test_store_when_the_file_is_no_store_then_refused(plant: AlarmPlant) -> None:
    plant.home.mkdir()
    (plant.home / STORE_FILE).write_text("no database, and long enough to be none" * 40)
    with pytest.raises(ConfigError, match="alarm store .* cannot be opened"):
        plant.alarms(rules())
