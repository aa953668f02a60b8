from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import TEXTS_SCHEMA, TIMESTAMP, ReadingBatch, readings_batch
from resources.core.tags import Sensor
from sensors.collector.live_view import LatestRows, LiveView

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_US = to_micros(NOW)
S = 1_000_000


@pytest.fixture
def view() -> LiveView:
    return LiveView([Sensor(f"s{n}", "bar", "a") for n in range(4)], clock=ManualClock(NOW))


def offer(view: LiveView, *rows: tuple[int, int, float]) -> None:
    times, keys, values = zip(*rows, strict=True)
    view.offer(ReadingBatch("a", readings=readings_batch([NOW_US + t for t in times], keys, values, 1, NOW_US)))


def shown(rows: LatestRows) -> dict[int, tuple[int, float]]:
    return {
        int(k): (int(t) - NOW_US, float(v))
        for k, t, v in zip(rows.sensor_keys, rows.times_us, rows.values, strict=True)
    }


def test_view_when_a_batch_is_out_of_order_then_the_newest_stands(view: LiveView) -> None:
    offer(view, (-1 * S, 0, 1.0), (-3 * S, 0, 3.0), (-2 * S, 0, 2.0), (-9 * S, 2, 9.0))
    assert shown(view.take_changed()) == {0: (-1 * S, 1.0), 2: (-9 * S, 9.0)}


def test_view_when_times_are_equal_then_the_later_arrival_stands(view: LiveView) -> None:
    offer(view, (0, 1, 1.0), (0, 1, 2.0))
    assert shown(view.take_changed()) == {1: (0, 2.0)}
    offer(view, (0, 1, 3.0))
    assert shown(view.take_changed()) == {1: (0, 3.0)}


def test_view_when_a_late_reading_comes_then_unchanged(view: LiveView) -> None:
    offer(view, (0, 1, 1.0))
    view.take_changed()
    offer(view, (-1, 1, 2.0))
    assert shown(view.take_changed()) == {}


def test_view_when_a_reading_lies_in_the_future_then_not_shown(view: LiveView) -> None:
    offer(view, (301 * S, 1, 1.0), (299 * S, 2, 2.0))
    assert shown(view.take_changed()) == {2: (299 * S, 2.0)}


def test_view_when_put_back_then_given_again_with_what_is_known_by_then(view: LiveView) -> None:
    offer(view, (0, 1, 1.0), (0, 2, 1.0))
    rows = view.take_changed()
    assert shown(view.take_changed()) == {}
    offer(view, (1, 1, 2.0))
    view.put_back(rows)
    assert shown(view.take_changed()) == {1: (1, 2.0), 2: (0, 1.0)}


def test_view_when_there_is_no_value_then_nan_with_its_status(view: LiveView) -> None:
    batch = readings_batch([NOW_US], [3], [0.0], 2, NOW_US, missing=np.array([True]))
    view.offer(ReadingBatch("a", readings=batch, only_if_newer=True))
    rows = view.take_changed()
    assert np.isnan(rows.values[0])
    assert rows.statuses.tolist() == [2]
    assert rows.texts == [None]


def test_view_when_it_is_a_text_then_kept_as_text(view: LiveView) -> None:
    columns = [[NOW_US] * 2, [0, 1], ["open", None], [0, 2], [NOW_US] * 2]
    texts = pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, TEXTS_SCHEMA, strict=True)], schema=TEXTS_SCHEMA
    )
    assert texts.schema.field("time").type == TIMESTAMP
    view.offer(ReadingBatch("a", texts=texts))
    assert view.take_changed().texts == ["open", None]


def test_view_when_a_batch_holds_nothing_to_show_then_unchanged(view: LiveView) -> None:
    view.offer(ReadingBatch("a", readings=readings_batch([], [], [], [], [])))
    view.offer(ReadingBatch("a"))
    assert len(view) == 4
    assert shown(view.take_changed()) == {}


def test_view_when_compared_with_a_plain_loop_then_equal() -> None:
    chance = np.random.default_rng(7)
    view = LiveView([Sensor(f"s{n}", "bar", "a") for n in range(50)], clock=ManualClock(NOW))
    expected: dict[int, tuple[int, float]] = {}
    for _ in range(40):
        count = int(chance.integers(1, 200))
        times, keys = chance.integers(-100, 1, count), chance.integers(0, 50, count)
        rows = list(zip(times.tolist(), keys.tolist(), chance.random(count).tolist(), strict=True))
        offer(view, *rows)
        for time, key, value in rows:
            if key not in expected or time >= expected[key][0]:
                expected[key] = (time, value)
    assert shown(view.take_changed()) == expected
