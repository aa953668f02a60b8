"""Ten thousand messages that must have no effect, over a real broker, at an agent and at the orchestrator."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws

from resources.agents.record.refusal_book import read_figures, read_refusals
from resources.agents.security.keys import PrivateKey, generate_keys, load_private_key
from resources.agents.security.tokens import sign
from resources.agents.wire.message import Formatter, Message, new_id
from resources.agents.wire.permissions import Permissions
from resources.core.clock import ManualClock, SystemClock
from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging
from resources.databases.timescale.connection import connect
from resources.embedded.broker import EmbeddedBroker
from sensors.collector.alarms.sender import AlarmSender, SenderCallbacks
from sensors.collector.alarms.sender import Wire as SenderWire
from tests.agents_support import SITE, Plant, Wire, orchestrator_says, plain_broker, until

EACH = 500
COMMANDS, OWN, OTHERS = (
    f"gl/{SITE}/agents/GL-002/command",
    f"gl/{SITE}/agents/GL-002/response",
    f"gl/{SITE}/agents/GL-003/response",
)

Make = Callable[[int], bytes]


class ShiftedClock(SystemClock):
    """A clock that goes as it should, and is off."""

    def __init__(self, seconds: float) -> None:
        self.off = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self.off


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    made = Plant(tmp_path, plain_broker(broker.port), database_url)
    generate_keys(made.keys, ["ALARM-1"], role="alarm")
    yield made
    made.leave()


class Forger:
    """Makes messages that look right but for one thing; has every key that could be stolen but the one needed."""

    def __init__(self, plant: Plant) -> None:
        self.now = datetime.now(UTC)
        self.keys = {
            name: load_private_key(plant.keys / f"{name}.jwk") for name in ("GL-001", "GL-002", "GL-003", "ALARM-1")
        }
        stranger = plant.folder / "stranger"
        generate_keys(stranger, ["GL-001", "GL-002"])
        self.stranger = {name: load_private_key(stranger / f"{name}.jwk") for name in ("GL-001", "GL-002")}

    def signed(self, message: Message, key: PrivateKey, *, site: str = SITE, after_s: float = 0) -> bytes:
        return sign(message, key, site, now=self.now + timedelta(seconds=after_s)).encode()

    def command(self, sender: str = "GL-001", *, at_s: float = 0, **given: Any) -> Message:
        given = {"targets": ["GL-002"], "timeout_s": 60.0, **given}
        clock = ManualClock(self.now + timedelta(seconds=at_s))
        return Formatter(sender, clock).command("count", given.pop("args", {}), **given)

    def response(self, sender: str, command_id: str, *, at_s: float = 0, **changes: Any) -> Message:
        command = self.command(targets=[sender], message_id=command_id, at_s=at_s)
        made = Formatter(sender, ManualClock(self.now + timedelta(seconds=at_s))).response(command, "ok", result=1)
        return made.model_copy(update=changes)

    def reheaded(self, token: bytes, header: dict[str, Any], secret: bytes | None = None) -> bytes:
        start = _b64(json.dumps({"kid": "GL-001:1", **header}).encode()) + b"." + token.split(b".")[1]
        mac = hmac.new(secret, start, hashlib.sha256).digest() if secret is not None else b"-"
        return start + b"." + _b64(mac)

    def altered(self, message: Message, key: PrivateKey) -> bytes:
        head, body, signature = self.signed(message, key).split(b".")
        claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
        claims["msg"]["payload"] = {"name": "count", "args": {"n": 1_000_000}}
        return b".".join([head, _b64(json.dumps(claims).encode()), signature])


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _public_bytes(key: PrivateKey) -> bytes:
    x = str(key.key.as_dict(private=False)["x"])
    return base64.urlsafe_b64decode(x + "=")


def at_the_agent(forger: Forger, done: Message) -> dict[str, Make]:
    """Reason#variant -> makes such a message on the agent's topic; `done` is a command that it has run."""
    keys, good = forger.keys, forger.signed(done, forger.keys["GL-001"])
    other = done.model_copy(update={"payload": {"name": "count", "args": {"n": 2}}})
    return {
        "bad_signature#stranger": lambda _: forger.signed(forger.command(), forger.stranger["GL-001"]),
        "bad_signature#altered": lambda _: forger.altered(forger.command(), keys["GL-001"]),
        "wrong_algorithm#none": lambda _: forger.reheaded(good, {"alg": "none"}),
        "wrong_algorithm#mac": lambda _: forger.reheaded(good, {"alg": "HS256"}, _public_bytes(keys["GL-001"])),
        "forbidden_header": lambda _: forger.reheaded(good, {"alg": "EdDSA", "jwk": {"kty": "OKP"}}),
        "unknown_key": lambda n: forger.reheaded(good, {"alg": "EdDSA", "kid": f"GL-001:{n + 2}"}),
        "wrong_audience": lambda _: forger.signed(forger.command(), keys["GL-001"], site="elsewhere"),
        "not_a_target": lambda _: forger.signed(forger.command(targets=["GL-003"]), keys["GL-001"]),
        "role_not_allowed#agent": lambda _: forger.signed(forger.command("GL-003"), keys["GL-003"]),
        "role_not_allowed#alarm": lambda _: forger.signed(forger.command("ALARM-1"), keys["ALARM-1"]),
        "wrong_source": lambda _: forger.signed(forger.command("GL-003"), keys["GL-001"]),
        "forged_repeat": lambda _: forger.signed(other, keys["GL-001"]),
        "issued_in_future": lambda _: forger.signed(forger.command(at_s=3600), keys["GL-001"], after_s=3600),
        "not_a_token": lambda n: f"hello {n}".encode(),
        "repeated": lambda _: good,
        "expired": lambda _: forger.signed(forger.command(at_s=-400), keys["GL-001"], after_s=-400),
    }


def at_the_orchestrator(forger: Forger, done_id: str, answer: bytes) -> dict[str, tuple[str, Make]]:
    """Reason#variant -> (topic, makes such a message); `answer` is the one that counted for the command `done_id`."""
    own = forger.keys["GL-002"]
    return {
        "bad_signature": (OWN, lambda _: forger.signed(forger.response("GL-002", done_id), forger.stranger["GL-002"])),
        "not_a_target": (OTHERS, lambda _: forger.signed(forger.response("GL-003", done_id), forger.keys["GL-003"])),
        "wrong_topic": (OTHERS, lambda _: forger.signed(forger.response("GL-002", done_id), own)),
        "repeated": (OWN, lambda _: answer),
    }


def publish_all(wire: Wire, messages: list[tuple[str, bytes]]) -> None:
    for topic, token in messages:
        wire._bus.publish(topic, token)
    until(lambda: wire._bus.waiting == 0, "the broker has them all", 120)


def test_messages_when_ten_thousand_are_forged_altered_expired_replayed_or_misdirected_then_none_has_an_effect(
    plant: Plant, tmp_path: Path
) -> None:
    logs = setup_logging("warning", tmp_path / "logs", stream=io.StringIO())
    agent = plant.agent("GL-002", store_clock=ShiftedClock(-86_400))
    wire = plant.wire(subscribe="GL-002")
    forger = Forger(plant)
    with plant.broadcaster() as broadcaster:
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        done = broadcaster.broadcast(plant.command(targets=["GL-002"], timeout_s=600)).message
        answer = until(lambda: [a.payload for a in wire.heard if a.topic == OWN], "the answer")[0]
        hostile = [(COMMANDS, make(n)) for make in at_the_agent(forger, done).values() for n in range(EACH)]
        responses = at_the_orchestrator(forger, done.message_id, answer)
        hostile += [(topic, make(n)) for topic, make in responses.values() for n in range(EACH)]
        assert len(hostile) == 10_000
        publish_all(wire, hostile)

        expected = Counter(name.partition("#")[0] for name in at_the_agent(forger, done))
        judged = {reason: number * EACH for reason, number in expected.items() if reason not in {"repeated", "expired"}}
        until(lambda: sum(agent.refused().values()) == sum(judged.values()), "all refused by the agent", 120)
        until(
            lambda: agent.verdicts() == {"new": 1, "repeated": EACH, "expired": EACH}, "all repeats and expired judged"
        )
        assert agent.refused() == judged
        # what the agent answered to repeats and expired commands comes to the orchestrator, and changes nothing there
        refused = {"bad_signature": EACH, "not_a_target": 2 * EACH, "wrong_topic": EACH}
        until(lambda: sum(orchestrator.refused().values()) == 4 * EACH, "all refused by the orchestrator", 120)
        assert orchestrator.refused() == refused
        repeats = orchestrator._judge.verdicts
        until(lambda: repeats().get("repeated") == 2 * EACH, "all repeats judged")
        assert broadcaster.results(done.message_id)[0].state == "answered"
    logs.close()
    assert plant.executions == [("GL-002", done.message_id)]
    assert plant.rows("SELECT count(*) FROM agents.responses") == [(1,)]
    _all_are_counted(plant, refused)
    lines = "".join(path.read_text() for path in (tmp_path / "logs").glob("security.log*"))
    assert lines.count("event=message_refused") == sum(judged.values()) + sum(refused.values())
    assert "1000000" not in lines


def _all_are_counted(plant: Plant, refused: dict[str, int]) -> None:
    with connect(plant.database_url) as connection:
        rows = read_refusals(connection, SITE, datetime.now(UTC) - timedelta(hours=1))
    stored: Counter[str] = Counter()
    for row in rows:
        stored[row.reason] += row.refused
    assert stored == refused
    assert read_figures(gl_home()) == {"GL-001": refused}


def test_heartbeats_when_replayed_forged_or_of_another_then_the_registry_does_not_change(plant: Plant) -> None:
    wire = plant.wire()
    key, now, session = load_private_key(plant.keys / "GL-002.jwk"), datetime.now(UTC), new_id()
    payload = {"status": "online", "agent_name": "x", "agent_type": "y", "capabilities": ["z"], "commands": []}

    def beat(at_s: float = 0, **changes: Any) -> bytes:
        clock = ManualClock(now + timedelta(seconds=at_s))
        message = Formatter("GL-002", clock).heartbeat({**payload, **changes}, session_id=session)
        return sign(message, key, SITE, now=clock.now()).encode()

    topic, first = f"gl/{SITE}/agents/GL-002/heartbeat", beat()
    with plant.broadcaster() as broadcaster:
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        wire.publish(topic, first)
        until(
            lambda: plant.rows("SELECT status FROM agents.registry WHERE agent_id = 'GL-002'") == [("online",)],
            "online",
        )
        hostile = [
            (topic, first),
            (topic, beat(-20, status="degraded")),
            (f"gl/{SITE}/agents/GL-003/heartbeat", beat(1, status="degraded")),
            (topic, beat(-500, status="degraded")),
            (topic, beat(600, status="degraded")),
        ]
        publish_all(wire, hostile)
        until(lambda: sum(orchestrator.refused().values()) == len(hostile), "all refused")
        assert orchestrator.refused() == {"old_heartbeat": 2, "wrong_topic": 1, "expired": 1, "issued_in_future": 1}
        assert plant.rows("SELECT status FROM agents.registry WHERE agent_id = 'GL-002'") == [("online",)]


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(28, "answered"), (-28, "answered"), (45, "expired")],
    ids=["ahead", "behind", "too far ahead"],
)
def test_agent_when_its_clock_is_off_then_its_answers_count_within_the_skew_only(
    plant: Plant, seconds: int, state: str
) -> None:
    plant.agent("GL-002", clock=ShiftedClock(seconds), store_clock=ShiftedClock(-86_400))
    with plant.broadcaster() as broadcaster:
        # the command itself is within the agent's skew in each case: its deadline is far
        outcome = broadcaster.broadcast(plant.command(targets=["GL-002"], timeout_s=60 if state == "answered" else 2))
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        assert outcome.results[0].state == state
        assert ("issued_in_future" in orchestrator.refused()) is (state == "expired")


def test_command_when_the_agents_clock_is_behind_by_more_than_the_skew_then_refused_until_it_is_right(
    plant: Plant,
) -> None:
    clock = ShiftedClock(-300)
    agent = plant.agent("GL-002", clock=clock, store_clock=ShiftedClock(-86_400))
    wire = plant.wire()
    message = orchestrator_says(SystemClock())
    wire.send(message, to="GL-002")
    until(lambda: agent.refused() == {"issued_in_future": 1}, "refused")
    clock.off = timedelta(0)
    wire.send(message, to="GL-002")
    until(lambda: wire.responses(message.message_id), "answer")
    assert plant.executions == [("GL-002", message.message_id)]


def claimed_at(message: Message, timestamp: str, key: PrivateKey) -> bytes:
    """A token signed properly, whose message says it was made at `timestamp`."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": key.agent_id,
        "aud": f"gl:{SITE}",
        "iat": now,
        "exp": now + 30,
        "jti": message.message_id,
        "role": key.role,
        "msg": message.to_wire() | {"timestamp": timestamp},
    }
    header = {"alg": "EdDSA", "kid": key.kid}
    return jws.serialize_compact(header, json.dumps(claims).encode(), key.key, algorithms=["EdDSA"]).encode()


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("timestamp", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_message_when_its_timestamp_is_at_the_edge_of_the_calendar_then_refused_once_by_everyone(
    plant: Plant, timestamp: str
) -> None:
    keys = Forger(plant).keys
    agent, wire = plant.agent("GL-002"), plant.wire()
    command = orchestrator_says(SystemClock())
    response = Formatter("GL-003", SystemClock()).response(command, "ok")
    wired = SenderWire(SITE, plant.config, plant.broker, plant.keys / "ALARM-1.jwk", answerers=("GL-003",))
    heard = SenderCallbacks(lambda _id, _target, _all: None, lambda _id, _target: None, lambda _answer, _ack: None)
    collector = AlarmSender(wired, heard, SystemClock())
    collector.start()
    with plant.broadcaster() as broadcaster:
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        orchestrator.wait_connected()
        until(lambda: collector.connected, "the collector")
        wire.publish(COMMANDS, claimed_at(command, timestamp, keys["GL-001"]))
        wire.publish(OTHERS, claimed_at(response, timestamp, keys["GL-003"]))
        for receiver in (agent, orchestrator, collector):
            until(lambda receiver=receiver: receiver.refused() == {"malformed": 1}, "refused")  # type: ignore[misc]
    collector.stop()
    # what the broker still had would come before the answer
    with plant.broadcaster() as broadcaster:
        assert broadcaster.broadcast(plant.command(targets=["GL-002"])).answered == 1
        orchestrator = broadcaster._orchestrator
        assert orchestrator is not None
        assert orchestrator.refused() == {}
    assert agent.refused() == {"malformed": 1}


class FaultyPermissions(Permissions):
    """Rules with a fault that nobody has thought of."""

    def refuse_received(self, message: Message, role: str) -> None:
        if message.payload["args"]:
            raise KeyError("a fault of ours")


def test_message_when_judging_it_fails_in_any_way_then_refused_and_the_next_is_run(plant: Plant) -> None:
    agent, wire = plant.agent("GL-002"), plant.wire()
    agent._inbox._judge._permissions = FaultyPermissions()
    wire.send(orchestrator_says(args={"n": 1}), to="GL-002")
    until(lambda: agent.refused() == {"judging_failed": 1}, "refused")
    good = orchestrator_says()
    wire.send(good, to="GL-002")
    until(lambda: wire.responses(good.message_id), "answer")
    assert plant.executions == [("GL-002", good.message_id)]
