"""The JavaScript agent of the docs, run by Node.js against a real broker: the wire is the same in any language."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.agents.security.keys import load_private_key
from resources.agents.security.tokens import sign
from resources.agents.wire.message import Formatter, Message
from resources.core.clock import ManualClock, SystemClock
from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, Wire, orchestrator_says, plain_broker, until
from tests.conftest import REPOSITORY

AGENT = "GL-042"
HOW_TO = REPOSITORY / "docs" / "how-to" / "agents-javascript.md"
PACKAGES = REPOSITORY / ".gl" / "node" / "node_modules"


class NodeAgent:
    """The program of the how-to in a process of its own."""

    def __init__(self, plant: Plant, *, mqtt_version: str = "5") -> None:
        node = shutil.which("node")
        if node is None:
            pytest.fail("Node.js is not there, and the JavaScript agent is tested with it: apt-get install nodejs npm")
        if not PACKAGES.is_dir():
            pytest.fail(f"{PACKAGES} is not there: run `make node`")
        self.folder = plant.folder
        self.journal = plant.folder / "agent.journal"
        self.log = plant.folder / "agent.log"
        program = plant.folder / "agent.mjs"
        found = re.search(r"```js\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
        assert found is not None
        program.write_text(found[1])
        if not (plant.folder / "node_modules").exists():
            (plant.folder / "node_modules").symlink_to(PACKAGES)
        self._command = [node, str(program)]
        self._environment = {
            **os.environ,
            "GL_SITE": SITE,
            "GL_BROKER": f"mqtt://127.0.0.1:{plant.broker.port}",
            "GL_KEY": str(plant.keys / f"{AGENT}.jwk"),
            "GL_PUBLIC_KEYS": str(plant.jwks),
            "GL_STORE": str(self.journal),
            "GL_MQTT_VERSION": mqtt_version,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wire: Wire) -> None:
        """Start it and wait for its first heartbeat."""
        before = len(wire.messages("heartbeat"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stderr=log)

        def is_there() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            return any(beat.payload["status"] == "online" for beat in wire.messages("heartbeat")[before:])

        until(is_there, "heartbeat of the JavaScript agent")

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def refused(self) -> list[str]:
        """Return the reasons it has logged."""
        entries = [json.loads(line) for line in self.log.read_text().split("\n")[:-1]]
        return [entry["detail"] for entry in entries if entry["event"] == "message_refused"]

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().split("\n")[:-1]]


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker) -> Iterator[Plant]:
    """A site without a platform: these agents need no database."""
    made = Plant(tmp_path, plain_broker(broker.port), "", (AGENT,))
    yield made
    made.leave()


@pytest.fixture
def wire(plant: Plant) -> Wire:
    return plant.wire()


@pytest.fixture
def agent(plant: Plant, wire: Wire) -> Iterator[NodeAgent]:
    made = NodeAgent(plant)
    made.start(wire)
    yield made
    made.close()


def says(name: str = "status", **given: Any) -> Message:
    return orchestrator_says(given.pop("clock", None), name=name, targets=[AGENT], **given)


def test_broadcast_when_the_agent_is_javascript_then_its_answer_and_its_heartbeat_are_stored(
    plant: Plant, wire: Wire, database_url: str
) -> None:
    plant.database_url = database_url
    agent = NodeAgent(plant)
    with plant.broadcaster() as broadcaster:
        agent.start(wire)
        outcome = broadcaster.broadcast(plant.command("set_load", args={"share": 0.25}))
        assert [(r.state, r.result) for r in outcome.results] == [("answered", {"load_share": 0.25})]
        registered = "SELECT agent_name, capabilities FROM agents.registry WHERE status = 'online'"
        assert until(lambda: plant.rows(registered), "registered") == [("Boiler 7", ["status", "set_load"])]
        assert agent.end(signal.SIGTERM) == 0
        until(lambda: not plant.rows(registered), "offline by its own word")


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [("set_load", {"share": 3}, "share must be from 0 to 1"), ("nonsense", {}, "has no command nonsense")],
    ids=["handler", "unknown"],
)
def test_command_when_it_cannot_be_run_then_answered_with_the_error(
    agent: NodeAgent, wire: Wire, name: str, args: dict[str, Any], error: str
) -> None:
    message = says(name, args=args)
    wire.send(message, to=AGENT)
    response = until(lambda: wire.responses(message.message_id), "answer")[0]
    assert response.payload["status"] == "error"
    assert error in response.payload["error"]


def test_command_when_repeated_also_after_a_crash_then_run_once_and_the_same_answer_sent_again(
    agent: NodeAgent, wire: Wire
) -> None:
    # numbers and text whose canonical form is not what either language writes by itself
    args = {"é": 1.0, "a": [1e21, 1e-7, 0.1, -0.0, 2.0**53], "\u20ac": "\u2028", "\U0001f600": None, "\ufb33": "ö"}
    message = says(args=args)
    wire.send(message, to=AGENT)
    until(lambda: wire.responses(message.message_id), "answer")
    wire.send(message, to=AGENT)
    until(lambda: len(wire.responses(message.message_id)) == 2, "answer again")
    assert agent.end(signal.SIGKILL) == -9
    agent.start(wire)
    wire.send(message, to=AGENT)
    answers = until(lambda: len(found := wire.responses(message.message_id)) == 3 and found, "answer after the crash")
    assert answers[0] == answers[1] == answers[2]
    begun = [entry for entry in agent.entries() if entry.get("seen") == message.message_id]
    assert [entry["hash"] for entry in begun] == [message.content_hash().hex()]


def test_command_when_expired_then_a_signed_expired_and_when_signed_anew_then_run(plant: Plant, wire: Wire) -> None:
    agent = NodeAgent(plant)
    agent.journal.write_text(json.dumps({"created": 1}) + "\n")
    agent.start(wire)
    late = ManualClock(datetime.now(UTC) - timedelta(seconds=400))
    message = says(clock=late, timeout_s=600)
    wire.send(message, to=AGENT, clock=late)
    until(lambda: wire.responses(message.message_id), "expired")
    wire.send(message, to=AGENT)
    until(lambda: len(wire.responses(message.message_id)) == 2, "answer")
    assert [m.payload["status"] for m in wire.responses(message.message_id)] == ["expired", "ok"]
    agent.close()


def test_command_when_the_agent_died_while_it_ran_then_in_doubt_unasked_and_not_run_again(
    plant: Plant, wire: Wire
) -> None:
    agent = NodeAgent(plant)
    message = says()
    begun = {
        "seen": message.message_id,
        "hash": message.content_hash().hex(),
        "until": message.deadline.timestamp() * 1000,
        "message": message.to_wire(),
    }
    # a line without its end is what a power cut leaves of a write
    agent.journal.write_text("".join(f"{json.dumps(entry)}\n" for entry in ({"created": 1}, begun)) + '{"done": "')
    agent.start(wire)
    until(lambda: wire.responses(message.message_id), "in doubt")
    wire.send(message, to=AGENT)
    answers = until(lambda: len(found := wire.responses(message.message_id)) == 2 and found, "the same again")
    assert [m.payload["status"] for m in answers] == ["in_doubt", "in_doubt"]
    agent.close()


def test_agent_when_killed_then_its_will_says_offline_and_its_next_session_is_greater(
    agent: NodeAgent, wire: Wire
) -> None:
    agent.end(signal.SIGKILL)
    until(lambda: len(wire.messages("heartbeat")) == 2, "the will")
    agent.start(wire)
    first, will, second = wire.messages("heartbeat")
    assert [beat.payload["status"] for beat in (first, will, second)] == ["online", "offline", "online"]
    assert first.session_id == will.session_id
    assert str(second.session_id) > str(first.session_id)


def test_event_when_it_comes_twice_then_handled_once_and_its_own_event_is_of_the_wire(
    agent: NodeAgent, wire: Wire
) -> None:
    emergency = Formatter("GL-001", SystemClock()).event("emergency", {"tag": "TT-1"}, timeout_s=60)
    for _ in range(2):
        wire.tell(emergency)
    message = says()
    wire.send(message, to=AGENT)
    until(lambda: wire.responses(message.message_id), "what was sent after the events is answered")
    told = [event for event in wire.messages("event") if event.source_agent == AGENT]
    assert [(event.topic, event.payload) for event in told] == [("system_status", {"state": "tripped", "by": "GL-001"})]


def test_messages_when_forged_then_refused_and_nothing_run(plant: Plant, agent: NodeAgent, wire: Wire) -> None:
    key, now = load_private_key(plant.keys / "GL-001.jwk"), datetime.now(UTC)
    own = f"gl/{SITE}/agents/{AGENT}/command"
    good = says()
    token = sign(good, key, SITE, now=now).encode()
    head, body, signature = token.split(b".")
    unsigned = b".".join([b"eyJhbGciOiJub25lIn0", body, signature])
    other_key = load_private_key(plant.keys / f"{AGENT}.jwk")
    from_agent = Formatter(AGENT, SystemClock()).command("status", {}, targets=[AGENT], timeout_s=60)
    forgeries = {
        "not_a_token": [(own, b"hello"), (own, b"a.b")],
        "too_large": [(own, b"a" * 300_000)],
        "bad_header": [(own, unsigned)],
        "malformed": [(own, b".".join([b"eyJhIjoxLCJhIjoxfQ", body, signature]))],
        "bad_signature": [(own, b".".join([head, body, signature[:-8] + b"AAAAAAAA"]))],
        "wrong_audience": [(own, sign(good, key, "elsewhere", now=now).encode())],
        "not_a_target": [(own, sign(orchestrator_says(targets=["GL-002"]), key, SITE, now=now).encode())],
        "role_not_allowed": [(own, sign(from_agent, other_key, SITE, now=now).encode())],
        "issued_in_future": [(own, sign(good, key, SITE, now=now + timedelta(seconds=120)).encode())],
        "wrong_topic": [(f"gl/{SITE}/events/emergency", token)],
    }
    for topic, forged in (pair for pairs in forgeries.values() for pair in pairs):
        wire.publish(topic, forged)
    expected = sorted(reason for reason, pairs in forgeries.items() for _ in pairs)
    until(lambda: sorted(agent.refused()) == expected, "all refused")
    assert wire.responses() == []
    assert not any("seen" in entry for entry in agent.entries())
    # the connection has come through it
    wire.send(good, to=AGENT)
    until(lambda: wire.responses(good.message_id), "answer to the real one")
    wire.send(good.model_copy(update={"payload": {"name": "status", "args": {"n": 1}}}), to=AGENT)
    until(lambda: sorted(agent.refused()) == sorted([*expected, "forged_repeat"]), "the id for other content refused")


def test_agent_when_it_speaks_mqtt_3_1_1_then_it_answers_too(plant: Plant, wire: Wire) -> None:
    agent = NodeAgent(plant, mqtt_version="4")
    agent.start(wire)
    message = says()
    wire.send(message, to=AGENT)
    until(lambda: wire.responses(message.message_id), "answer")
    agent.close()


def test_how_to_when_it_names_packages_then_those_that_are_tested() -> None:
    packages = re.search(r"^NODE_PACKAGES := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert packages is not None
    assert f"npm install {packages[1]}" in HOW_TO.read_text()
