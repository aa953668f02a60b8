"""From rows to anomalies that are told: stretches with explanation, outliers, changes of level."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.episodes import Anomaly, anomalies, judge_rows, stretches
from gl_assets.transforms.anomaly.trained import Trained
from resources.core.errors import DataError
from tests.unit.gl_assets.transforms.anomaly.plants import NAMES, Floats, steady

STEP_US = 1_000_000
TRAINED = Trained.fit(steady(), NAMES, detector=Detector(), step_us=STEP_US, hold_rows=5)


def found(rows: Floats, *, from_row: int = 105, trained: Trained = TRAINED) -> list[Anomaly]:
    times = STEP_US * np.arange(len(rows), dtype=np.int64)
    return anomalies(trained, judge_rows(trained, times, rows, from_us=from_row * STEP_US))


def of_kind(told: list[Anomaly], kind: str) -> list[Anomaly]:
    return [anomaly for anomaly in told if anomaly.kind == kind]


def test_anomalies_when_rows_are_normal_then_no_sensor_is_told_of():
    told = found(steady(rows=500, seed=9))
    assert of_kind(told, "outlier") == of_kind(told, "level_change") == []


def test_anomalies_when_a_sensor_shifts_then_one_stretch_names_it_first():
    rows = steady(rows=300, seed=9)
    rows[150:200, 2] += 10.0
    told = max(of_kind(found(rows), "multivariate"), key=lambda anomaly: anomaly.score)
    assert 150 <= told.time_us / STEP_US <= 155
    assert told.sensor_id == "current"
    assert told.details["rows"] >= 45
    assert next(iter(told.details["contributions"])) == "current"
    assert sum(told.details["contributions"].values()) == pytest.approx(1.0, abs=0.05)
    assert told.score > 1
    assert told.expected == pytest.approx(steady()[:, 2].mean())
    json.dumps(told.details, allow_nan=False)


def test_anomalies_when_one_value_jumps_then_it_is_an_outlier_with_what_was_expected():
    rows = steady(rows=200, seed=9)
    rows[150, 3] = 90.0
    (told,) = of_kind(found(rows), "outlier")
    assert (told.sensor_id, told.time_us, told.value) == ("vibration", 150 * STEP_US, 90.0)
    assert told.expected == pytest.approx(10.0, abs=3.0)
    assert told.until_us == 151 * STEP_US


def test_anomalies_when_a_level_changes_for_good_then_it_is_told_once_it_is_certain():
    rows = steady(rows=400, seed=9)
    rows[200:, 1] += 30.0
    (told,) = of_kind(found(rows), "level_change")
    assert told.sensor_id == "pressure"
    assert 200 < told.time_us / STEP_US < 230
    assert told.value - told.expected == pytest.approx(30.0, abs=6.0)


def test_anomalies_when_rows_are_scored_in_two_parts_then_each_change_is_told_in_one():
    rows = steady(rows=400, seed=9)
    rows[200:, 1] += 30.0
    whole = of_kind(found(rows), "level_change")
    parts = of_kind(found(rows[:220], from_row=105), "level_change") + of_kind(
        found(rows, from_row=220), "level_change"
    )
    assert parts == whole


def test_anomalies_when_a_stretch_goes_on_then_the_next_rows_begin_with_it():
    rows = steady(rows=400, seed=9)
    rows[150:, 2] += 10.0
    told = of_kind(found(rows, from_row=300), "multivariate")[0]
    assert told.time_us == 300 * STEP_US
    assert told.details["rows"] == 100


def test_anomalies_when_nothing_could_be_judged_then_a_standing_one_is_told_without_distance():
    rows = steady(rows=300, seed=9)
    rows[150:, 2] += 10.0
    rows[200:] = np.nan
    (told,) = of_kind(found(rows, from_row=250), "multivariate")
    assert (told.score, told.value) == (0.0, None)
    json.dumps(told.details, allow_nan=False)


def test_anomalies_when_a_sensor_never_changed_in_training_then_it_is_not_told_of():
    values = steady()
    values[:, 3] = 7.0
    trained = Trained.fit(values, NAMES, detector=Detector(), step_us=STEP_US, hold_rows=5)
    rows = steady(rows=200, seed=9)
    rows[:, 3] = 7.0
    rows[150:, 3] = 8.0
    assert [told for told in found(rows, trained=trained) if told.sensor_id == "vibration"] == []


def test_anomalies_when_values_are_missing_then_the_gap_is_no_outlier():
    rows = steady(rows=200, seed=9)
    rows[:20, 0] = np.nan
    rows[150:160, 0] = np.nan
    assert of_kind(found(rows), "outlier") == []


def test_trained_when_written_as_json_and_read_then_the_same_is_told():
    values = steady()
    values[:, 3] = 7.0  # its limits are infinite, which JSON is not told of
    trained = Trained.fit(values, NAMES, detector=Detector(), step_us=STEP_US, hold_rows=5)
    json.loads(trained.to_json(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    again = Trained.from_json(trained.to_json())
    rows = steady(rows=300, seed=9)
    rows[150:, 2] += 10.0
    assert found(rows, trained=again) == found(rows, trained=trained)
    assert (again.lead_rows, again.step_us) == (trained.lead_rows, STEP_US)


def test_anomalies_when_there_are_no_rows_then_nothing_is_told():
    assert found(np.empty((0, 4))) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"multivariate": {}, "limits": {}}'])
def test_trained_when_the_text_is_none_then_it_says_to_train_again(text: str):
    with pytest.raises(DataError, match="gl anomalies train"):
        Trained.from_json(text)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([], []), ([True], [(0, 1)]), ([False, True, True, False, True], [(1, 3), (4, 5)]), ([False, False], [])],
)
def test_stretches_when_flags_are_set_then_each_run_is_one(flags: list[bool], expected: list[tuple[int, int]]):
    assert stretches(np.array(flags, dtype=bool)) == expected
