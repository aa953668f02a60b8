from __future__ import annotations

import errno
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.window_buffer.model import BufferFullError, WindowNotHeldError
from resources.window_buffer.reader import BufferReader
from resources.window_buffer.writing import intake
from resources.window_buffer.writing.opening import LEAST_CAP
from tests.unit.resources.window_buffer.plant import MINUTE, SECOND, T0, open_buffer, ramp, readings, values


def test_retention_when_window_is_stored_then_it_goes_after_24_h_and_not_before(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        buffer.stored_revisions({T0: 1})
        assert buffer.held_windows()[0].stored_revision == 1
        clock.advance(86_400 - 2)
        buffer.tick()
        assert T0 in [w.window_start for w in buffer.held_windows()]
        clock.advance(3)
        buffer.tick()
        assert T0 not in [w.window_start for w in buffer.held_windows()]
        state = buffer.state()
        assert (state.dropped_windows, state.dropped_early) == (1, 0)
        assert len(buffer.held_windows()) > 1000, "windows that are not stored stay"
    with pytest.raises(WindowNotHeldError, match="dropped"):
        BufferReader(tmp_path).read(T0)


@pytest.mark.parametrize("ledger", [{}, {T0: 1}], ids=["missing", "older"])
def test_retention_when_last_revision_is_not_stored_then_window_stays(
    tmp_path: Path, clock: ManualClock, ledger: dict[object, int]
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        buffer.stored_revisions({T0: 1})
        buffer.append(readings(T0, [1], [1]))
        buffer.tick()
        clock.advance(31)
        buffer.tick()
        buffer.stored_revisions(ledger)  # type: ignore[arg-type]
        clock.advance(90_000)
        buffer.tick()
        assert buffer.held_windows()[0].window_start == T0


def test_late_reading_when_window_was_dropped_then_next_revision_is_not_complete(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        buffer.stored_revisions({T0: 1})
        clock.advance(86_400)
        buffer.tick()
        buffer.append(readings(T0 + SECOND, [0], [2]))
        buffer.commit()
        clock.advance(1)
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(31)
        assert (T0, 2) in [(w.window_start, w.revision) for w in buffer.tick()]
        contents = BufferReader(tmp_path).read(T0)
        assert values(contents) == {("a0", T0 + SECOND): 2}
        assert not contents.complete


def test_ledger_when_it_is_ahead_of_a_buffer_made_anew_then_windows_go_on_above_it_and_are_merged(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        buffer.stored_revisions({T0: 3, T0 - MINUTE: 2, T0 + MINUTE: 5})
        buffer.stored_revisions({T0: 3, T0 - MINUTE: 2, T0 + MINUTE: 5})
        reader = BufferReader(tmp_path)
        contents = reader.read(T0)
        assert (contents.revision, contents.complete) == (4, False)
        buffer.append(readings(T0 - SECOND, [0], [1]))
        buffer.commit()
        clock.advance(66)
        buffer.tick()
        contents = reader.read(T0 - MINUTE)
        assert (contents.revision, contents.complete) == (3, False)
        assert reader.read(T0 + MINUTE).revision == 6


def test_cap_when_stored_windows_are_there_then_oldest_go_early_and_are_counted(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock, max_bytes=3_000) as buffer:
        for _ in range(3):
            buffer.append(readings(clock.now(), range(4), ramp(4)))
            buffer.commit()
            clock.advance(60)
            buffer.tick()
        clock.advance(10)
        buffer.tick()
        buffer.stored_revisions({T0: 1, T0 + MINUTE: 1})
        buffer.append(readings([clock.now()] * 80, [0] * 80, ramp(80)))
        buffer.commit()
        state = buffer.state()
        assert (state.dropped_windows, state.dropped_early) == (1, 1)
        assert state.bytes <= 3_000
        assert [w.window_start for w in buffer.held_windows()] == [T0 + MINUTE, T0 + 2 * MINUTE]


@pytest.mark.parametrize(
    ("stored", "revision"), [([0, 1], {T0: (2, True), T0 + MINUTE: None}), ([0], {T0: (2, False)})], ids=["two", "one"]
)
def test_cap_when_late_readings_are_for_the_oldest_stored_window_then_they_are_kept_and_closed(
    tmp_path: Path, clock: ManualClock, stored: list[int], revision: dict[datetime, tuple[int, bool] | None]
) -> None:
    late = [T0 + SECOND * (0.5 + n * 0.5) for n in range(80)]
    with open_buffer(tmp_path, clock, max_bytes=2_700) as buffer:
        for _ in range(3):
            buffer.append(readings(clock.now(), range(4), ramp(4)))
            buffer.commit()
            clock.advance(60)
            buffer.tick()
        clock.advance(10)
        buffer.tick()
        buffer.stored_revisions({T0 + n * MINUTE: 1 for n in stored})
        buffer.append(readings(late, [0] * 80, ramp(80), received=clock.now(), acknowledge=lambda: None))
        assert len(buffer.commit().acknowledgements) == 1
        assert buffer.state().bytes <= 2_700
    # a start removes the files of windows that are not held
    with open_buffer(tmp_path, clock, max_bytes=2_700) as buffer:
        clock.advance(31)
        buffer.tick()
        held = {w.window_start: (w.revision, w.complete) for w in buffer.held_windows()}
        assert {start: held.get(start) for start in revision} == revision
        assert buffer.state().dropped_early == 1
    found = values(BufferReader(tmp_path).read(T0))
    assert {("a0", time) for time in late} <= found.keys()
    # what the dropped file held is in the table already
    assert len(found) == (84 if held[T0][1] else 80)


def test_cap_when_nothing_is_stored_then_nothing_is_acknowledged_and_nothing_is_lost(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock, max_bytes=2_000) as buffer:
        buffer.append(readings(T0, [0], [0], acknowledge=lambda: None))
        assert len(buffer.commit().acknowledgements) == 1
        clock.advance(61)
        buffer.append(readings([clock.now()] * 100, [0] * 100, ramp(100), acknowledge=lambda: None))
        buffer.append(readings(T0, [1], [1], only_if_newer=True))
        for _ in range(2):
            with pytest.raises(BufferFullError, match=r"raise buffer\.max_bytes"):
                buffer.commit()
        assert buffer.state().full
        assert buffer.pending_rows == 101
        with pytest.raises(BufferFullError, match="is full"):
            buffer.append(readings(T0, [0], [1]))
        clock.advance(5)
        buffer.tick()
        with pytest.raises(BufferFullError):
            buffer.close_all()
        assert values(BufferReader(tmp_path).read(T0)) == {("a0", T0): 0}
    # what found no room was never acknowledged, so it must not count as known either
    with open_buffer(tmp_path, clock) as buffer:
        assert not buffer.state().full
        buffer.append(readings(T0, [1], [1], only_if_newer=True))
        buffer.commit()
        assert buffer.counts()["alpha"].not_newer == 0


def test_cap_when_room_comes_back_then_what_was_pending_is_committed_once(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock, max_bytes=2_000) as buffer:
        buffer.append(readings(T0, range(4), ramp(4)))
        buffer.commit()
        clock.advance(66)
        buffer.tick()
        buffer.append(readings([clock.now()] * 80, [0] * 80, ramp(80), acknowledge=lambda: None))
        with pytest.raises(BufferFullError):
            buffer.commit()
        buffer.stored_revisions({T0: 1})
        result = buffer.commit()
        assert (result.rows, len(result.acknowledgements)) == (80, 1)
        assert not buffer.state().full
        assert buffer.counts()["alpha"].buffered == 84


def test_disk_when_it_refuses_a_write_then_files_are_as_they_were_and_commit_succeeds_later(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the kernel's answer of a full disk: no file system of this machine can be filled for a test
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        buffer.commit()
        (segment,) = (tmp_path / "segments").iterdir()
        before = segment.read_bytes()
        clock.advance(61)
        buffer.append(readings([T0, clock.now()], [1, 1], [2, 2]))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(BufferFullError, match="No space left on device"):
                buffer.commit()
        assert segment.read_bytes() == before
        assert buffer.commit().rows == 2
        clock.advance(66)
        buffer.tick()
    assert len(values(BufferReader(tmp_path).read(T0))) == 2
    assert len(values(BufferReader(tmp_path).read(T0 + MINUTE))) == 1


def test_disk_when_a_write_comes_out_short_then_the_rest_follows(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.pwritev

    def short(descriptor: int, parts: list[bytes], offset: int) -> int:
        return whole(descriptor, parts[:1], offset)

    with open_buffer(tmp_path, clock) as buffer:
        monkeypatch.setattr(os, "pwritev", short)
        buffer.append(readings(T0, [0, 1], [1, 2]))
        clock.advance(66)
        buffer.tick()
    assert len(values(BufferReader(tmp_path).read(T0))) == 2


def test_append_when_too_many_rows_wait_then_refused_until_a_commit(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_PENDING_ROWS", 10)
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings([T0] * 20, [0] * 20, ramp(20)))
        with pytest.raises(BufferFullError, match="wait for the disk"):
            buffer.append(readings(T0, [0], [1]))
        buffer.commit()
        buffer.append(readings(T0, [0], [1]))


def test_cap_when_none_is_given_then_half_of_the_free_disk_and_at_least_1_gib(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        assert buffer.state().max_bytes >= LEAST_CAP


def test_commit_when_readings_lie_in_many_windows_then_files_are_opened_a_few_at_a_time(
    tmp_path: Path, clock: ManualClock
) -> None:
    times = [T0 - timedelta(minutes=n) for n in range(200)]
    with open_buffer(tmp_path, clock) as buffer:
        for key in (0, 1):
            buffer.append(readings(times, [key] * 200, ramp(200), received=T0))
            buffer.commit()
        assert len(buffer.close_all()) == 200
    assert sum(window.rows for window in BufferReader(tmp_path).windows()) == 400


def test_index_when_disk_is_full_then_tick_says_so_and_goes_on_later(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        buffer.commit()
        clock.advance(66)
        # SQLite's own limit stands for a full disk: it refuses with the same code
        index = buffer._index
        pages = index.all("PRAGMA page_count")[0][0]
        index.run("CREATE TABLE filler (data BLOB)")
        index.run(f"PRAGMA max_page_count = {pages + 1}")
        index.run("PRAGMA wal_checkpoint(TRUNCATE)")
        buffer.add_counts("alpha", **{f"count_{n}_{'x' * 200}": 1 for n in range(200)})
        with pytest.raises(BufferFullError, match="index cannot be written"):
            buffer.commit()
        with pytest.raises(BufferFullError, match="index cannot be written"):
            buffer.tick()
        index.run("PRAGMA max_page_count = 1000000")
        assert [(w.window_start, w.revision) for w in buffer.tick()] == [(T0, 1)]
        assert not buffer.state().full
        assert len(buffer.counts()["alpha"].other) == 200
    assert len(BufferReader(tmp_path).counts()["alpha"].other) == 200
