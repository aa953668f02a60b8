from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader
from tests.unit.resources.window_buffer.plant import MINUTE, SECOND, T0, open_buffer, readings, reject, texts, values

SEGMENT = "20261122T100000Z.0.seg"


def crash(buffer: WindowBuffer) -> None:
    """Let go of everything as the kernel does when a process is killed: nothing is written any more."""
    buffer._parts.segments._filled.clear()
    buffer._release()


def copy_of(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def finish(folder: Path, clock: ManualClock) -> dict[tuple[str, object], float | None]:
    with open_buffer(folder, clock) as buffer:
        clock.advance(66)
        buffer.tick()
    return values(BufferReader(folder).read(T0))  # type: ignore[return-value]


@pytest.fixture
def crashed(tmp_path: Path, clock: ManualClock) -> tuple[Path, list[int]]:
    """A folder with four commits of one window, two before the last checkpoint; and where each commit ends."""
    folder = tmp_path / "crashed"
    buffer = open_buffer(folder, clock)
    ends = []
    for n in range(4):
        buffer.append(readings(T0 + n * SECOND, [0, 1], [n, n]))
        buffer.add_counts("alpha", sent=2)
        buffer.commit()
        ends.append((folder / "segments" / SEGMENT).stat().st_size)
        clock.advance(0.25)
        if n == 1:
            buffer.tick()
    crash(buffer)
    return folder, ends


def test_start_when_last_run_was_killed_then_everything_acknowledged_is_there(
    crashed: tuple[Path, list[int]], clock: ManualClock
) -> None:
    folder, _ = crashed
    with open_buffer(folder, clock) as buffer:
        counts = buffer.counts()["alpha"]
        assert (counts.sent, counts.received, counts.buffered) == (8, 8, 8)
        buffer.append(readings(T0 + 3 * SECOND, [0], [9], only_if_newer=True))
        buffer.append(readings(T0 + 4 * SECOND, [0], [4]))
        buffer.commit()
        assert buffer.counts()["alpha"].not_newer == 1
    assert len(finish(folder, clock)) == 9
    table = BufferReader(folder).read(T0).readings
    assert len(set(table["sequence"].to_pylist())) == 9
    by_time = table.sort_by("time")["sequence"].to_pylist()
    assert by_time == sorted(by_time)


def test_start_when_tail_is_torn_at_any_byte_then_commits_before_it_are_there(
    crashed: tuple[Path, list[int]], clock: ManualClock, tmp_path: Path
) -> None:
    folder, ends = crashed
    start = clock.now()
    for size in range(ends[2], ends[3], 3):
        again = ManualClock(start)
        copy = copy_of(folder, tmp_path / f"cut-{size}")
        with (copy / "segments" / SEGMENT).open("r+b") as file:
            file.truncate(size)
        with open_buffer(copy, again) as buffer:
            assert buffer.counts()["alpha"].buffered == 6
            assert buffer.state().damaged_bytes == 0
            buffer.append(readings(T0 + 3 * SECOND, [0, 1], [3, 3]))
            buffer.commit()
        assert len(finish(copy, again)) == 8
        shutil.rmtree(copy)


def test_start_when_tail_holds_garbage_or_zeros_then_it_is_cut(
    crashed: tuple[Path, list[int]], clock: ManualClock
) -> None:
    folder, ends = crashed
    for tail in (b"\0" * 5000, b"GLWF" + b"\xff" * 999):
        with (folder / "segments" / SEGMENT).open("ab") as file:
            file.write(tail)
        buffer = open_buffer(folder, clock)
        assert (folder / "segments" / SEGMENT).stat().st_size == ends[3]
        crash(buffer)
    assert len(finish(folder, clock)) == 8


def test_start_when_an_acknowledged_byte_was_damaged_then_only_its_commit_is_lost_and_said_so(
    crashed: tuple[Path, list[int]], clock: ManualClock, tmp_path: Path
) -> None:
    folder, ends = crashed
    start = clock.now()
    for at in range(0, ends[2], 41):
        again = ManualClock(start)
        copy = copy_of(folder, tmp_path / f"wrong-{at}")
        with (copy / "segments" / SEGMENT).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0xFF]))
        found = finish(copy, again)
        contents = BufferReader(copy).read(T0)
        harmless = len(found) == 8  # the padding behind a header's checksum
        assert harmless or len(found) == 6
        assert harmless or not contents.complete
        assert harmless or "checksum" in contents.rejects["reasons"].to_pylist()[0][0]
        shutil.rmtree(copy)


@pytest.mark.parametrize("left", [0, 100, None], ids=["empty", "short", "gone"])
def test_start_when_a_segment_lost_acknowledged_bytes_then_window_is_damaged_and_goes_on(
    crashed: tuple[Path, list[int]], clock: ManualClock, left: int | None
) -> None:
    folder, _ = crashed
    segment = folder / "segments" / SEGMENT
    if left is None:
        segment.unlink()
    else:
        with segment.open("r+b") as file:
            file.truncate(left)
    with open_buffer(folder, clock) as buffer:
        assert buffer.state().damaged_bytes > 0
        buffer.append(readings(T0 + 9 * SECOND, [0], [9]))
        buffer.commit()
    assert len(finish(folder, clock)) == 1
    assert not BufferReader(folder).read(T0).complete


def test_start_when_closed_window_got_data_before_the_crash_then_next_revision_closes(
    tmp_path: Path, clock: ManualClock
) -> None:
    buffer = open_buffer(tmp_path, clock)
    buffer.append(readings(T0, [0], [1]))
    clock.advance(66)
    buffer.tick()
    buffer.append(readings(T0 + SECOND, [0], [2]))
    buffer.commit()
    crash(buffer)
    with open_buffer(tmp_path, clock) as buffer:
        assert [w.revision for w in buffer.tick()] == []
        clock.advance(31)
        assert [(w.window_start, w.revision, w.rows) for w in buffer.tick()] == [(T0, 2, 2)]


@pytest.mark.parametrize("fault", ["gone", "garbage", "page"])
def test_start_when_index_is_lost_then_it_is_made_again_from_the_segments(
    crashed: tuple[Path, list[int]], clock: ManualClock, fault: str
) -> None:
    folder, _ = crashed
    index = folder / "index.sqlite"
    with open_buffer(folder, clock) as buffer:
        at = T0 + timedelta(minutes=30)
        buffer.append(readings([at] * 30, [2] * 30, [1] * 30, received=clock.now()))
        buffer.append(texts(T0, 3, "on"))
        buffer.append(reject(T0))
        buffer.commit()
    sequence = max(BufferReader(folder).state().bytes, 0)
    assert sequence
    if fault == "gone":
        index.unlink()
    elif fault == "garbage":
        index.write_bytes(b"not a database" * 1000)
    else:
        data = bytearray(index.read_bytes())
        data[4096:8192] = b"\xa5" * 4096
        index.write_bytes(bytes(data))
    with open_buffer(folder, clock) as buffer:
        assert sum(file.rows for file in buffer._parts.held.files.values()) == 30
        counts = buffer.counts()["alpha"]
        assert (counts.sent, counts.buffered, counts.rejected) == (8, 9, 1)
        buffer.append(readings(T0 + 3 * SECOND, [0], [9], only_if_newer=True))
        buffer.commit()
        assert buffer.counts()["alpha"].not_newer == 1
    assert len(finish(folder, clock)) == 8
    contents = BufferReader(folder).read(T0)
    assert contents.complete
    assert contents.texts.num_rows == contents.rejects.num_rows == 1
    assert len(list(folder.glob("index.sqlite.damaged-*"))) == (0 if fault == "gone" else 1)


@pytest.mark.parametrize("heard", ["before it closes", "after it has closed", "in the run after that"])
def test_ledger_when_the_index_was_lost_then_late_readings_behind_the_stored_revision_are_asked_for_once(
    tmp_path: Path, clock: ManualClock, heard: str
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        buffer.stored_revisions({T0: 1})
        buffer.append(readings(T0 + SECOND, [0], [2], acknowledge=lambda: None))
        assert len(buffer.commit().acknowledgements) == 1
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 1000)
    buffer = open_buffer(tmp_path, clock)
    if heard != "before it closes":
        buffer.tick()
        (window,) = [w for w in buffer.held_windows() if w.window_start == T0]
        assert (window.revision, window.stored_revision) == (1, 0)
    if heard == "in the run after that":
        buffer.close()
        buffer = open_buffer(tmp_path, clock)
    with buffer:
        buffer.stored_revisions({T0: 1})
        buffer.tick()
        contents = BufferReader(tmp_path).read(T0)
        assert (contents.revision, contents.complete) == (2, False)
        assert len(values(contents)) == 2
        clock.advance(86_401)
        buffer.tick()
        buffer.stored_revisions({T0: 1})
        buffer.tick()
        assert (T0, 2) in [(w.window_start, w.revision) for w in buffer.held_windows()]
        buffer.stored_revisions({T0: 2})
        buffer.tick()
        assert T0 not in [w.window_start for w in buffer.held_windows()]


def test_ledger_when_the_index_was_lost_and_nothing_was_stored_then_windows_stay_complete(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
    (tmp_path / "index.sqlite").unlink()
    with open_buffer(tmp_path, clock) as buffer:
        buffer.stored_revisions({})
        clock.advance(66)
        buffer.tick()
        buffer.stored_revisions({T0: 1})
        contents = BufferReader(tmp_path).read(T0)
        assert (contents.revision, contents.complete) == (1, True)


def test_start_when_drop_was_cut_off_then_left_over_files_are_removed_and_strangers_left_alone(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        kept = (tmp_path / "segments" / SEGMENT).read_bytes()
        buffer.stored_revisions({T0: 1})
        clock.advance(86_401)
        buffer.tick()
    (tmp_path / "segments" / SEGMENT).write_bytes(kept)
    (tmp_path / "segments" / "readme.txt").write_text("mine")
    (tmp_path / "held" / "7.held").write_bytes(b"moved")
    with open_buffer(tmp_path, clock):
        assert not (tmp_path / "segments" / SEGMENT).exists()
        assert not (tmp_path / "held" / "7.held").exists()
        assert (tmp_path / "segments" / "readme.txt").exists()


@pytest.mark.parametrize("windows_done", [0, 1, 2])
def test_start_when_release_of_held_readings_was_cut_off_then_it_is_finished_once(
    tmp_path: Path, clock: ManualClock, windows_done: int
) -> None:
    ahead = timedelta(minutes=30)
    first, second = T0 + ahead + 59 * SECOND, T0 + ahead + 61 * SECOND
    buffer = open_buffer(tmp_path, clock)
    buffer.append(readings([first, second], [0, 1], [1, 2], received=T0))
    buffer.commit()
    buffer.tick()
    clock.step_wall(ahead.total_seconds())
    clock.advance(62)
    ((file, verdict),) = buffer._parts.held.due()
    assert verdict == "release"
    buffer._parts.held.decide(file, verdict)
    if windows_done:
        done = frozenset() if windows_done == 2 else frozenset({int((second - MINUTE).timestamp() * 1e6)})
        skip = frozenset({int((T0 + ahead + MINUTE).timestamp() * 1e6)}) if windows_done == 1 else frozenset()
        buffer._committer.move(file, done | skip)
    crash(buffer)
    with open_buffer(tmp_path, clock) as buffer:
        assert buffer.counts()["alpha"].buffered == 2
        clock.advance(190)
        buffer.tick()
    reader = BufferReader(tmp_path)
    one, two = reader.read(T0 + ahead), reader.read(T0 + ahead + MINUTE)
    assert values(one) == {("a0", first): 1}
    assert values(two) == {("a1", second): 2}
    assert one.deduplicated == two.deduplicated == {}


@pytest.mark.parametrize("ending", ["crash", "window closes", "run ends"])
def test_segment_when_it_grows_then_zeros_ahead_of_it_are_never_read_and_go_in_the_end(
    tmp_path: Path, clock: ManualClock, ending: str
) -> None:
    segment = tmp_path / "segments" / SEGMENT
    buffer = open_buffer(tmp_path, clock)
    for n in range(3):
        times = [T0 + n * SECOND + timedelta(microseconds=m) for m in range(4000)]
        buffer.append(readings(times, [0] * 4000, range(4000)))
        buffer.commit()
    clock.advance(5)
    buffer.tick()
    size = buffer.state().bytes
    assert segment.stat().st_size > size
    if ending == "crash":
        crash(buffer)
        buffer = open_buffer(tmp_path, clock)
    elif ending == "run ends":
        buffer.close()
        buffer = open_buffer(tmp_path, clock)
    else:
        clock.advance(66)
        buffer.tick()
    assert segment.stat().st_size == size == buffer.state().bytes
    clock.advance(66)
    buffer.tick()
    buffer.close()
    assert BufferReader(tmp_path).read(T0).readings.num_rows == 12_000
