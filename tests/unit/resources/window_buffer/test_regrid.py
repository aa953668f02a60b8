"""Cutting a buffer to another window length: what is refused, and what goes on."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import DataError
from resources.core.windows import WindowGrid
from resources.window_buffer.reader import BufferReader
from resources.window_buffer.regrid import BufferRegrid, Unfinished
from tests.unit.resources.window_buffer.plant import MINUTE, SECOND, T0, open_buffer, readings


@pytest.fixture
def folder(tmp_path: Path, clock: ManualClock) -> Path:
    """A buffer with one closed window of three readings, and the next one open and empty."""
    buffer = open_buffer(tmp_path / "buffer", clock)
    buffer.append(readings(T0 + SECOND, [0, 1, 2], [1.0, 2.0, 3.0]))
    buffer.commit()
    for _ in range(7):
        clock.advance(10)
        buffer.tick()
    buffer.close()
    return tmp_path / "buffer"


def test_regrid_when_the_folder_is_no_buffer_then_it_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="is no window buffer"):
        BufferRegrid(tmp_path)


def test_regrid_when_the_index_is_damaged_then_it_names_the_way_and_leaves_the_lock(folder: Path, clock: ManualClock):
    (folder / "index.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="start the collector once with the old window length"):
        BufferRegrid(folder)
    open_buffer(folder, clock).close()


def test_unfinished_when_the_ledger_is_behind_then_the_window_is_named(folder: Path):
    with BufferRegrid(folder) as regrid:
        assert (regrid.collector, regrid.length, regrid.held) == ("collector", MINUTE, 2)
        waiting = [Unfinished(T0, "revision 1 is closed, nothing is stored")]
        assert regrid.unfinished({}) == regrid.unfinished(None) == waiting
        assert regrid.unfinished({T0: 1}) == []
        regrid.note_stored({T0: 1})
        assert regrid.unfinished(None) == []


def test_unfinished_when_held_readings_are_being_moved_then_it_is_said(folder: Path):
    index = sqlite3.connect(folder / "index.sqlite")
    with index:
        index.execute(
            "INSERT INTO held (source, minute, ahead, bytes, rows, verdict) VALUES ('a', 0, 0, 0, 1, 'release')"
        )
    index.close()
    with BufferRegrid(folder) as regrid:
        assert [one.why for one in regrid.unfinished({T0: 1})] == [
            "readings that were held for a wrong clock are on their way into windows"
        ]


def test_unfinished_when_zeros_are_filled_ahead_then_they_are_no_readings(folder: Path):
    (segment,) = (folder / "segments").glob("*100000Z.0.seg")
    with segment.open("ab") as file:
        file.write(bytes(4096))
    with BufferRegrid(folder) as regrid:
        assert regrid.unfinished({T0: 1}) == []


def test_apply_when_done_then_the_next_collector_goes_on_above_and_merges(
    folder: Path, clock: ManualClock, tmp_path: Path
):
    long = 15 * MINUTE
    with BufferRegrid(folder) as regrid:
        regrid.apply(long, {T0: 1}, tmp_path / "aside")
        assert (regrid.length, regrid.held) == (long, 0)
    assert BufferReader(tmp_path / "aside").read(T0).readings.num_rows == 3
    buffer = open_buffer(folder, clock, grid=WindowGrid(long))
    assert buffer.counts()["alpha"].buffered == 3
    buffer.append(readings(T0 + 2 * SECOND, [0], [9.0]))
    buffer.commit()
    clock.advance((long + timedelta(seconds=10)).total_seconds())
    for _ in range(5):
        buffer.tick()
        clock.advance(10)
    buffer.close()
    contents = BufferReader(folder).read(T0)
    assert (contents.revision, contents.complete, contents.readings.num_rows) == (2, False, 1)
    assert contents.readings["sequence"].to_pylist()[0] > 2
