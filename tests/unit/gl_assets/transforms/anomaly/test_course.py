"""Wandering sensors against their own course: sudden moves, new levels, missing values."""

from __future__ import annotations

import numpy as np

from gl_assets.transforms.anomaly.course import Course, Position, follow, learn_course
from gl_assets.transforms.anomaly.features import Floats


def wander(rows: int, seed: int = 1) -> Floats:
    """Return one sensor that goes slowly up and down, by a hundred times its noise."""
    noise = np.random.default_rng(seed).normal(size=(rows, 1))
    return 100 * np.sin(np.arange(rows)[:, None] / 300) + noise


COURSE = learn_course(wander(2_000), np.array([0]), memory_rows=50, confidence=0.99)


def stands(rows: Floats, course: Course = COURSE) -> list[int]:
    found = follow(course, rows, Position.unknown(course))
    return np.flatnonzero(found.stands).tolist()


def test_follow_when_a_sensor_goes_on_as_it_did_then_nothing_stands():
    assert stands(wander(3_000, seed=9)) == []


def test_follow_when_it_jumps_then_an_anomaly_stands_at_once_and_ends_on_its_new_course():
    rows = wander(3_000, seed=9)
    rows[1_000:] += 150.0
    found = stands(rows)
    assert found[0] == 1_000
    assert set(range(1_000, 1_100)) <= set(found)
    assert found[-1] == 1_199


def test_follow_when_it_comes_back_then_the_anomaly_ends_with_it():
    rows = wander(1_500, seed=9)
    rows[1_000:1_100] += 150.0
    found = stands(rows)
    assert found[0] == 1_000
    assert found[-1] < 1_400


def test_follow_when_values_are_missing_then_nothing_is_said_of_these_rows():
    rows = wander(1_500, seed=9)
    rows[500:600] = np.nan
    found = follow(COURSE, rows, Position.unknown(COURSE))
    assert np.isnan(found.statistic[500:600]).all()
    assert not found.stands.any()


def test_follow_when_it_has_just_begun_then_nothing_is_said():
    found = follow(COURSE, wander(60), Position.unknown(COURSE))
    assert np.isnan(found.statistic[:50]).all()
    assert np.isfinite(found.statistic[50:]).all()


def test_learn_when_no_sensor_wanders_then_there_is_nothing_to_follow():
    course = learn_course(np.empty((300, 0)), np.array([], dtype=np.intp), memory_rows=50, confidence=0.99)
    assert stands(np.empty((10, 0)), course) == []
