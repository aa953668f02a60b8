from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.window_buffer.model import WindowNotHeldError
from resources.window_buffer.reader import BufferReader
from tests.unit.resources.window_buffer.plant import T0, open_buffer, readings


def test_reader_when_folder_is_empty_then_everything_is_empty(tmp_path: Path) -> None:
    reader = BufferReader(tmp_path / "none")
    assert (reader.windows(), reader.gaps(), reader.counts(), reader.heartbeat()) == ([], [], {}, None)
    assert reader.state().held_windows == 0
    assert reader.wait_for_change("", 0.06) == ""


def test_wait_for_change_when_a_window_closes_then_returns_at_once_and_not_on_other_writes(
    tmp_path: Path, clock: ManualClock
) -> None:
    reader = BufferReader(tmp_path)
    with open_buffer(tmp_path, clock) as buffer:
        token = reader.wait_for_change("", 60)
        assert token
        buffer.append(readings(T0, [0], [1]))
        buffer.tick()
        assert reader.wait_for_change(token, 0.2) == token
        found: list[str] = []
        waiting = threading.Thread(target=lambda: found.append(reader.wait_for_change(token, 60)))
        waiting.start()
        clock.advance(66)
        buffer.tick()
        waiting.join(30)
        assert found
        assert found[0] != token


def test_wait_for_change_when_buffer_is_made_anew_then_token_differs(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "buffer"
    open_buffer(folder, clock).close()
    reader = BufferReader(folder)
    token = reader.wait_for_change("", 0)
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.append(reader.wait_for_change(token, 60)))
    waiting.start()
    # in one step: the reader makes SQLite's files beside the index, which would come between
    folder.rename(tmp_path / "before")
    deadline = time.monotonic() + 30
    open_buffer(folder, clock).close()
    while waiting.is_alive() and time.monotonic() < deadline:
        waiting.join(0.1)
    assert found
    assert found[0] != token


def test_read_when_segment_was_deleted_then_says_so(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        (segment,) = (tmp_path / "segments").iterdir()
        segment.unlink()
        with pytest.raises(WindowNotHeldError, match="segment was deleted"):
            BufferReader(tmp_path).read(T0)


def test_state_when_asked_from_outside_then_equals_the_writers_of_the_last_tick(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        buffer.tick()
        assert BufferReader(tmp_path).state() == buffer.state()
        assert BufferReader(tmp_path).heartbeat() == T0
