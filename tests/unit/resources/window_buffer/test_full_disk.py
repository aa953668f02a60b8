"""A disk that takes no more. SQLite's own limit stands for it: the index is refused with the same code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.core.tags import Sensor, SensorCatalog
from resources.window_buffer.books import ABSENT
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.disk.index import Index
from resources.window_buffer.model import BufferFullError
from resources.window_buffer.reader import BufferReader
from tests.unit.resources.window_buffer.plant import MINUTE, SECOND, T0, open_buffer, readings, values

LONG_NAME = "alpha" * 4000
"""A source whose gap needs pages of its own in the index."""


def fill(buffer: WindowBuffer) -> None:
    """Let the index grow no more, and give it much to write."""
    index = buffer._index
    index.run("PRAGMA wal_checkpoint(TRUNCATE)")
    index.run(f"PRAGMA max_page_count = {index.all('PRAGMA page_count')[0][0]}")
    buffer.add_counts("alpha", **{f"count_{n}_{'x' * 200}": 1 for n in range(200)})


def free(buffer: WindowBuffer) -> None:
    buffer._index.run("PRAGMA max_page_count = 1000000")


def test_tick_when_the_index_cannot_be_written_then_the_buffer_is_full_until_it_can(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        fill(buffer)
        with pytest.raises(BufferFullError, match="free disk space"):
            buffer.tick()
        assert buffer.state().full
        with pytest.raises(BufferFullError, match="free disk space"):
            buffer.commit()
        with pytest.raises(BufferFullError, match="is full"):
            buffer.append(readings(T0, [0], [1]))
        free(buffer)
        buffer.commit()
        assert not buffer.state().full
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        assert [(w.window_start, w.rows) for w in buffer.tick()] == [(T0, 1)]


def test_windows_when_they_began_while_the_disk_was_full_then_they_close_and_can_be_read(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        fill(buffer)
        for _ in range(3):
            clock.advance(60)
            with pytest.raises(BufferFullError):
                buffer.tick()
        free(buffer)
        buffer.tick()
        buffer.append(readings(clock.now(), [0], [1]))
        clock.advance(66)
        buffer.tick()
    reader = BufferReader(tmp_path)
    assert [(w.window_start, w.rows) for w in reader.windows()] == [
        (T0, 0),
        (T0 + MINUTE, 0),
        (T0 + 2 * MINUTE, 0),
        (T0 + 3 * MINUTE, 1),
    ]
    assert values(reader.read(T0 + 3 * MINUTE)) == {("a0", T0 + 3 * MINUTE): 1}


def test_ledger_when_it_is_ahead_and_the_disk_is_full_then_the_window_closes_above_it_later(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        fill(buffer)
        for _ in range(2):
            with pytest.raises(BufferFullError):
                buffer.tick()
            with pytest.raises(BufferFullError):
                buffer.stored_revisions({T0: 3})
        free(buffer)
        buffer.stored_revisions({T0: 3})
        contents = BufferReader(tmp_path).read(T0)
        assert (contents.revision, contents.complete) == (4, False)


def test_close_when_the_disk_is_full_then_the_folder_is_free_and_the_next_run_finds_everything(
    tmp_path: Path, clock: ManualClock
) -> None:
    buffer = open_buffer(tmp_path, clock)
    buffer.append(readings(T0, [0], [1]))
    buffer.commit()
    fill(buffer)
    buffer.close()
    clock.advance(66)
    with open_buffer(tmp_path, clock) as buffer:
        buffer.tick()
        assert buffer.counts()["alpha"].buffered == 1
        assert [(g.source, g.since, g.until) for g in buffer.gaps() if g.source == "beta"] == [
            ("beta", T0, T0 + 66 * SECOND)
        ]
    assert values(BufferReader(tmp_path).read(T0)) == {("a0", T0): 1}


def test_start_when_the_disk_is_full_then_the_buffer_opens_full_and_notes_the_absence_later(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Index._prepare

    def prepare_on_full_disk(index: Index) -> None:
        prepare(index)
        index.run(f"PRAGMA max_page_count = {index.all('PRAGMA page_count')[0][0]}")

    catalog = SensorCatalog([Sensor("a0", "Cel", LONG_NAME)])
    open_buffer(tmp_path, clock, catalog=catalog).close()
    clock.advance(100)
    opened = clock.now()
    monkeypatch.setattr(Index, "_prepare", prepare_on_full_disk)
    with open_buffer(tmp_path, clock, catalog=catalog) as buffer:
        assert buffer.state().full
        clock.advance(50)
        for refused in (buffer.tick, buffer.commit, lambda: buffer.open_gap(LONG_NAME, opened + SECOND, "full")):
            with pytest.raises(BufferFullError):
                refused()
        assert buffer.gaps() == []
        free(buffer)
        buffer.open_gap(LONG_NAME, opened + SECOND, "full")
        buffer.commit()
        assert not buffer.state().full
        assert [(g.since, g.until, g.reason) for g in buffer.gaps()] == [
            (T0, opened, ABSENT),
            (opened + SECOND, None, "full"),
        ]
        buffer.append(readings(clock.now(), [0], [1], source=LONG_NAME))
        buffer.commit()
        clock.advance(66)
        assert T0 + 2 * MINUTE in [w.window_start for w in buffer.tick() if w.rows]


def test_start_when_the_cap_leaves_no_room_for_released_readings_then_the_buffer_opens_and_moves_them_later(
    tmp_path: Path, clock: ManualClock
) -> None:
    ahead = timedelta(minutes=30)
    buffer = open_buffer(tmp_path, clock)
    buffer.append(readings([T0 + ahead + n * SECOND for n in range(40)], [0] * 40, range(40), received=T0))
    buffer.commit()
    buffer.tick()
    clock.step_wall(ahead.total_seconds())
    clock.advance(62)
    ((file, verdict),) = buffer._parts.held.due()
    buffer._parts.held.decide(file, verdict)
    buffer.close()
    with open_buffer(tmp_path, clock, max_bytes=1_000) as buffer:
        assert buffer.state().full
        assert buffer.counts()["alpha"].buffered == 0
    with open_buffer(tmp_path, clock) as buffer:
        assert not buffer.state().full
        assert buffer.counts()["alpha"].buffered == 40
