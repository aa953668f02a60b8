"""The file of the alarms: what is in it after a crash, and what another process may do with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resources.agents.wire.message import Formatter
from resources.core.clock import ManualClock
from resources.core.errors import UnreachableError
from sensors.collector.alarms import store as module
from sensors.collector.alarms.journal import STORE_FILE, AlarmJournal
from sensors.collector.alarms.store import AlarmStore, Outgoing, Step
from tests.alarms_support import RAISED
from tests.unit.sensors.collector.bench import NOON

CLEARED = replace(RAISED, state="cleared", at_us=20, message_id="01932c07-20a9-7c6c-8000-000000000002")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / STORE_FILE


@pytest.fixture
def store(path: Path) -> Iterator[AlarmStore]:
    store = AlarmStore(path)
    yield store
    store.close()


def outgoing(**given: object) -> Outgoing:
    command = Formatter("alarm-1", ManualClock(NOON)).command("stop", {}, targets=["GL-002", "GL-003"], timeout_s=60)
    return Outgoing(command, RAISED, awaited=frozenset(command.target_agents), **given)  # type: ignore[arg-type]


def test_store_when_opened_again_then_what_stands_and_what_is_to_be_sent_is_there(
    store: AlarmStore, path: Path
) -> None:
    sent = outgoing()
    store.write(Step(changes=[RAISED], outgoing=[sent]))
    with AlarmJournal(path) as journal:
        assert [entry.change for entry in journal.oldest(10)] == [RAISED]
    again = AlarmStore(path)
    assert again.standing() == [RAISED]
    assert again.outgoing() == [sent]
    message_id = sent.message.message_id
    again.write(Step(sent=[message_id], answered=[(message_id, "GL-002")]))
    assert again.outgoing() == [replace(sent, sent=True, awaited=frozenset({"GL-003"}))]
    again.write(Step(changes=[CLEARED], done=[message_id]))
    assert again.standing() == []
    assert again.outgoing() == []
    assert again.waiting_entries() == 2
    again.close()


def test_write_when_one_part_fails_then_nothing_of_it_is_there(store: AlarmStore) -> None:
    sent = outgoing()
    store.write(Step(outgoing=[sent]))
    with pytest.raises(sqlite3.IntegrityError):
        store.write(Step(changes=[RAISED], outgoing=[sent]))
    assert store.standing() == []
    assert store.waiting_entries() == 0


def test_shorten_when_nobody_records_then_the_oldest_go(store: AlarmStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    assert store.shorten() == 0
    store.write(Step(changes=[RAISED, CLEARED, RAISED]))
    assert store.shorten() == 1
    with AlarmJournal(store.path) as journal:
        assert [entry.number for entry in journal.oldest(10)] == [2, 3]
        journal.remove(3)
    assert (store.shorten(), store.waiting_entries()) == (0, 0)


def test_journal_when_there_is_no_file_then_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="cannot be read or written"):
        AlarmJournal(tmp_path / "none.sqlite")


def test_journal_when_the_file_is_no_store_then_unreachable_with_the_remedy(path: Path) -> None:
    sqlite3.connect(path).close()
    path.write_bytes(b"")
    with AlarmJournal(path) as journal:
        with pytest.raises(UnreachableError, match="check the disk under GL_HOME"):
            journal.oldest(1)
        with pytest.raises(UnreachableError, match="no such table"):
            journal.remove(1)
