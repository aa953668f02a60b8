"""The agents' journal: many changes in few statements, in an order that stays true."""

from __future__ import annotations

import threading
from pathlib import Path

from resources.agents.sdk.journal import ROWS, Journal
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Formatter
from resources.core.clock import SystemClock

_SCHEMA = "CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY, value TEXT)"
_PUT = f"INSERT OR REPLACE INTO item VALUES {ROWS}"
_MARK = f"UPDATE item SET value = marked.column2 FROM (VALUES {ROWS}) AS marked WHERE name = marked.column1"


def _written(path: Path) -> dict[str, str]:
    journal = Journal(path, _SCHEMA)
    found = dict(journal.rows("SELECT name, value FROM item"))
    journal.start()
    journal.close()
    return found


def test_journal_when_more_rows_wait_than_one_statement_takes_then_all_are_written_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    journal = Journal(tmp_path / "j.sqlite", _SCHEMA)
    names = [f"n{number}" for number in range(1201)]
    for name in names:
        journal.put(_PUT, (name, "put"), lambda name=name: told.append(name))  # type: ignore[misc]
    journal.start()
    journal.close()
    assert told == names
    assert _written(tmp_path / "j.sqlite") == dict.fromkeys(names, "put")


def test_journal_when_single_changes_lie_between_then_what_was_put_before_is_written_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", _SCHEMA)
    journal.put(_PUT, ("kept", "first"))
    journal.put(_PUT, ("dropped", "first"))
    journal.put(_MARK, ("kept", "marked"))
    journal.put("DELETE FROM item WHERE name = ?", ("dropped",))
    journal.put(_PUT, ("again", "second"))
    journal.put("DELETE FROM item WHERE name = ?", ("again",))
    journal.put(_PUT, ("again", "third"))
    journal.start()
    journal.close()
    assert _written(tmp_path / "j.sqlite") == {"kept": "marked", "again": "third"}


def test_store_when_opened_again_then_a_command_to_many_is_kept_as_its_own_agents(tmp_path: Path) -> None:
    clock = SystemClock()
    command = Formatter("GL-001", clock).command(
        "optimize", {"é": [1, 2.5]}, targets=[f"GL-{n:03d}" for n in range(2, 101)], timeout_s=60.0
    )
    store, durable = SeenStore(tmp_path / "s.sqlite"), threading.Event()
    store.begin("GL-002", command, command.content_hash(), lambda: None)
    store.begin("GL-003", command, command.content_hash(), lambda: None)
    answer = Formatter("GL-003", clock).response(command, "ok", result={"n": 1})
    store.finish("GL-003", answer, durable.set)
    store.close()
    assert durable.is_set()

    again = SeenStore(tmp_path / "s.sqlite")
    begun, answered = again.find("GL-002", command.message_id), again.find("GL-003", command.message_id)
    again.close()
    assert begun is not None
    assert answered is not None
    assert begun.command.target_agents == ["GL-002"]
    assert begun.command.content_hash() == command.content_hash() == begun.content_hash
    assert (begun.finished, answered.finished, answered.response) == (False, True, answer)
