"""Readings as rows of a grid: means, missing values, and how long a value is held."""

from __future__ import annotations

import numpy as np

from gl_assets.transforms.anomaly.rows import Grid, align, hold

NAN = np.nan


def test_grid_when_the_ends_lie_within_rows_then_it_covers_both():
    grid = Grid.covering(15, 31, 10)
    assert grid == Grid(10, 10, 3)
    assert grid.times_us().tolist() == [10, 20, 30]


def test_grid_when_the_span_is_empty_then_it_has_no_rows():
    assert Grid.covering(20, 20, 10).rows == 0


def test_align_when_a_row_has_several_readings_then_it_holds_their_mean():
    found = align(
        np.array([10, 19, 25, 9, 30, 12, 13]),
        np.array([0, 0, 1, 0, 0, -1, 1]),
        np.array([1.0, 3.0, 5.0, 99.0, 99.0, 99.0, NAN]),
        Grid(10, 10, 2),
        sensors=2,
    )
    np.testing.assert_array_equal(found, [[2.0, NAN], [NAN, 5.0]])


def test_align_when_there_are_no_readings_then_every_value_is_missing():
    assert np.isnan(
        align(np.array([], dtype=np.int64), np.array([], dtype=np.int32), np.array([]), Grid(0, 1, 2), sensors=1)
    ).all()


def test_hold_when_values_are_missing_then_the_last_stands_for_so_many_rows():
    values = np.array([[NAN, 1.0], [2.0, NAN], [NAN, NAN], [NAN, NAN], [3.0, NAN]])
    np.testing.assert_array_equal(hold(values, 2), [[NAN, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, NAN], [3.0, NAN]])
    np.testing.assert_array_equal(hold(values, 0), values)


def test_hold_when_there_are_no_rows_then_there_is_nothing_to_hold():
    assert hold(np.empty((0, 2)), 3).shape == (0, 2)
