from __future__ import annotations

import numpy as np

from sensors.collector.anomalies.rows import LatestRows

STEP = 10


def rows(now: int = 1000) -> LatestRows:
    return LatestRows(2, step_us=STEP, most=5, now_us=now)


def add(table: LatestRows, *readings: tuple[int, int, float]) -> int:
    time, place, value = zip(*readings, strict=True)
    return table.add(np.array(time), np.array(place), np.array(value, dtype=np.float64))


def test_rows_when_readings_arrive_in_parts_then_the_mean_of_all() -> None:
    table = rows()
    assert add(table, (1000, 0, 1.0), (1009, 0, 2.0), (1001, 1, 7.0)) == 0
    assert add(table, (1005, 0, 6.0)) == 0
    assert table.means(100, 101).tolist() == [[3.0, 7.0]]


def test_rows_when_a_reading_is_late_then_its_own_row() -> None:
    table = rows()
    table.move_to(1030)
    add(table, (1031, 0, 1.0), (1000, 0, 5.0))
    np.testing.assert_array_equal(table.means(100, 104)[:, 0], [5.0, np.nan, np.nan, 1.0])


def test_rows_when_readings_are_too_old_or_ahead_then_left_out_and_counted() -> None:
    table = rows()
    assert add(table, (900, 0, 1.0), (1010, 0, 1.0), (1003, 0, 4.0)) == 2
    assert table.means(100, 101)[0, 0] == 4.0


def test_rows_when_time_passes_then_the_oldest_go() -> None:
    table = rows()
    add(table, (1000, 0, 1.0))
    table.move_to(1040)
    assert table.means(100, 101)[0, 0] == 1.0
    table.move_to(1050)
    assert np.isnan(table.means(100, 101)).all()
    table.move_to(9000)
    assert np.isnan(table.means(890, 902)).all()


def test_rows_when_time_steps_back_then_nothing_moves() -> None:
    table = rows()
    add(table, (1000, 0, 1.0))
    table.move_to(500)
    assert table.means(100, 101)[0, 0] == 1.0
