"""The recorder on a real database: what can never be written is left out, and everything else of its batch is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from resources.agents.record import outbox
from resources.agents.record.delivery_rows import write_seen
from resources.agents.record.entries import Answer, Miss, SeenId, Sent
from resources.agents.record.recorder import Recorder
from resources.agents.record.seen_ids import SeenIds
from resources.agents.security.judge import Judge, Verdict
from resources.agents.security.keys import PublicKeys, generate_keys
from resources.agents.security.tokens import Received
from resources.agents.wire.message import Formatter, Message, new_id
from resources.core.clock import ManualClock, SystemClock
from resources.databases.timescale.connection import connect

FORMATTER = Formatter("GL-001", SystemClock())


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, autocommit=True) as opened:
        yield opened


def accepted(connection: psycopg.Connection, targets: list[str]) -> Message:
    return outbox.accept(connection, FORMATTER.command("x", {}, targets=targets, timeout_s=60)).message


def answer(command: Message, agent_id: str, reason: str | None = None) -> tuple[Answer, SeenId]:
    message_id, now = new_id(), datetime.now(UTC)
    made = Answer(message_id, command.message_id, agent_id, "answered", {"status": "ok", "result": 1}, now, reason)
    return made, SeenId(message_id, b"hash", now + timedelta(hours=1))


def test_batch_when_single_entries_can_never_be_written_then_the_others_are_and_all_are_acknowledged(
    connection: psycopg.Connection, database_url: str
) -> None:
    recorder = Recorder(database_url)
    command = accepted(connection, ["GL-002", "GL-003", "GL-004"])
    good_event = FORMATTER.event("emergency", {"n": 1}, timeout_s=60)
    bad_event = FORMATTER.event("emergency", {"n": 2}, timeout_s=60).model_copy(update={"topic": "a\0b"})
    called = threading.Semaphore(0)
    after = [called.release]
    # gathered before it starts: one transaction
    recorder.answered(*answer(command, "GL-002"), done=False, after=after)
    recorder.answered(*answer(command, "GL-003", reason="a\0b"), done=False, after=after)
    seen = SeenId(good_event.message_id, b"hash", datetime.now(UTC) + timedelta(hours=1))
    recorder.event(bad_event, SeenId(bad_event.message_id, b"hash", seen.keep_until), after=after)
    recorder.event(good_event, seen, after=after)
    recorder.missed([Miss(command.message_id, "GL-004", "silent")], done=[command.message_id], after=after)
    recorder.start()
    for _ in range(5):
        assert called.acquire(timeout=60)
    recorder.close()
    deliveries = connection.execute("SELECT agent_id, state FROM agents.deliveries ORDER BY 1").fetchall()
    assert deliveries == [("GL-002", "answered"), ("GL-003", "queued"), ("GL-004", "expired")]
    # U+0000 in a topic is written as U+FFFD: such an event is never received, but the row does no harm
    events = connection.execute("SELECT payload->>'n' FROM agents.messages WHERE message_type = 'event' ORDER BY 1")
    assert events.fetchall() == [("1",), ("2",)]
    assert outbox.status(connection, command.message_id) == "done"
    assert connection.execute("SELECT count(*) FROM agents.responses").fetchone() == (1,)


def test_recorder_when_closed_while_the_database_is_away_then_nothing_is_acknowledged() -> None:
    recorder = Recorder("postgresql://nobody@127.0.0.1:1/none")
    acknowledged = threading.Event()
    recorder.start()
    recorder.barrier(acknowledged.set)
    recorder.published(new_id())
    recorder.close()
    assert not acknowledged.is_set()


def test_answer_when_its_message_waits_for_others_then_it_is_stored_without_them(
    connection: psycopg.Connection, database_url: str
) -> None:
    recorder, stored = Recorder(database_url), threading.Event()
    command = accepted(connection, ["GL-002", "GL-003"])
    recorder.start()
    recorder.answered(*answer(command, "GL-002"), done=False, after=[stored.set])
    assert stored.wait(60)
    recorder.close()
    deliveries = connection.execute("SELECT agent_id, state FROM agents.deliveries ORDER BY 1").fetchall()
    assert deliveries == [("GL-002", "answered"), ("GL-003", "queued")]


def test_seen_ids_when_a_minute_has_passed_then_those_that_no_longer_count_are_forgotten_everywhere(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    clock = ManualClock(datetime.now(UTC))
    judge = Judge(PublicKeys(generate_keys(tmp_path, ["GL-001"])), "test", clock)
    seen = SeenIds(judge, clock)
    short, long = (Formatter("GL-001", clock).event("emergency", {}, timeout_s=n) for n in (1, 600))
    times = (clock.now(), clock.now() + timedelta(seconds=1))
    for message in (short, long):
        received = Received(message, "GL-001:1", "orchestrator", *times, message.content_hash())
        assert seen.verdict(received) is Verdict.NEW
        kept = seen.keep(received)
        assert seen.verdict(received) is Verdict.REPEATED
        write_seen(connection, [kept])
    clock.advance(59)
    assert not seen.forget(connection)
    clock.advance(2)
    assert seen.forget(connection)
    assert connection.execute("SELECT message_id FROM agents.seen_ids").fetchall() == [(long.message_id,)]
    again = SeenIds(judge, clock)
    again.restore(connection)
    for ids in (seen, again):
        assert ids.verdict(received) is Verdict.REPEATED
        expired = Received(short, "GL-001:1", "orchestrator", *times, short.content_hash())
        assert ids.verdict(expired) is Verdict.EXPIRED


def test_seen_ids_when_restored_before_all_were_stored_then_they_are_known_all_the_same(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    clock = SystemClock()
    seen = SeenIds(Judge(PublicKeys(generate_keys(tmp_path, ["GL-001"])), "test", clock), clock)
    events = [Formatter("GL-001", clock).event("emergency", {"n": n}, timeout_s=60) for n in range(2)]
    times = (clock.now(), clock.now() + timedelta(seconds=60))
    stored, queued = (Received(event, "GL-001:1", "orchestrator", *times, event.content_hash()) for event in events)
    write_seen(connection, [seen.keep(stored)])
    seen.keep(queued)
    # the database is back, and the recorder has not written the second one yet
    seen.restore(connection)
    assert [seen.verdict(received) for received in (stored, queued)] == [Verdict.REPEATED] * 2


def test_sending_when_its_answer_comes_in_time_then_both_are_one_write_and_others_follow_within_their_time(
    connection: psycopg.Connection, database_url: str
) -> None:
    recorder, stored = Recorder(database_url), threading.Event()
    command = accepted(connection, ["GL-002", "GL-003"])
    first, again = datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=1)
    for agent_id, at in (("GL-002", first), ("GL-003", first), ("GL-002", again)):
        recorder.sent(Sent(command.message_id, agent_id, at))
    recorder.answered(*answer(command, "GL-002"), done=False, after=[stored.set])
    recorder.start()
    assert stored.wait(30)
    rows = "SELECT agent_id, state, attempts, sent_at FROM agents.deliveries WHERE message_id = %s ORDER BY agent_id"
    answered, _ = connection.execute(rows, (command.message_id,)).fetchall()
    assert answered == ("GL-002", "answered", 2, first)
    recorder.close()
    _, sent = connection.execute(rows, (command.message_id,)).fetchall()
    assert sent == ("GL-003", "sent", 1, first)
