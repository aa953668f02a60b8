from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from resources.core.clock import ManualClock
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reader import BufferReader
from tests.unit.resources.window_buffer.plant import MINUTE, SECOND, T0, open_buffer, readings, reasons, texts, values

AHEAD = timedelta(minutes=30)


def all_contents(folder: Path) -> list[WindowContents]:
    reader = BufferReader(folder)
    return [reader.read(window.window_start) for window in reader.windows()]


def good_readings(buffer: WindowBuffer, clock: ManualClock, number: int = 30) -> None:
    now = clock.now()
    buffer.append(readings([now + timedelta(milliseconds=n) for n in range(number)], [0] * number, range(number)))


def test_future_reading_when_most_are_right_then_it_alone_is_rejected(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        good_readings(buffer, clock)
        buffer.append(readings([T0 + timedelta(minutes=5)], [1], [1], received=T0))
        buffer.append(readings([T0 + timedelta(minutes=5, microseconds=1)], [2], [2], received=T0))
        buffer.commit()
        assert buffer.state().clock_alarms == ()
        clock.advance(400)
        buffer.tick()
    first, *others = all_contents(tmp_path)
    assert reasons(first) == ["source time is more than 5 min ahead of the collector's clock"]
    assert first.rejects["sensor_id"].to_pylist() == ["a2"]
    assert sum(one.readings.num_rows for one in others) == 1, "exactly 5 min ahead is believed"


def test_clock_skew_when_more_than_half_are_ahead_then_alarm_and_they_are_held_for_an_hour_then_rejected(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        for n in range(3):
            at = clock.now() + AHEAD
            buffer.append(readings([at, at], [0, 1], [n, n], received=clock.now()))
            buffer.append(texts(at, 3, str(n), received=clock.now()))
            buffer.append(readings(clock.now(), [4], [n], source="beta"))
            buffer.commit()
            clock.advance(1)
        (alarm,) = buffer.state().clock_alarms
        assert (alarm.source, alarm.held_rows) == ("alpha", 9)
        assert buffer.counts()["alpha"].clock_skew == 9
        assert buffer.counts()["beta"].clock_skew == 0
        for _ in range(59):
            clock.advance(60)
            buffer.tick()
        assert BufferReader(tmp_path).state().clock_alarms[0].held_rows == 9
        assert buffer.counts()["alpha"].rejected == 0
        clock.advance(120)
        buffer.tick()
        assert buffer.counts()["alpha"].rejected == 9
        assert buffer.state().clock_alarms[0].held_rows == 0
        clock.advance(31)
        buffer.tick()
    first = BufferReader(tmp_path).read(T0)
    assert len(reasons(first)) == 9
    assert set(reasons(first)) == {
        "source time was more than 5 min ahead, as most of the source's, for an hour (clock skew)"
    }
    assert set(values(first)) == {("b0", T0 + n * SECOND) for n in range(3)}
    assert list((tmp_path / "held").iterdir()) == []


def test_clock_skew_when_collectors_clock_is_set_right_then_held_readings_are_released(
    tmp_path: Path, clock: ManualClock
) -> None:
    at = T0 + AHEAD
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings([at, at], [0, 1], [1, 2], received=T0))
        buffer.append(texts(at, 3, "on"))
        buffer.commit()
        assert len(buffer.state().clock_alarms) == 1
        clock.step_wall(AHEAD.total_seconds())
        buffer.tick()
        good_readings(buffer, clock)
        buffer.commit()
        state = buffer.state()
        assert state.clock_alarms == ()
        assert (state.clock_steps, state.last_clock_step_s) == (1, AHEAD.total_seconds())
        clock.advance(66)
        buffer.tick()
        gap = buffer.gaps()[0]
        assert (gap.since, gap.until, gap.reason) == (T0, at, "the collector's clock jumped ahead by 1800 s")
    contents = BufferReader(tmp_path).read(at)
    assert values(contents)[("a1", at)] == 2
    assert contents.texts["value"].to_pylist() == ["on"]
    assert list((tmp_path / "held").iterdir()) == []


def test_clock_skew_when_released_readings_include_an_outlier_then_it_is_rejected(
    tmp_path: Path, clock: ManualClock
) -> None:
    at = T0 + AHEAD
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings([at, at, at + timedelta(days=9)], [0, 1, 2], [1, 2, 3], received=T0))
        buffer.commit()
        clock.step_wall(AHEAD.total_seconds())
        buffer.tick()
        clock.advance(66)
        buffer.tick()
    assert len(values(BufferReader(tmp_path).read(at))) == 2
    assert reasons(BufferReader(tmp_path).read(T0)) == ["source time is more than 5 min ahead of the collector's clock"]


def test_clock_skew_when_collector_restarts_then_held_readings_are_still_held(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0 + AHEAD, [0], [1], received=T0))
        buffer.commit()
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(1800)
        buffer.tick()
        assert buffer.counts()["alpha"].rejected == 0
        clock.advance(1900)
        buffer.tick()
        assert buffer.counts()["alpha"].rejected == 1


def test_wall_clock_when_set_back_then_open_window_closes_by_monotonic_time_and_revisions_only_rise(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        buffer.commit()
        clock.step_wall(-3600)
        clock.advance(66)
        closed = [(w.window_start, w.revision) for w in buffer.tick()]
        assert (T0, 1) in closed
        assert buffer.state().clock_steps == 1
        assert buffer.state().last_clock_step_s == -3600
        seen = set(closed)
        for n in range(70):
            clock.advance(60)
            buffer.append(readings(clock.now(), [0], [n]))
            for window in buffer.tick():
                assert (window.window_start, window.revision) not in seen
                seen.add((window.window_start, window.revision))
        clock.advance(400)
        buffer.tick()
    contents = BufferReader(tmp_path).read(T0)
    assert values(contents)[("a0", T0)] == 1, "nothing overwritten"
    assert contents.revision > 1


def test_open_when_wall_clock_is_before_the_last_heartbeat_then_alarm_and_no_gap(
    tmp_path: Path, clock: ManualClock
) -> None:
    open_buffer(tmp_path, clock).close()
    clock.step_wall(-600)
    with open_buffer(tmp_path, clock) as buffer:
        assert buffer.state().clock_steps == 1
        assert buffer.gaps() == []
        clock.advance(66)
        assert T0 - 10 * MINUTE in [w.window_start for w in buffer.tick()]


def test_slow_source_when_one_of_many_seldom_readings_is_ahead_then_no_alarm(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        for _ in range(25):
            buffer.append(readings(clock.now(), [0], [1]))
            buffer.commit()
            clock.advance(60)
        buffer.append(readings(clock.now() + AHEAD, [0], [1], received=clock.now()))
        buffer.commit()
        assert buffer.state().clock_alarms == ()
        assert buffer.counts()["alpha"].rejected == 1
