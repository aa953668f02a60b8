"""The score of a reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gl_assets.transforms.pipeline.score import codes_of, dimensions, levels_of, scores_of
from gl_assets.transforms.quality import LEVEL_NAMES
from resources.core.readings import Status
from resources.core.rules import BIT, RULES

rule_sets = st.sets(st.sampled_from(RULES))
statuses = st.sampled_from(list(Status))


def code(status: Status, rules: set[str]) -> np.ndarray:
    broken = np.array([sum(BIT[rule] for rule in rules)], np.int16)
    return codes_of(np.array([status], np.uint8), broken)


@pytest.mark.parametrize(
    ("status", "rules", "score", "level"),
    [
        (Status.GOOD, set(), 100, "EXCELLENT"),
        (Status.GOOD, {"too_old"}, 90, "GOOD"),
        (Status.GOOD, {"rate_of_change"}, 90, "GOOD"),
        (Status.GOOD, {"too_old", "out_of_order"}, 80, "GOOD"),
        (Status.GOOD, {"too_old", "out_of_order", "flat_line"}, 80, "GOOD"),
        (Status.GOOD, {"duplicate"}, 90, "GOOD"),
        (Status.GOOD, {"range"}, 60, "FAIR"),
        (Status.UNCERTAIN, set(), 70, "FAIR"),
        (Status.UNCERTAIN, {"rate_of_change", "flat_line"}, 50, "POOR"),
        (Status.BAD, set(), 30, "INVALID"),
        (Status.BAD, {"range", "too_old", "flat_line", "duplicate"}, 0, "INVALID"),
    ],
)
def test_score_when_status_and_defects_are_given_then_as_documented(
    status: Status, rules: set[str], score: float, level: str
):
    assert scores_of(code(status, rules)).tolist() == [score]
    assert LEVEL_NAMES[levels_of(code(status, rules))[0]] == level


@given(status=statuses, rules=rule_sets)
def test_score_when_anything_is_wrong_then_it_stays_between_0_and_100(status: Status, rules: set[str]):
    assert 0 <= scores_of(code(status, rules))[0] <= 100


@given(status=statuses, rules=rule_sets, more=rule_sets)
def test_score_when_more_is_wrong_then_no_dimension_is_better(status: Status, rules: set[str], more: set[str]):
    few, many = dimensions(code(status, rules))[0], dimensions(code(status, rules | more))[0]

    assert (many <= few).all()


@given(rules=rule_sets)
def test_score_when_the_status_is_worse_then_so_is_the_score(rules: set[str]):
    good, uncertain, bad = (scores_of(code(status, rules))[0] for status in Status)

    assert good >= uncertain >= bad


def test_score_when_any_single_rule_is_broken_then_it_is_below_100():
    assert all(scores_of(code(Status.GOOD, {rule}))[0] < 100 for rule in RULES)
