"""Message, strict JSON, keys, tokens, judge, schedule, registry: no server."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resources.agents.orchestration.schedule import Schedule
from resources.agents.security.judge import Judge, Verdict
from resources.agents.security.keys import PublicKeys, generate_keys, load_private_key
from resources.agents.security.tokens import Received, open_token, sign
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Formatter, Message, new_id, parse_rfc3339, rfc3339
from resources.agents.wire.refusals import RefusedError
from resources.agents.wire.strict_json import StrictJsonError, loads
from resources.agents.wire.topics import misfit, parse_topic
from resources.core.clock import ManualClock
from resources.core.errors import ConfigError, DataError

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": {"b": 1, "b": 1}}', "twice"),
        ("[" * 65 + "]" * 65, "deeper"),
        ("[" * 100_000, "deeper"),
        ('[{"a":' * 40, "deeper"),
        ("NaN", "NaN"),
        ("[1e999]", "double"),
        ("[" + "9" * 5000 + "]", "double"),
        ("{", "not JSON"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_json_when_not_allowed_then_refused(text: str, fault: str) -> None:
    with pytest.raises(StrictJsonError, match=fault):
        loads(text.encode())


def test_json_when_not_utf_8_then_refused() -> None:
    with pytest.raises(StrictJsonError, match="UTF-8"):
        loads('{"a": 1}'.encode("utf-16"))


def test_json_when_64_deep_or_brackets_in_text_then_read() -> None:
    assert loads(b"[" * 64 + b"]" * 64)
    assert loads(json.dumps({"a": "[" * 500}).encode()) == {"a": "[" * 500}
    assert loads(b"[9007199254740993, 123456789012345678901]") == [9007199254740992.0, 123456789012345680000.0]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_hash_when_a_message_went_over_the_wire_then_the_same(value: Any) -> None:
    message = Formatter("GL-001", ManualClock(NOW)).command("x", {"v": value}, targets=["GL-002"], timeout_s=1)
    again = Message.model_validate(loads(json.dumps(message.to_wire()).encode()))
    assert again.content_hash() == message.content_hash()


def test_hash_when_computed_then_as_the_reference_says() -> None:
    message = Message(
        message_id="01a20100-0000-7000-8000-000000000000",
        source_agent="GL-001",
        target_agents=["GL-002"],
        message_type="command",
        priority="normal",
        payload={"name": "status", "args": {"b": 1.0, "a": "é"}},
        timestamp="2026-11-22T10:15:00.000000Z",
        timeout_seconds=30,
    )
    # the example of docs/reference/agents-wire.md
    canonical = '["GL-001","command",{"args":{"a":"é","b":1},"name":"status"},"2026-11-22T10:15:00.000000Z",30]'
    assert message.content_hash() == hashlib.sha256(canonical.encode()).digest()
    assert message.content_hash().hex() == "79eb6eff8dd6715bd737eee4a473af013378f25668e128f02914db49347900f4"


@pytest.mark.parametrize(
    "changes",
    [
        {"message_id": "01A20100-0000-7000-8000-000000000000"},
        {"message_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"},
        {"source_agent": "GL 001"},
        {"target_agents": ["GL/2"]},
        {"timeout_seconds": 0},
        {"timeout_seconds": 604_801},
        {"timeout_seconds": True},
        {"timeout_seconds": "30"},
        {"timestamp": "2026-11-22 10:15:00Z"},
        {"timestamp": "2026-11-22T10:15:00"},
        {"timestamp": "2026-13-22T10:15:00Z"},
        {"timestamp": "0001-01-01T00:00:00+01:00"},
        {"timestamp": "9999-12-31T23:59:59-01:00"},
        {"message_type": "order"},
        {"priority": "urgent"},
        {"correlation_id": "x"},
    ],
    ids=str,
)
def test_message_when_a_field_is_wrong_then_refused(changes: dict[str, Any]) -> None:
    good = Formatter("GL-001", ManualClock(NOW)).command("x", {}, targets=["GL-002"], timeout_s=1).to_wire()
    with pytest.raises(ValidationError):
        Message.model_validate(good | changes)


def test_timestamp_when_written_then_read_back() -> None:
    assert parse_rfc3339(rfc3339(NOW)) == NOW
    assert parse_rfc3339("2026-11-22T11:15:00.5+01:00") == NOW + timedelta(milliseconds=500)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate_keys(tmp_path, ["GL-001", "GL-002"])
    return tmp_path


def test_keys_when_made_again_then_kept_and_when_rotated_then_both_are_valid(folder: Path) -> None:
    jwks = generate_keys(folder, ["GL-001", "GL-002", "GL-003"])
    keys = PublicKeys(jwks)
    before = load_private_key(folder / "GL-002.jwk")
    assert (before.kid, before.role, keys.role_of("GL-001")) == ("GL-002:1", "agent", "orchestrator")
    assert oct((folder / "GL-002.jwk").stat().st_mode & 0o777) == "0o600"
    generate_keys(folder, ["GL-002"], rotate=True)
    after = load_private_key(folder / "GL-002.jwk")
    assert after.kid == "GL-002:2"
    assert keys.get("GL-002:1") is not None
    assert keys.get("GL-002:2") is not None
    assert keys.role_of("GL-099") is None


@pytest.mark.usefixtures("seen_at_once")
def test_key_when_removed_from_the_file_then_revoked_and_a_broken_file_keeps_the_last_keys(folder: Path) -> None:
    jwks = folder / "public-keys.jwks"
    keys = PublicKeys(jwks)
    document = json.loads(jwks.read_text())
    jwks.write_text(json.dumps({"keys": [k for k in document["keys"] if k["kid"] != "GL-002:1"]}))
    assert keys.get("GL-002:1") is None
    assert keys.get("GL-001:1") is not None
    jwks.write_text("{")
    assert keys.get("GL-001:1") is not None
    jwks.unlink()
    assert keys.get("GL-001:1") is not None


def test_kid_when_unknown_then_the_file_is_read_again_at_most_once_a_second(folder: Path) -> None:
    clock = ManualClock(NOW)
    jwks = folder / "public-keys.jwks"
    keys = PublicKeys(jwks, clock)
    stamp = jwks.stat()
    text = jwks.read_text().replace("GL-002:1", "GL-002:7")
    with jwks.open("r+") as file:
        file.write(text)
    # a file system with coarse times shows no change
    os.utime(jwks, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert keys.get("GL-002:7") is None
    clock.advance(1.1)
    assert keys.get("GL-002:7") is not None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kid": "GL-003:1"}, "gl_agent"),
        ({"kid": "GL-002"}, "kid"),
        ({"gl_role": "king"}, "gl_role"),
        ({"crv": "Ed448"}, "Ed25519"),
        ({"kty": "oct", "k": "AAAA"}, "Ed25519"),
        ({"x": "!!"}, "usable"),
        ({"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}, "private key"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_jwks_when_a_key_is_wrong_then_refused(folder: Path, change: dict[str, str], fault: str) -> None:
    jwks = folder / "public-keys.jwks"
    document = json.loads(jwks.read_text())
    document["keys"][1] |= change
    jwks.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=fault):
        PublicKeys(jwks)


@pytest.mark.parametrize("text", ["[]", "{}", '{"keys": [1]}', "{"])
def test_jwks_when_not_a_jwks_then_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(ConfigError):
        PublicKeys(tmp_path / "k")


def test_private_key_when_open_to_others_missing_public_or_misnamed_then_refused(folder: Path) -> None:
    path = folder / "GL-002.jwk"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_private_key(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_private_key(folder / "GL-050.jwk")
    path.chmod(0o600)
    path.rename(folder / "GL-044.jwk")
    with pytest.raises(ConfigError, match=r"named GL-002\.jwk"):
        load_private_key(folder / "GL-044.jwk")
    public = json.loads((folder / "public-keys.jwks").read_text())["keys"][1]
    path.touch(0o600)
    path.write_text(json.dumps(public))
    with pytest.raises(ConfigError, match="public key only"):
        load_private_key(path)


def token_of(folder: Path, *, now: datetime = NOW, will: bool = False, **changes: Any) -> bytes:
    message = Formatter("GL-001", ManualClock(NOW)).command("x", {}, targets=["GL-002"], timeout_s=600)
    return sign(
        message.model_copy(update=changes), load_private_key(folder / "GL-001.jwk"), "s", now=now, will=will
    ).encode()


def opened(folder: Path, **changes: Any) -> Received:
    return open_token(token_of(folder, **changes), PublicKeys(folder / "public-keys.jwks"), "s")


def test_token_when_signed_then_its_times_are_the_earlier_of_deadline_and_300_s(folder: Path) -> None:
    assert opened(folder).expires_at == NOW + timedelta(seconds=300)
    assert opened(folder, timeout_seconds=0.5).expires_at == NOW + timedelta(seconds=1)


def test_token_when_too_large_or_not_json_then_not_signed(folder: Path) -> None:
    with pytest.raises(DataError, match="262144"):
        token_of(folder, payload={"x": "y" * 300_000})
    with pytest.raises(DataError, match="JSON"):
        token_of(folder, payload={"x": object()})


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        ({"now": NOW + timedelta(seconds=31)}, "issued_in_future"),
        ({"timestamp": rfc3339(NOW + timedelta(seconds=31))}, "timestamp_after_issue"),
        ({"will": True}, "expires_too_late"),
    ],
    ids=["future", "timestamp", "will"],
)
def test_verdict_when_times_break_the_rules_then_refused(folder: Path, received: dict[str, Any], reason: str) -> None:
    judge = Judge(PublicKeys(folder / "public-keys.jwks"), "s", ManualClock(NOW))
    with pytest.raises(RefusedError) as refused:
        judge.verdict(opened(folder, **received), None)
    assert refused.value.reason == reason


def test_verdict_when_once_comes_before_time_then_an_old_repeat_is_a_repeat(folder: Path) -> None:
    received = opened(folder)
    late = Judge(PublicKeys(folder / "public-keys.jwks"), "s", ManualClock(NOW + timedelta(seconds=331)))
    assert late.verdict(received, None) is Verdict.EXPIRED
    assert late.verdict(received, received.content_hash) is Verdict.REPEATED
    with pytest.raises(RefusedError, match="other content"):
        late.verdict(received, b"other")
    in_time = Judge(PublicKeys(folder / "public-keys.jwks"), "s", ManualClock(NOW + timedelta(seconds=330)))
    assert in_time.verdict(received, None) is Verdict.NEW


@pytest.mark.parametrize(
    ("topic", "kind", "role", "reason"),
    [
        ("gl/s/agents/GL-002/command", "command", "orchestrator", None),
        ("gl/s/agents/GL-002/command", "query", "alarm", None),
        ("gl/s/agents/GL-002/command", "query", "agent", "role_not_allowed"),
        ("gl/s/agents/GL-003/command", "command", "orchestrator", "not_a_target"),
        ("gl/s/agents/GL-002/command", "event", "orchestrator", "wrong_topic"),
        ("gl/s/agents/GL-001/response", "response", "agent", None),
        ("gl/s/agents/GL-002/response", "response", "agent", "wrong_topic"),
        ("gl/s/events/emergency", "event", "alarm", None),
        ("gl/s/events/system_status", "event", "agent", "wrong_topic"),
        ("gl/s/events/emergency", "event", "observer", "role_not_allowed"),
    ],
)
def test_topic_when_it_does_not_fit_the_message_then_said_why(
    topic: str, kind: str, role: str, reason: str | None
) -> None:
    message = Formatter("GL-001", ManualClock(NOW)).command("x", {}, targets=["GL-002"], timeout_s=1)
    place = parse_topic(topic)
    assert place is not None
    assert misfit(place, message.model_copy(update={"message_type": kind, "topic": "emergency"}), role) == reason
    assert parse_topic("gl/s/agents/GL-002/other") is None


def test_schedule_when_expired_then_again_with_growing_pauses_and_at_once_when_the_agent_returns() -> None:
    clock = ManualClock(NOW)
    schedule = Schedule(clock)
    message = Formatter("GL-001", clock).command("x", {}, targets=["GL-002", "GL-003"], timeout_s=1000)
    schedule.add(message, {"GL-002": 0, "GL-003": 0})
    assert [s.agents for s in schedule.take_due()] == [("GL-002", "GL-003")]
    assert schedule.take_due() == []
    pauses = []
    for _ in range(9):
        schedule.send_again(message.message_id, "GL-002")
        pause = schedule.pause_s(10_000)
        clock.advance(pause)
        assert [s.agents for s in schedule.take_due()] == [("GL-002",)]
        pauses.append(pause)
    assert 0.5 <= pauses[0] <= 1.0
    assert 30 <= pauses[-1] <= 60
    schedule.agent_returned("GL-003")
    assert [s.agents for s in schedule.take_due()] == [("GL-003",)]
    schedule.send_again("unknown", "GL-003")
    assert not schedule.close(message.message_id, "GL-002").done
    assert not schedule.close("unknown", "GL-002").done
    clock.advance(1000)
    assert schedule.take_due() == []
    assert [s.agents for s in schedule.take_overdue()] == [("GL-003",)]
    assert not schedule.knows(message.message_id)


def test_schedule_when_several_are_due_then_critical_first() -> None:
    clock = ManualClock(NOW)
    schedule = Schedule(clock)
    made = Formatter("GL-001", clock)
    for priority in ("low", "critical", "normal", "high"):
        schedule.add(made.command("x", {}, targets=["A"], timeout_s=9, priority=priority), {"A": 0})
    assert [s.message.priority for s in schedule.take_due()] == ["critical", "high", "normal", "low"]


def test_store_when_opened_again_then_it_knows_ids_answers_and_sessions(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    store = SeenStore(tmp_path / "s.sqlite", clock)
    created = store.created_at("GL-002")
    command = Formatter("GL-001", clock).command("x", {}, targets=["GL-002"], timeout_s=10)
    other = Formatter("GL-001", clock).command("x", {}, targets=["GL-002"], timeout_s=10)
    response = Formatter("GL-002", clock).response(command, "ok", result=1)
    durable: list[str] = []
    store.begin("GL-002", command, command.content_hash(), lambda: durable.append("begun"))
    store.begin("GL-002", other, other.content_hash(), lambda: durable.append("begun"))
    store.finish("GL-002", response, lambda: durable.append("finished"))
    session = store.next_session("GL-002")
    store.close()
    assert durable == ["begun", "begun", "finished"]
    again = SeenStore(tmp_path / "s.sqlite", clock)
    seen = again.find("GL-002", command.message_id)
    assert seen is not None
    assert (seen.response, seen.content_hash) == (response, command.content_hash())
    assert [s.command for s in again.unfinished("GL-002")] == [other]
    assert again.created_at("GL-002") == created
    assert again.next_session("GL-002") > session
    clock.advance(120)
    again.next_session("GL-002")
    again.close()
    last = SeenStore(tmp_path / "s.sqlite", clock)
    assert last.find("GL-002", command.message_id) is None
    assert last.find("GL-002", other.message_id) is not None
    last.close()


def test_session_when_the_clock_was_set_back_then_still_greater(tmp_path: Path) -> None:
    store = SeenStore(tmp_path / "s.sqlite")
    store.created_at("GL-002")
    future = "7" + new_id()[1:]
    store._agents["GL-002"] = (NOW, future)
    assert store.next_session("GL-002") > future
    store.close()


def test_store_when_the_file_is_no_store_then_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_text("no database at all, but longer than a header would be" * 10)
    with pytest.raises(ConfigError, match="cannot be opened"):
        SeenStore(tmp_path / "s.sqlite")
