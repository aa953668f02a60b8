from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from gl_assets.cli.stored.buffer import buffer as command
from resources.core.clock import ManualClock
from resources.core.errors import UnreachableError
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader
from resources.window_buffer.replay import replay
from tests.unit.resources.window_buffer.plant import MINUTE, T0, open_buffer, readings, values


def filled(folder: Path, clock: ManualClock) -> WindowBuffer:
    """Return a buffer with two closed windows and an open one."""
    buffer = open_buffer(folder, clock)
    buffer.append(readings(T0, [0], [1]))
    clock.advance(126)
    buffer.tick()
    return buffer


def test_replay_when_no_collector_runs_then_held_windows_get_a_higher_revision(
    tmp_path: Path, clock: ManualClock
) -> None:
    filled(tmp_path, clock).close()
    reader = BufferReader(tmp_path)
    token = reader.wait_for_change("", 0)
    outcome = replay(tmp_path, T0 - MINUTE, T0 + 3 * MINUTE)
    assert outcome.raised == {T0: 2, T0 + MINUTE: 2}
    assert outcome.still_open == [T0 + 2 * MINUTE]
    assert outcome.not_held == [T0 - MINUTE]
    assert reader.wait_for_change(token, 0) != token
    contents = reader.read(T0)
    assert (contents.revision, values(contents)) == (2, {("a0", T0): 1})
    with open_buffer(tmp_path, clock) as buffer:
        assert [w.revision for w in buffer.held_windows()] == [2, 2]


def test_replay_when_collector_runs_then_its_tick_does_it(tmp_path: Path, clock: ManualClock) -> None:
    with filled(tmp_path, clock) as buffer:
        found = []
        asked = threading.Thread(target=lambda: found.append(replay(tmp_path, T0, T0 + MINUTE, timeout_s=60)))
        asked.start()
        closed = []
        while asked.is_alive():
            closed += buffer.tick()
            asked.join(0.01)
        assert found[0].raised == {T0: 2}
        assert [(w.window_start, w.revision) for w in closed] == [(T0, 2)]
        assert buffer.held_windows()[0].revision == 2


def test_replay_when_collector_does_not_answer_then_error_names_it_and_request_stands(
    tmp_path: Path, clock: ManualClock
) -> None:
    waited: list[int] = []
    with filled(tmp_path, clock) as buffer:
        with pytest.raises(UnreachableError, match="did not take the request up"):
            replay(tmp_path, T0, T0 + MINUTE, timeout_s=0.2, waiting=lambda: waited.append(1))
        assert waited
        assert [(w.window_start, w.revision) for w in buffer.tick()] == [(T0, 2)]


def test_replay_when_there_is_no_buffer_then_nothing_is_raised(tmp_path: Path) -> None:
    outcome = replay(tmp_path / "none", T0, T0 + MINUTE)
    assert outcome.raised == {}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GL_HOME", str(tmp_path))
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield tmp_path / "buffer"
    # the command sets up the logs of its process, which here is the tests'
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_stats_when_buffer_was_never_made_then_says_so_without_error(home: Path) -> None:
    found = json.loads(CliRunner().invoke(command, ["stats", "--json"], catch_exceptions=False).output)
    assert (found["heartbeat"], found["held_windows"], found["windows"]) == (None, 0, [])


def test_stats_when_buffer_holds_windows_then_json_and_tables_show_them(home: Path, clock: ManualClock) -> None:
    with filled(home, clock) as buffer:
        buffer.open_gap("beta", T0, "connection lost")
        ahead = clock.now() + timedelta(hours=1)
        buffer.append(readings(ahead, [0, 1, 2], [1, 2, 3], received=clock.now()))
        buffer.commit()
        buffer.tick()
        found = json.loads(CliRunner().invoke(command, ["stats", "--json"], catch_exceptions=False).output)
        assert (found["oldest"], found["newest"], found["rows"]) == ("2026-11-22T10:00", "2026-11-22T10:01", 1)
        assert found["windows"][0]["revision"] == 1
        assert found["gaps"][0]["reason"] == "connection lost"
        assert found["clock_alarms"][0]["held_rows"] == 3
        text = CliRunner().invoke(command, ["stats"], catch_exceptions=False, env={"COLUMNS": "200"}).output
        assert "2026-11-22T10:01" in text
        assert "connection lost" in text


def test_replay_command_when_given_a_range_then_names_windows(home: Path, clock: ManualClock) -> None:
    filled(home, clock).close()
    arguments = ["replay", "--from", "2026-11-22T09:59", "--to", "2026-11-22T11:03:00+01:00"]
    found = json.loads(CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert found["raised"] == {"2026-11-22T10:00": 2, "2026-11-22T10:01": 2}
    assert found["not_held"] == ["2026-11-22T09:59"]
    text = CliRunner().invoke(command, arguments, catch_exceptions=False).output
    assert "2 windows will be stored again" in text
    assert "1 windows still open" in text
    assert "backfill them from a historian" in text


@pytest.mark.parametrize(
    "arguments",
    [["--from", "yesterday", "--to", "2026-11-22T10:00"], ["--from", "2026-11-22T10:00", "--to", "2026-11-22T10:00"]],
    ids=["no time", "empty range"],
)
def test_replay_command_when_range_is_wrong_then_usage_error(home: Path, arguments: list[str]) -> None:
    assert CliRunner().invoke(command, ["replay", *arguments]).exit_code == 2
