from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from resources.core.clock import ManualClock, to_micros
from resources.core.errors import ConfigError, DataError
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.model import BufferLockedError, WindowNotHeldError
from resources.window_buffer.reader import BufferReader
from tests.unit.resources.window_buffer.plant import (
    CATALOG,
    MINUTE,
    SECOND,
    T0,
    open_buffer,
    readings,
    reasons,
    reject,
    texts,
    values,
)


def test_commit_when_batches_came_then_returns_their_rows_and_acknowledgements_in_order(
    tmp_path: Path, clock: ManualClock
) -> None:
    done: list[int] = []
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0, 1], [1, 2], acknowledge=lambda: done.append(1)))
        buffer.append(readings(T0, [2], [3], acknowledge=lambda: done.append(2)))
        assert buffer.pending_rows == 3
        result = buffer.commit()
        assert (result.rows, buffer.pending_rows, done) == (3, 0, [])
        for acknowledge in result.acknowledgements:
            acknowledge()
        assert done == [1, 2]
        assert buffer.commit().acknowledgements == []


def test_tick_when_rows_wait_then_their_acknowledgements_come_out_of_the_next_commit(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1], acknowledge=lambda: None))
        buffer.tick()
        result = buffer.commit()
        assert (result.rows, len(result.acknowledgements)) == (1, 1)


def test_window_when_it_ended_and_grace_passed_then_closes_once_as_revision_1(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1.5]))
        buffer.commit()
        clock.advance(64.9)
        assert buffer.tick() == []
        clock.advance(0.2)
        (closed,) = buffer.tick()
        assert (closed.window_start, closed.revision, closed.rows, closed.partial) == (T0, 1, 1, False)
        assert buffer.tick() == []
        contents = BufferReader(tmp_path).read(T0)
        assert values(contents) == {("a0", T0): 1.5}
        assert (contents.collector, contents.revision, contents.complete) == ("collector", 1, True)
        assert (contents.window_start, contents.window_end) == (T0, T0 + MINUTE)
        assert contents.expected_sources == ("alpha", "beta")


def test_window_when_nothing_came_then_it_exists_closes_and_holds_no_rows(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(185)
        assert [(w.window_start, w.rows) for w in buffer.tick()] == [(T0, 0), (T0 + MINUTE, 0), (T0 + 2 * MINUTE, 0)]
        contents = BufferReader(tmp_path).read(T0 + MINUTE)
        assert contents.readings.num_rows == contents.texts.num_rows == contents.rejects.num_rows == 0
        assert contents.sensors.num_rows == 0


def test_read_when_window_is_open_or_unknown_then_says_so(tmp_path: Path, clock: ManualClock) -> None:
    reader = BufferReader(tmp_path)
    with pytest.raises(WindowNotHeldError, match="never opened"):
        reader.read(T0)
    with open_buffer(tmp_path, clock), pytest.raises(WindowNotHeldError, match="still open") as caught:
        reader.read(T0)
    assert caught.value.window_start == T0


def test_late_reading_when_it_is_quiet_for_30_s_then_next_revision_closes(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        clock.advance(66)
        buffer.tick()
        buffer.append(readings(T0 + SECOND, [0], [2]))
        buffer.commit()
        assert len(values(BufferReader(tmp_path).read(T0))) == 1, "revision 1 stays what it was"
        clock.advance(29)
        assert buffer.tick() == []
        clock.advance(1.1)
        (closed,) = buffer.tick()
        assert (closed.window_start, closed.revision, closed.rows) == (T0, 2, 2)
        contents = BufferReader(tmp_path).read(T0)
        assert values(contents) == {("a0", T0): 1, ("a0", T0 + SECOND): 2}
        assert contents.complete


def test_late_readings_when_they_keep_coming_then_revision_closes_after_5_min(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(66)
        buffer.tick()
        revisions = []
        for n in range(32):
            buffer.append(readings(T0 + n * SECOND, [0], [n]))
            buffer.commit()
            clock.advance(10)
            revisions += [(n, w.revision) for w in buffer.tick() if w.window_start == T0]
        assert revisions == [(29, 2)]


def test_late_reading_when_no_collector_ran_in_its_window_then_window_opens_and_expects_no_source(
    tmp_path: Path, clock: ManualClock
) -> None:
    old = T0 - timedelta(days=3)
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(old, [0], [1]))
        buffer.commit()
        clock.advance(31)
        (closed,) = buffer.tick()
        assert (closed.window_start, closed.revision) == (old, 1)
        contents = BufferReader(tmp_path).read(old)
        assert (contents.complete, contents.expected_sources) == (True, ())


def test_commit_when_a_batch_spans_windows_then_each_reading_is_in_its_own(tmp_path: Path, clock: ManualClock) -> None:
    times = [T0 + n * 20 * SECOND for n in range(8)]
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(180)
        buffer.append(readings(times, [0] * 8, range(8)))
        buffer.commit()
        clock.advance(180)
        buffer.tick()
        reader = BufferReader(tmp_path)
        found = [values(reader.read(T0 + n * MINUTE)) for n in range(3)]
        assert [len(one) for one in found] == [3, 3, 2]
        assert {k: v for one in found for k, v in one.items()} == {("a0", t): n for n, t in enumerate(times)}


def test_read_when_values_are_null_or_nan_then_both_come_back_as_they_were(tmp_path: Path, clock: ManualClock) -> None:
    batch = readings_batch(
        [to_micros(T0)] * 3, [0, 1, 2], [1.0, np.nan, 0.0], [0, 1, 2], to_micros(T0), missing=np.array([0, 0, 1], bool)
    )
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(ReadingBatch("alpha", readings=batch))
        clock.advance(66)
        buffer.tick()
        table = BufferReader(tmp_path).read(T0).readings
        found = table["value"].to_pylist()
        assert found[0] == 1.0
        assert np.isnan(found[1])
        assert found[2] is None
        assert table["status"].to_pylist() == [0, 1, 2]


def test_read_when_texts_and_rejects_came_then_they_ride_along(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(texts(T0, 3, "running"))
        buffer.append(texts(T0 + SECOND, 3, None))
        buffer.append(reject(T0 + 2 * SECOND))
        buffer.append(reject(T0 + 90 * SECOND, time=T0 + 3 * SECOND))
        clock.advance(70)
        buffer.tick()
        contents = BufferReader(tmp_path).read(T0)
        assert contents.texts["value"].to_pylist() == ["running", None]
        assert reasons(contents) == ["not a number", "not a number"]
        assert contents.rejects["raw"].to_pylist()[0] == '{"odd": 1}'


def test_sequences_when_buffer_is_reopened_then_are_unique_and_ascend(tmp_path: Path, clock: ManualClock) -> None:
    for n in range(3):
        with open_buffer(tmp_path, clock) as buffer:
            buffer.append(readings([T0 + n * SECOND] * 2, [0, 1], [n, n]))
            buffer.append(reject(T0 + n * SECOND))
            buffer.commit()
            clock.advance(1)
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(66)
        buffer.tick()
    contents = BufferReader(tmp_path).read(T0)
    by_time = contents.readings.sort_by("time")["sequence"].to_pylist()
    assert by_time == sorted(by_time)
    assert len({*by_time, *contents.rejects["sequence"].to_pylist()}) == 9


def test_duplicates_when_read_then_last_value_stands_and_the_rest_is_counted_or_rejected(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        for value in (1, 2, 2, 3, 3):
            buffer.append(readings(T0, [0], [value]))
        buffer.append(readings(T0, [4], [7], source="beta"))
        buffer.append(readings(T0, [4], [7], source="beta"))
        buffer.append(texts(T0, 3, "on"))
        buffer.append(texts(T0, 3, "off"))
        buffer.append(texts(T0, 3, "off"))
        clock.advance(66)
        buffer.tick()
        contents = BufferReader(tmp_path).read(T0)
        assert values(contents) == {("a0", T0): 3, ("b0", T0): 7}
        assert contents.texts["value"].to_pylist() == ["off"]
        assert contents.deduplicated == {"alpha": 3, "beta": 1}
        assert reasons(contents) == ["another value for the same sensor and time arrived later"] * 3
        raw = contents.rejects["raw"].to_pylist()
        assert raw[0] == '{"value": 1, "status": "good", "unit": "Cel"}'
        assert raw[2] == '{"value": "on", "status": "good", "unit": "Cel"}'


def test_only_if_newer_when_sensor_has_a_reading_then_only_later_times_become_readings(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0 + 5 * SECOND, [0], [1]))
        buffer.append(
            readings([T0 + 4 * SECOND, T0 + 5 * SECOND, T0 + SECOND], [0, 0, 1], [8, 9, 2], only_if_newer=True)
        )
        buffer.append(readings([T0 + SECOND], [1], [2], only_if_newer=True))
        buffer.append(texts(T0, 3, "x", only_if_newer=True))
        buffer.commit()
        clock.advance(1)
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0 + 5 * SECOND, [0], [7], only_if_newer=True))
        buffer.append(texts(T0, 3, "y", only_if_newer=True))
        clock.advance(66)
        buffer.tick()
        assert buffer.counts()["alpha"].not_newer == 5
    contents = BufferReader(tmp_path).read(T0)
    assert values(contents) == {("a0", T0 + 5 * SECOND): 1, ("a1", T0 + SECOND): 2}
    assert contents.texts["value"].to_pylist() == ["x"]


def test_only_if_newer_when_unit_was_corrected_then_last_known_time_is_still_the_sensors(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0], [1]))
        buffer.commit()
        clock.advance(1)
    other = SensorCatalog([Sensor("b0", "bar", "beta"), Sensor("a0", "K", "alpha")])
    with open_buffer(tmp_path, clock, catalog=other) as buffer:
        buffer.append(readings(T0, [1], [1], only_if_newer=True))
        buffer.append(readings(T0, [1], [274.15]))
        buffer.append(readings(T0 + SECOND, [1], [275.15]))
        clock.advance(66)
        buffer.tick()
        assert buffer.counts()["alpha"].not_newer == 1
    contents = BufferReader(tmp_path).read(T0)
    assert values(contents) == {("a0", T0): 274.15, ("a0", T0 + SECOND): 275.15}
    assert set(contents.sensors["unit"].to_pylist()) == {"Cel", "K"}
    assert contents.rejects.num_rows == 1


def test_counts_when_buffer_is_reopened_then_go_on(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.add_counts("alpha", sent=10, odd=1)
        assert buffer.counts()["alpha"].sent == 10
        buffer.append(readings(T0, [0, 1], [1, 2]))
        buffer.append(reject(T0))
        buffer.commit()
        buffer.add_counts("alpha", sent=5)
        buffer.commit()
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0, 1], [1, 2]))
        buffer.commit()
        buffer.tick()
        found = buffer.counts()["alpha"]
    assert (found.sent, found.received, found.buffered, found.rejected, found.other) == (15, 5, 4, 1, {"odd": 1})
    assert BufferReader(tmp_path).counts()["alpha"] == found


def test_close_all_when_run_is_ended_then_young_windows_close_and_ends_are_partial(
    tmp_path: Path, clock: ManualClock
) -> None:
    clock.advance(20)
    with open_buffer(tmp_path, clock) as buffer:
        for n in range(3):
            buffer.append(readings(T0 + timedelta(seconds=60 * n + 30), [0], [n]))
            clock.advance(60)
            buffer.tick()
        buffer.append(readings(T0 + timedelta(seconds=195), [0], [3]))
        closed = buffer.close_all()
        assert [(w.window_start, w.rows, w.partial) for w in closed] == [(T0 + 3 * MINUTE, 1, True)]
        found = BufferReader(tmp_path).windows()
        assert [(w.window_start, w.partial, w.revision) for w in found] == [
            (T0, True, 1),
            (T0 + MINUTE, False, 1),
            (T0 + 2 * MINUTE, False, 1),
            (T0 + 3 * MINUTE, True, 1),
        ]


def test_close_when_run_ends_within_a_window_then_that_window_is_partial_in_the_next_run(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock):
        clock.advance(10)
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(60)
        (closed,) = buffer.tick()
        assert closed.partial


def test_gaps_when_readings_were_on_their_way_then_the_gap_begins_with_the_newest_instant_that_came(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(30)
        # of this instant other sensors of the source may have had readings that never came
        buffer.append(readings(T0 + 28 * SECOND, [0], [1]))
        buffer.tick()
    clock.advance(600)
    with open_buffer(tmp_path, clock) as buffer:
        assert [(gap.since, gap.until) for gap in buffer.gaps() if gap.source == "alpha"] == [
            (T0 + 28 * SECOND, T0 + 630 * SECOND)
        ]


def test_gaps_when_collector_was_away_then_each_source_has_one_to_the_second(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        clock.advance(30)
        buffer.tick()
        buffer.open_gap("beta", T0 + 10 * SECOND, "connection lost")
        buffer.open_gap("beta", T0 + 20 * SECOND, "again")
    clock.advance(600)
    with open_buffer(tmp_path, clock) as buffer:
        alpha, beta = sorted(buffer.gaps(), key=lambda gap: gap.source)
        assert (alpha.since, alpha.until) == (T0 + 30 * SECOND, T0 + 630 * SECOND)
        assert alpha.reason == "no collector ran"
        assert (beta.since, beta.until, beta.reason) == (T0 + 10 * SECOND, None, "connection lost")
        buffer.close_gap("beta", T0 + 640 * SECOND)
        buffer.open_gap("beta", T0 + 650 * SECOND, "lost")
        buffer.close_gap("beta", T0 + 650 * SECOND)
        assert [gap.until for gap in BufferReader(tmp_path).gaps() if gap.source == "beta"] == [T0 + 640 * SECOND]
        clock.advance(5)
        assert [w.window_start for w in buffer.tick()] == [T0], "no window where nobody ran"


def test_append_when_schema_is_not_the_contracts_then_batch_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        with pytest.raises(DataError, match="source alpha has columns"):
            buffer.append(ReadingBatch("alpha", readings=pa.record_batch({"time": [1]})))
        assert buffer.pending_rows == 0


def test_append_when_sensor_number_is_unknown_then_reading_is_rejected_and_the_rest_kept(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [0, 99, -1], [1, 2, 3]))
        clock.advance(66)
        buffer.tick()
        contents = BufferReader(tmp_path).read(T0)
        assert len(values(contents)) == 1
        assert reasons(contents) == ["sensor number is not in the collector's catalog"] * 2
        assert set(contents.rejects["source"].to_pylist()) == {"alpha"}


def test_append_when_time_is_before_start_then_rejected_in_the_window_of_receipt(
    tmp_path: Path, clock: ManualClock
) -> None:
    with open_buffer(tmp_path, clock, start=T0) as buffer:
        buffer.append(readings([T0 - SECOND, T0], [0, 0], [1, 2], received=T0))
        clock.advance(66)
        buffer.tick()
        contents = BufferReader(tmp_path).read(T0)
        assert values(contents) == {("a0", T0): 2}
        assert reasons(contents) == ["source time is before the configured start"]
        assert contents.rejects["sensor_id"].to_pylist() == ["a0"]
        assert contents.rejects["time"].to_pylist()[0] == T0 - SECOND
        counts = buffer.counts()["alpha"]
        assert (counts.received, counts.buffered, counts.rejected) == (2, 1, 1)


def test_open_when_another_writer_has_the_folder_then_error_names_its_pid(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock), pytest.raises(BufferLockedError, match=f"process {os.getpid()}") as caught:
        open_buffer(tmp_path, clock)
    assert caught.value.pid == os.getpid()
    open_buffer(tmp_path, clock).close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"collector": "other"}, "collector.name is other"),
        ({"grid": WindowGrid(15 * MINUTE)}, "gl window migrate"),
    ],
    ids=["collector", "window"],
)
def test_open_when_folder_holds_other_windows_then_refuses(
    tmp_path: Path, clock: ManualClock, settings: dict[str, object], message: str
) -> None:
    open_buffer(tmp_path, clock).close()
    with pytest.raises(ConfigError, match=message):
        open_buffer(tmp_path, clock, **settings)
    open_buffer(tmp_path, clock).close()


def test_catalog_when_it_changes_between_runs_then_rows_keep_their_sensors(tmp_path: Path, clock: ManualClock) -> None:
    with open_buffer(tmp_path, clock) as buffer:
        buffer.append(readings(T0, [4], [1], source="beta"))
        buffer.commit()
        clock.advance(1)
    turned = SensorCatalog([Sensor("new", "K", "gamma"), *reversed(CATALOG.sensors)])
    with open_buffer(tmp_path, clock, catalog=turned, start=T0) as buffer:
        buffer.append(readings(T0, [1, 0, 5], [1, 2, 3], source="beta"))
        buffer.append(texts(T0, 2, "t"))
        clock.advance(66)
        buffer.tick()
    contents = BufferReader(tmp_path).read(T0)
    assert values(contents) == {("b0", T0): 1, ("new", T0): 2, ("a0", T0): 3}
    assert contents.expected_sources == ("alpha", "beta", "gamma")
    assert contents.deduplicated == {"beta": 1}
