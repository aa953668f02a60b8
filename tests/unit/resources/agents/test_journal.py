"""The file behind an agent's memory: durable before it says so, also after the disk was full."""

from __future__ import annotations

import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog.testing

from resources.agents.sdk.journal import Journal
from resources.agents.seen_store import SeenStore
from resources.core.errors import ConfigError, DataError

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (text TEXT)"
INSERT = "INSERT INTO kept VALUES (?)"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that takes no more: no file of this process may grow beyond `size`."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def journal(path: Path) -> Journal:
    made = Journal(path, SCHEMA)
    made.start()
    return made


def stored(path: Path) -> list[str]:
    with sqlite3.connect(path) as database:
        found = [text for (text,) in database.execute("SELECT text FROM kept ORDER BY rowid")]
    database.close()
    return found


def test_journal_when_the_disk_is_full_then_nothing_is_called_durable_until_it_takes_writes_again(
    tmp_path: Path,
) -> None:
    written, durable, failed = journal(tmp_path / "j.sqlite"), threading.Event(), threading.Event()
    large = "x" * 300_000

    def note(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if event["event"] == "agent_store_write_failed":
            failed.set()
        raise structlog.DropEvent

    structlog.configure(processors=[note])
    try:
        with files_of_at_most(100_000):
            written.put(INSERT, (large,), durable.set)
            assert failed.wait(60)
            assert not durable.is_set()
        assert durable.wait(60)
    finally:
        structlog.reset_defaults()
    written.close()
    assert stored(tmp_path / "j.sqlite") == [large]


def test_journal_when_closed_while_the_disk_is_full_then_it_ends_and_what_was_not_durable_is_not_there(
    tmp_path: Path,
) -> None:
    written, durable = journal(tmp_path / "j.sqlite"), threading.Event()
    written.put_and_wait(INSERT, ("first",))
    with files_of_at_most(100_000):
        written.put(INSERT, ("x" * 300_000,), durable.set)
        written.close()
    assert not durable.is_set()
    assert stored(tmp_path / "j.sqlite") == ["first"]


def test_journal_when_a_callback_fails_then_the_others_are_called_and_it_goes_on(tmp_path: Path) -> None:
    written, durable = journal(tmp_path / "j.sqlite"), threading.Event()
    with structlog.testing.capture_logs() as logs:
        written.put(INSERT, ("a",), lambda: 1 / 0)  # type: ignore[arg-type]
        written.put(INSERT, ("b",), durable.set)
        assert durable.wait(60)
    written.put_and_wait(INSERT, ("c",))
    written.close()
    assert [entry["event"] for entry in logs] == ["agent_store_callback_failed"]
    assert stored(tmp_path / "j.sqlite") == ["a", "b", "c"]


def test_journal_when_closed_then_nobody_waits_for_what_can_not_become_durable(tmp_path: Path) -> None:
    written = journal(tmp_path / "j.sqlite")
    written.close()
    with pytest.raises(DataError, match="closed"):
        written.put_and_wait(INSERT, ("late",))


def test_store_when_sqlite_is_too_old_then_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    with pytest.raises(ConfigError, match=r"3\.33 or newer"):
        SeenStore(tmp_path / "s.sqlite")


def test_journal_when_the_file_is_no_database_then_an_error(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_text("no database, but longer than the header of one would be " * 10)
    with pytest.raises(sqlite3.DatabaseError):
        Journal(tmp_path / "j.sqlite", SCHEMA)
