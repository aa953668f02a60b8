from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.transforms.score_forecast import Forecast, forecast, season, trend

MONDAY = date(2026, 11, 2).toordinal()
WEEK = np.array([0.0, 0.0, 0.0, 0.0, 0.0, -20.0, -10.0])
"""A source that is worse at the weekend."""


def made(scores: npt.ArrayLike) -> Forecast:
    values = np.asarray(scores, dtype=np.float64)
    return forecast(MONDAY + np.arange(len(values)), values)


def test_forecast_when_one_day_is_known_then_the_same_again_and_no_interval() -> None:
    found = made([88.0])
    assert (found.day, found.score, found.lower, found.upper) == (MONDAY + 1, 88.0, 0.0, 100.0)
    assert (found.model, found.days, found.tested, found.error, found.naive_error) == ("last", 1, 0, None, None)


def test_forecast_when_every_day_was_the_same_then_the_simplest_model_and_no_error() -> None:
    found = made([97.0] * 30)
    assert (found.model, found.score, found.lower, found.upper) == ("last", 97.0, 97.0, 97.0)
    assert (found.error, found.naive_error) == (0.0, 0.0)


def test_forecast_when_the_score_falls_day_by_day_then_the_trend_is_better_than_the_naive_one() -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, 25)
    found = made(100.0 - 1.5 * np.arange(25) + noise - 1)
    assert found.model == "trend"
    assert found.score == pytest.approx(100.0 - 1.5 * 25 - 1, abs=0.5)
    assert found.error is not None
    assert found.naive_error is not None
    assert found.error < 0.5 * found.naive_error
    assert found.lower < found.score < found.upper


def test_forecast_when_weekends_are_worse_then_the_season_is_taken() -> None:
    noise = np.random.default_rng(2).normal(0, 0.5, 54)
    found = made(95.0 + np.resize(WEEK, 54) + noise)
    assert found.model == "season"
    # 54 days from a Monday: the next one is a Saturday
    assert found.score == pytest.approx(75.0, abs=5.0)
    assert found.error is not None
    assert found.naive_error is not None
    assert found.error < 0.5 * found.naive_error


def test_forecast_when_days_are_missing_then_the_day_after_the_last_one() -> None:
    days = MONDAY + np.array([0, 1, 5, 6, 9])
    found = forecast(days, np.array([90.0, 91.0, 95.0, 96.0, 99.0]))
    assert found.day == MONDAY + 10
    assert found.days == 5


def test_trend_when_one_day_was_bad_then_it_hardly_matters() -> None:
    scores = np.full(20, 96.0)
    scores[12] = 5.0
    assert trend(MONDAY + np.arange(20), scores, MONDAY + 20) == pytest.approx(96.0)


def test_season_when_an_effect_was_seen_twice_then_two_thirds_of_it() -> None:
    scores = np.full(14, 96.0)
    scores[[5, 12]] = 66.0
    assert season(MONDAY + np.arange(14), scores, MONDAY + 19) == pytest.approx(96.0 - 20.0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_forecast_when_made_of_any_scores_then_within_its_interval_and_0_to_100(scores: list[float]) -> None:
    found = made(scores)
    assert 0.0 <= found.lower <= found.score <= found.upper <= 100.0


def test_interval_when_days_scatter_then_about_nine_in_ten_fall_into_it() -> None:
    chance, inside = np.random.default_rng(3), 0
    for _ in range(100):
        scores = np.clip(90.0 + chance.normal(0, 2.0, 31), 0, 100)
        found = made(scores[:-1])
        inside += found.lower <= scores[-1] <= found.upper
    assert 85 <= inside <= 99
