"""The multivariate detector: training, scoring at once and row by row, explanation, JSON."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.model import Model, Stream
from gl_assets.transforms.anomaly.settings import DetectorSettings
from resources.core.errors import DataError
from tests.unit.gl_assets.transforms.anomaly.plants import NAMES, load_driven, steady


def test_score_when_rows_are_like_the_training_then_hardly_any_is_anomalous():
    model = Detector().fit(steady(seed=1), NAMES)
    scores = model.score(steady(rows=2_000, seed=9))
    assert scores.is_anomalous.mean() < 0.05
    assert np.nanmean(scores.statistic) == pytest.approx(1.0, abs=0.3)


def test_score_when_one_sensor_shifts_then_the_anomaly_stands_and_names_it():
    model, rows = Detector().fit(steady(), NAMES), steady(rows=300, seed=9)
    rows[100:200, 2] += 10.0
    scores = model.score(rows)
    assert scores.is_anomalous[110:200].all()
    assert not scores.is_anomalous[:95].any()
    assert not scores.is_anomalous[210:].all()
    assert (scores.contributions[115:200].argmax(axis=1) == 2).all()


def test_score_when_sensors_that_move_alike_part_then_it_is_an_anomaly_though_each_is_in_range():
    model, rows = Detector().fit(steady(), NAMES), steady(rows=200, seed=9)
    spread = steady().std(axis=0)
    rows[100:, 0] += 1.5 * spread[0]
    rows[100:, 1] -= 1.5 * spread[1]
    assert model.score(rows).is_anomalous[115:].all()


def test_fit_when_sensors_follow_a_load_then_they_are_judged_by_their_deviation_from_it():
    values = load_driven()
    model = Detector().fit(values[:800], NAMES)
    assert (model.wandering, model.left_out) == (["vibration"], {})
    rows = values[800:].copy()
    rows[100:, 1] += 3.0
    scores = model.score(rows)
    assert not scores.is_anomalous[:95].any()
    assert scores.is_anomalous[115:].all()


def test_fit_when_a_deviation_from_the_others_wanders_too_then_the_sensor_has_its_own_course():
    source = np.random.default_rng(3)
    load, own = (np.cumsum(source.normal(size=(1_000, 1)), axis=0) for _ in range(2))
    values = np.column_stack([load, load + 0.1 * own])
    assert Detector().fit(values, NAMES[:2]).wandering == list(NAMES[:2])


def test_score_when_a_wandering_sensor_leaves_its_course_then_it_is_an_anomaly_of_it():
    values = load_driven(rows=1_500)
    model = Detector().fit(values[:800], NAMES)
    rows = values[800:].copy()
    rows[300:, 3] += 80.0
    scores = model.score(rows)
    assert scores.is_anomalous[:295].mean() < 0.1
    assert scores.is_anomalous[305:350].all()
    assert (scores.contributions[305:350].argmax(axis=1) == 3).all()


def test_score_when_all_sensors_wander_then_they_are_judged_by_their_course():
    own = np.cumsum(np.random.default_rng(5).normal(size=(900, 2)), axis=0)
    model = Detector().fit(own[:500], NAMES[:2])
    rows = own[500:].copy()
    rows[300:, 1] -= 100.0
    rows[200:250, 0] = np.nan
    scores = model.score(rows)
    assert scores.is_anomalous[305:].any()
    assert not scores.is_anomalous[:295].any()
    assert Model.from_json(model.to_json()).score(rows).statistic[350] == scores.statistic[350]


def test_fit_when_a_sensor_never_changes_then_it_is_left_out():
    values = steady()
    values[:, 3] = 7.0
    assert Detector().fit(values, NAMES).left_out == {"vibration": "constant"}


def test_fit_when_nothing_can_be_judged_then_no_row_is_anomalous():
    model = Detector().fit(np.full((400, 1), 5.0), ["flow"])
    scores = model.score(np.array([[5.0], [99.0]]))
    assert np.isnan(scores.statistic).all()
    assert not scores.is_anomalous.any()
    assert scores.contributions.tolist() == [[0.0], [0.0]]


def test_fit_when_too_few_rows_are_complete_then_it_says_how_many_are_needed():
    values = steady()
    values[100:, 0] = np.nan
    with pytest.raises(DataError, match="needs 200 rows .* there are 100 of 600"):
        Detector().fit(values, NAMES)


def test_fit_when_two_sensors_are_copies_then_the_precision_stays_finite():
    values = steady()
    values[:, 1] = values[:, 0]
    assert np.isfinite(Detector().fit(values, NAMES).precision).all()


def test_fit_when_a_sensor_toggles_or_stands_still_for_long_then_limits_stay_finite():
    values = steady()
    values[:, 0] = np.arange(len(values)) % 2  # the mean of ten rows never changes
    values[100:, 1] = values[100, 1]
    values[:, 2] = np.minimum(np.arange(len(values)), 100)
    model = Detector().fit(values, NAMES)
    assert np.isfinite([model.limit, model.course.limit]).all()
    assert np.isfinite(model.score(values).statistic[200:]).all()


def test_score_when_most_sensors_are_missing_then_the_row_is_not_judged():
    model, rows = Detector().fit(steady(), NAMES), steady(rows=100, seed=9)
    rows[:, :3] = np.nan
    scores = model.score(rows)
    assert np.isnan(scores.statistic).all()
    assert not scores.is_anomalous.any()


def test_score_when_one_sensor_is_missing_then_the_others_are_still_judged():
    model, rows = Detector().fit(steady(), NAMES), steady(rows=100, seed=9)
    rows[:, 0] = np.nan
    rows[50:, 2] += 10.0
    scores = model.score(rows)
    assert scores.is_anomalous[60:].all()
    assert (scores.contributions[:, 0] == 0).all()


def test_score_when_there_are_no_rows_then_nothing_is_said():
    assert len(Detector().fit(steady(), NAMES).score(np.empty((0, 4))).statistic) == 0


def test_model_when_written_as_json_and_read_then_scores_are_the_same():
    model, rows = Detector().fit(load_driven(), NAMES), load_driven(seed=9)
    again = Model.from_json(model.to_json())
    assert (again.left_out, again.wandering) == (model.left_out, model.wandering)
    np.testing.assert_array_equal(again.score(rows).statistic, model.score(rows).statistic)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 0}'])
def test_model_when_the_text_is_none_then_it_says_to_train_again(text: str):
    with pytest.raises(DataError, match="gl anomalies train"):
        Model.from_json(text)


@pytest.mark.parametrize(
    "wrong",
    [{"smoothing_rows": 0}, {"blocks": 1}, {"folds": 1}, {"confidence": 1.0}, {"shrinkage": 1.0}, {"slow_share": 0.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_when_no_detector_can_be_made_of_them_then_they_are_refused(wrong: dict[str, float]):
    with pytest.raises(DataError, match="detector settings"):
        DetectorSettings(**wrong)


_MODEL = Detector().fit(steady(), NAMES)
_WANDERING = Detector().fit(load_driven(), NAMES)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=6), holes=st.integers(0, 200), seed=st.integers(0, 99))
def test_stream_when_rows_come_in_any_batches_then_the_scores_are_those_of_all_at_once(cuts, holes, seed):
    rows = steady(rows=300, seed=seed)
    rows[150:] += 3.0
    spots = np.random.default_rng(seed).integers(0, rows.size, holes)
    rows.flat[spots] = np.nan
    for model in (_MODEL, _WANDERING):
        stream, whole = Stream(model), model.score(rows)
        parts = [stream.push(part) for part in np.split(rows, sorted(cuts))]
        for name in ("statistic", "is_anomalous", "contributions"):
            found = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_allclose(found, getattr(whole, name), atol=1e-12)


def test_stream_when_a_copy_looks_ahead_then_the_stream_itself_stays_where_it_is():
    rows = load_driven(seed=9)
    stream = Stream(_WANDERING)
    stream.push(rows[:300])
    copy.copy(stream).push(rows[500:600] + 50.0)
    found = stream.push(rows[300:400])
    np.testing.assert_allclose(found.statistic, _WANDERING.score(rows[:400]).statistic[300:])


@settings(max_examples=30, deadline=None)
@given(shift=st.floats(-1e4, 1e4), factor=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_fit_when_a_sensor_is_in_another_unit_then_the_scores_are_the_same(shift: float, factor: float, seed: int):
    values, rows = steady(), steady(rows=50, seed=seed)
    other = Detector().fit(values * factor + shift, NAMES).score(rows * factor + shift)
    np.testing.assert_allclose(other.statistic, _MODEL.score(rows).statistic, rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), shift=st.floats(-50, 50))
def test_score_when_rows_deviate_then_contributions_are_shares(seed: int, shift: float):
    rows = steady(rows=50, seed=seed)
    rows[25:, 1] += shift
    scores = _MODEL.score(rows)
    assert (scores.contributions >= 0).all()
    np.testing.assert_allclose(scores.contributions.sum(axis=1), 1.0)
    assert (scores.statistic >= 0).all()
