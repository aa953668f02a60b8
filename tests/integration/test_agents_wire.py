"""One agent and one orchestrator on a real broker and a real database: who, once, time, offline."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.agents.security.keys import generate_keys, load_private_key
from resources.agents.security.tokens import sign
from resources.agents.wire.message import Formatter, new_id, rfc3339
from resources.core.clock import ManualClock, SystemClock
from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, Wire, orchestrator_says, plain_broker, until


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    made = Plant(tmp_path, plain_broker(broker.port), database_url)
    yield made
    made.leave()


def shifted(seconds: float) -> ManualClock:
    return ManualClock(datetime.now(UTC) + timedelta(seconds=seconds))


def test_broadcast_when_all_agents_are_there_then_every_answer_is_stored(plant: Plant) -> None:
    for agent_id in plant.targets:
        plant.agent(agent_id)
    with plant.broadcaster() as broadcaster:
        outcome = broadcaster.broadcast(plant.command(args={"n": 7}))
    assert [(r.agent_id, r.state, r.result) for r in outcome.results] == [
        ("GL-002", "answered", {"n": 7}),
        ("GL-003", "answered", {"n": 7}),
    ]
    assert len(outcome.latencies_ms) == 2
    assert plant.rows("SELECT status FROM agents.messages") == [("done",)]
    assert sorted(plant.executions) == sorted((a, outcome.message.message_id) for a in plant.targets)


def test_command_when_delivered_twice_then_run_once_and_the_stored_response_sent_again(plant: Plant) -> None:
    plant.agent("GL-002")
    wire = plant.wire()
    message = orchestrator_says()
    wire.send(message, to="GL-002")
    until(lambda: wire.responses(message.message_id), "first answer")
    wire.send(message, to="GL-002")
    first, second = until(lambda: len(found := wire.responses(message.message_id)) == 2 and found, "second answer")
    assert len(plant.executions) == 1
    assert first == second
    tokens = [arrived.payload for arrived in wire.heard if arrived.topic.endswith("response")]
    assert len(tokens) == 2


def test_command_when_repeated_after_its_expiry_then_the_stored_response_is_sent_again(plant: Plant) -> None:
    clock = shifted(0)
    plant.agent("GL-002", clock=clock)
    wire = plant.wire()
    message = orchestrator_says(clock, timeout_s=5)
    token = wire.send(message, to="GL-002", clock=clock)
    until(lambda: wire.responses(message.message_id), "answer")
    clock.advance(34)
    wire.publish(f"gl/{SITE}/agents/GL-002/command", token)
    found = until(lambda: len(found := wire.responses(message.message_id)) == 2 and found, "answer again")
    assert [m.payload["status"] for m in found] == ["ok", "ok"]
    assert len(plant.executions) == 1


def test_command_when_expired_then_a_signed_expired_once_in_ten_seconds_and_the_id_not_kept(plant: Plant) -> None:
    plant.agent("GL-002", store_clock=shifted(-86_400))
    wire = plant.wire()
    # its token's five minutes are over, the command's own deadline is not
    message = orchestrator_says(shifted(-400), timeout_s=600)
    wire.send(message, to="GL-002", clock=shifted(-400))
    until(lambda: wire.responses(message.message_id), "expired")
    wire.send(message, to="GL-002", clock=shifted(-390))
    wire.send(message, to="GL-002")
    until(lambda: len(wire.responses(message.message_id)) == 2, "the answer after signing anew")
    assert [m.payload["status"] for m in wire.responses(message.message_id)] == ["expired", "ok"]
    assert plant.executions == [("GL-002", message.message_id)]


def b64(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def claims_of(token: bytes) -> dict[str, Any]:
    body = token.split(b".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    return found


def forgeries(plant: Plant) -> dict[str, tuple[str, bytes]]:
    """Reason -> (topic, token) of messages that must not be run."""
    key = load_private_key(plant.keys / "GL-001.jwk")
    agent_key = load_private_key(plant.keys / "GL-003.jwk")
    now = datetime.now(UTC)
    topic = f"gl/{SITE}/agents/GL-002/command"
    good = orchestrator_says()
    token = sign(good, key, SITE, now=now).encode()
    head, body, signature = token.split(b".")
    claims = claims_of(token)
    unsigned = f"{b64({'alg': 'none', 'kid': key.kid})}.{body.decode()}.{b64(b'x')}".encode()
    x = key.key.as_dict(private=False)["x"]
    hs_input = f"{b64({'alg': 'HS256', 'kid': key.kid})}.{body.decode()}"
    secret = base64.urlsafe_b64decode(str(x) + "=")
    hs256 = f"{hs_input}.{b64(hmac.new(secret, hs_input.encode(), hashlib.sha256).digest())}".encode()
    altered = b".".join([head, b64({**claims, "role": "observer"}).encode(), signature])
    embedded = f"{b64({'alg': 'EdDSA', 'kid': key.kid, 'jwk': {'kty': 'OKP'}})}.{body.decode()}.{signature.decode()}"
    other_folder = plant.folder / "other"
    generate_keys(other_folder, ["GL-001"])
    stolen_name = sign(good, load_private_key(other_folder / "GL-001.jwk"), SITE, now=now).encode()
    from_agent = Formatter("GL-003", SystemClock()).command("count", {}, targets=["GL-002"], timeout_s=60)
    as_other = good.model_copy(update={"source_agent": "GL-003"})
    return {
        "not_a_token": (topic, b"hello"),
        "too_large": (topic, b"a" * 300_000),
        "wrong_algorithm": (topic, unsigned),
        "wrong_algorithm#2": (topic, hs256),
        "forbidden_header": (topic, embedded.encode()),
        "bad_signature": (topic, altered),
        "bad_signature#2": (topic, stolen_name),
        "wrong_audience": (topic, sign(good, key, "elsewhere", now=now).encode()),
        "not_a_target": (topic, sign(orchestrator_says(targets=["GL-003"]), key, SITE, now=now).encode()),
        "role_not_allowed": (topic, sign(from_agent, agent_key, SITE, now=now).encode()),
        "wrong_source": (topic, sign(as_other, key, SITE, now=now).encode()),
        "issued_in_future": (topic, sign(good, key, SITE, now=now + timedelta(seconds=120)).encode()),
    }


def test_messages_when_forged_then_refused_counted_and_nothing_run(plant: Plant) -> None:
    agent = plant.agent("GL-002")
    wire = plant.wire()
    expected: dict[str, int] = {}
    for name, (topic, token) in forgeries(plant).items():
        wire.publish(topic, token)
        reason = name.partition("#")[0]
        expected[reason] = expected.get(reason, 0) + 1
    until(lambda: sum(agent.refused().values()) == sum(expected.values()), "all refused")
    assert agent.refused() == expected
    assert plant.executions == []
    assert wire.responses() == []


def test_id_when_used_again_for_other_content_then_refused_as_forgery(plant: Plant) -> None:
    agent = plant.agent("GL-002")
    wire = plant.wire()
    message = orchestrator_says(args={"n": 1})
    wire.send(message, to="GL-002")
    until(wire.responses, "answer")
    wire.send(message.model_copy(update={"payload": {"name": "count", "args": {"n": 2}}}), to="GL-002")
    until(agent.refused, "refusal")
    assert agent.refused() == {"forged_repeat": 1}
    assert len(plant.executions) == 1


def test_command_when_of_role_alarm_then_only_where_the_command_allows_it(plant: Plant) -> None:
    generate_keys(plant.keys, ["ALARM-1"], role="alarm")
    agent = plant.agent("GL-002")
    wire = plant.wire()
    alarm = Formatter("ALARM-1", SystemClock())
    wire.send(alarm.command("count", {}, targets=["GL-002"], timeout_s=60), to="GL-002", sender="ALARM-1")
    wire.send(alarm.command("emergency", {}, targets=["GL-002"], timeout_s=60), to="GL-002", sender="ALARM-1")
    until(lambda: plant.executions, "emergency")
    assert agent.refused() == {"role_not_allowed": 1}
    assert len(plant.executions) == 1


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [("count", {"n": "seven"}, "is not of type 'integer'"), ("nonsense", {}, "has no command nonsense")],
    ids=["arguments", "unknown"],
)
def test_command_when_it_cannot_be_run_then_answered_with_the_error(
    plant: Plant, name: str, args: dict[str, Any], error: str
) -> None:
    plant.agent("GL-002")
    with plant.broadcaster() as broadcaster:
        outcome = broadcaster.broadcast(plant.command(name, args=args, targets=["GL-002"]))
    assert outcome.results[0].state == "failed"
    assert error in str(outcome.results[0].reason)


@pytest.mark.parametrize("seconds", [25, -25], ids=["ahead", "behind"])
def test_clock_when_off_by_less_than_the_skew_then_the_command_is_run(plant: Plant, seconds: int) -> None:
    plant.agent("GL-002", clock=shifted(seconds), store_clock=shifted(-86_400))
    wire = plant.wire()
    message = orchestrator_says(timeout_s=1)
    wire.send(message, to="GL-002")
    until(lambda: wire.responses(message.message_id), "answer")
    assert plant.executions == [("GL-002", message.message_id)]


def test_store_when_lost_then_tokens_issued_before_are_refused(plant: Plant) -> None:
    wire = plant.wire()
    clock = shifted(-20)
    message = orchestrator_says(clock)
    agent = plant.agent("GL-002")
    wire.send(message, to="GL-002", clock=clock)
    until(agent.refused, "refusal")
    assert agent.refused() == {"issued_before_store": 1}
    assert plant.executions == []


def heartbeat(plant: Plant, session: str, status: str, *, at: datetime, will: bool = False) -> bytes:
    payload = {"status": status, "agent_name": "x", "agent_type": "y", "capabilities": ["z"], "commands": []}
    message = Formatter("GL-002", ManualClock(at)).heartbeat(payload, session_id=session)
    return sign(message, load_private_key(plant.keys / "GL-002.jwk"), SITE, now=at, will=will).encode()


def test_heartbeats_when_old_then_refused_and_a_late_will_of_an_old_session_changes_nothing(plant: Plant) -> None:
    wire = plant.wire()
    topic = f"gl/{SITE}/agents/GL-002/heartbeat"
    old, new = new_id(), new_id()
    now = datetime.now(UTC)
    status: Callable[[], list[tuple[Any, ...]]] = lambda: plant.rows("SELECT agent_id, status FROM agents.registry")  # noqa: E731
    with plant.broadcaster() as broadcaster:
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        wire.publish(topic, heartbeat(plant, old, "online", at=now - timedelta(seconds=9)))
        wire.publish(topic, heartbeat(plant, new, "online", at=now))
        until(lambda: status() == [("GL-002", "online")], "online")
        wire.publish(topic, heartbeat(plant, old, "offline", at=now - timedelta(days=2), will=True))
        wire.publish(topic, heartbeat(plant, old, "online", at=now))
        wire.publish(topic, heartbeat(plant, new, "online", at=now - timedelta(seconds=5)))
        until(lambda: sum(orchestrator.refused().values()) == 3, "three refusals")
        assert orchestrator.refused() == {"old_session": 2, "old_heartbeat": 1}
        assert status() == [("GL-002", "online")]
        wire.publish(topic, heartbeat(plant, new, "offline", at=now - timedelta(seconds=3), will=True))
        until(lambda: status() == [("GL-002", "offline")], "offline by the will of the current session")
    with plant.broadcaster() as broadcaster:
        # what was known outlives the process
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        wire.publish(topic, heartbeat(plant, old, "online", at=now))
        until(lambda: orchestrator.refused() == {"old_session": 1}, "refused after a restart")


def test_connection_when_cut_then_the_will_says_offline_and_the_return_is_a_new_session(plant: Plant) -> None:
    agent = plant.agent("GL-002")
    wire = plant.wire()
    first = agent._presence.session
    agent.drop_connection()

    def said() -> dict[tuple[str | None, str], None]:
        return {(beat.session_id, beat.payload["status"]): None for beat in wire.messages("heartbeat")}

    until(lambda: (first, "offline") in said(), "the will of the first connection")
    until(lambda: any(session > first and status == "online" for session, status in said() if session), "a new session")


def test_agent_when_it_leaves_then_it_says_offline_first(plant: Plant) -> None:
    plant.agent("GL-002")
    wire = Wire(plant, "+", "listener")
    plant.leave()
    beats = until(lambda: wire.messages("heartbeat"), "farewell")
    wire.close()
    assert [beat.payload["status"] for beat in beats] == ["offline"]


def response(plant: Plant, sender: str, command_id: str, **changes: Any) -> bytes:
    command = orchestrator_says(targets=[sender], message_id=command_id)
    message = Formatter(sender, SystemClock()).response(command, "ok", result=changes.pop("result", 1))
    message = message.model_copy(update=changes)
    return sign(message, load_private_key(plant.keys / f"{sender}.jwk"), SITE, now=datetime.now(UTC)).encode()


def test_responses_when_not_of_a_target_malformed_repeated_or_forged_then_only_the_first_answer_counts(
    plant: Plant,
) -> None:
    wire = plant.wire()
    with plant.broadcaster() as broadcaster:
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        accepted = broadcaster.accept(plant.command(targets=["GL-002"]))
        command_id = accepted.message.message_id
        own, other = (f"gl/{SITE}/agents/{agent}/response" for agent in ("GL-002", "GL-003"))
        wire.publish(other, response(plant, "GL-003", command_id))
        wire.publish(other, response(plant, "GL-003", new_id()))
        wire.publish(own, response(plant, "GL-002", command_id, payload={"status": "splendid"}))
        wire.publish(own, response(plant, "GL-002", command_id, correlation_id=None))
        until(lambda: sum(orchestrator.refused().values()) == 4, "four refusals")
        answer_id, stamp = new_id(), rfc3339(datetime.now(UTC))
        first = response(plant, "GL-002", command_id, message_id=answer_id, timestamp=stamp, result={"text": "a\0b"})
        wire.publish(own, first)
        until(lambda: broadcaster.results(command_id)[0].state == "answered", "answered")
        wire.publish(own, first)
        wire.publish(own, response(plant, "GL-002", command_id, message_id=answer_id, timestamp=stamp, result=2))
        wire.publish(own, response(plant, "GL-002", command_id, result=3))
        until(lambda: orchestrator.refused().get("forged_repeat"), "forgery")
        assert orchestrator.refused() == {"not_a_target": 3, "malformed": 1, "forged_repeat": 1}
    assert plant.rows("SELECT agent_id, payload->'result'->>'text' FROM agents.responses") == [("GL-002", "a\ufffdb")]


def test_command_when_accepted_twice_with_one_id_then_sent_once_and_other_content_is_refused(plant: Plant) -> None:
    from resources.core.errors import DataError

    plant.agent("GL-002")
    message_id = new_id()
    command = plant.command(targets=["GL-002"], message_id=message_id)
    with plant.broadcaster() as broadcaster:
        first = broadcaster.broadcast(command)
        again = broadcaster.broadcast(command)
        assert (first.repeated, again.repeated) == (False, True)
        assert first.results == again.results
        with pytest.raises(DataError, match="used for another message"):
            broadcaster.broadcast(plant.command(targets=["GL-002"], message_id=message_id, args={"n": 9}))
        with pytest.raises(DataError, match="NUL"):
            broadcaster.broadcast(plant.command(targets=["GL-002"], args={"text": "\0"}))
        with pytest.raises(DataError, match="no targets"):
            broadcaster.broadcast(plant.command(targets=[]))
        with pytest.raises(DataError, match="262144 are allowed"):
            broadcaster.broadcast(plant.command(targets=["GL-002"], args={"text": "x" * 300_000}))
    assert len(plant.executions) == 1


def test_broadcast_when_another_process_orchestrates_then_it_does_the_sending(plant: Plant) -> None:
    plant.agent("GL-002")
    with plant.broadcaster() as leader, plant.broadcaster() as follower:
        assert (leader.orchestrating, follower.orchestrating) == (True, False)
        outcome = follower.broadcast(plant.command(targets=["GL-002"]))
        assert outcome.answered == 1


def test_broadcast_when_an_agent_is_silent_then_it_expires_with_the_reason(plant: Plant) -> None:
    plant.agent("GL-002")
    with plant.broadcaster() as broadcaster:
        outcome = broadcaster.broadcast(plant.command(timeout_s=1.0))
    states = {result.agent_id: (result.state, result.reason) for result in outcome.results}
    assert states["GL-002"][0] == "answered"
    assert states["GL-003"] == ("expired", "no answer before the deadline; the agent was never heard of")
