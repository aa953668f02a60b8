from __future__ import annotations

import logging
import multiprocessing
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.core.process.rotating import SharedRotatingFileHandler


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("t", logging.INFO, __file__, 1, text, None, None)


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[SharedRotatingFileHandler]:
    handler = SharedRotatingFileHandler(tmp_path / "a.log", max_bytes=200, kept=2)
    yield handler
    handler.close()


def test_handler_when_the_file_is_full_then_rotated_and_few_kept(
    tmp_path: Path, handler: SharedRotatingFileHandler
) -> None:
    for number in range(100):
        handler.emit(record(f"line {number:05d}"))
    kept = sorted(p.name for p in tmp_path.glob("a.log*") if p.suffix != ".lock")
    assert kept == ["a.log", "a.log.1", "a.log.2"]
    assert "line 00099" in (tmp_path / "a.log").read_text()
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in kept)


def test_handler_when_another_one_rotated_then_it_follows(tmp_path: Path, handler: SharedRotatingFileHandler) -> None:
    handler.emit(record("mine"))
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    handler.emit(record("after the other's rotation"))
    assert (tmp_path / "a.log").read_text() == "after the other's rotation\n"


def test_handler_when_the_file_was_removed_then_it_is_made_again(
    tmp_path: Path, handler: SharedRotatingFileHandler
) -> None:
    (tmp_path / "a.log").unlink()
    handler.emit(record("here"))
    assert (tmp_path / "a.log").read_text() == "here\n"


def test_rollover_when_another_one_was_faster_then_not_rotated_again(
    tmp_path: Path, handler: SharedRotatingFileHandler
) -> None:
    handler.emit(record("old"))
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").write_text("new\n")
    handler.doRollover()
    assert (tmp_path / "a.log").read_text() == "new\n"
    assert not (tmp_path / "a.log.2").exists()


def write_many(path: Path, who: int, lines: int) -> None:
    handler = SharedRotatingFileHandler(path, max_bytes=4_000, kept=1_000)
    for number in range(lines):
        handler.emit(record(f"process {who} line {number:05d}"))
    handler.close()


def test_handler_when_processes_share_a_file_then_no_line_is_lost_and_no_rotation_is_doubled(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write_many, args=(tmp_path / "b.log", who, 400)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0, 0, 0]
    lines = [
        line for path in tmp_path.glob("b.log*") if path.suffix != ".lock" for line in path.read_text().splitlines()
    ]
    assert len(lines) == len(set(lines)) == 1_200
