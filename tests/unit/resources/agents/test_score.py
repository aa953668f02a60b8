"""The performance score: bounds, monotony, fading, and what is written of it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.members.score import NEUTRAL, Score, ScoreBook, ScoreRule

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
RULE = ScoreRule()

LATENCIES = st.one_of(st.none(), st.floats(0, 1e9))
PAUSES = st.integers(0, 10**9).map(lambda ms: timedelta(milliseconds=ms))
DELIVERIES = st.lists(st.tuples(LATENCIES, PAUSES), max_size=30)


def scored(deliveries: list[tuple[float | None, timedelta]], rule: ScoreRule = RULE) -> Score | None:
    score, at = None, NOW
    for latency_ms, pause in deliveries:
        at += pause
        score = rule.with_evidence(score, rule.quality(latency_ms), at)
    return score


def value(score: Score | None) -> float:
    return NEUTRAL if score is None else score.value


@given(DELIVERIES)
def test_score_when_anything_has_happened_then_between_0_and_1(
    deliveries: list[tuple[float | None, timedelta]],
) -> None:
    assert 0 <= value(scored(deliveries)) <= 1


@given(DELIVERIES, st.floats(0, 1e9), PAUSES)
def test_score_when_the_last_answer_came_then_above_what_a_miss_would_have_made_it(
    deliveries: list[tuple[float | None, timedelta]], latency_ms: float, pause: timedelta
) -> None:
    assert value(scored([*deliveries, (latency_ms, pause)])) > value(scored([*deliveries, (None, pause)]))


@given(DELIVERIES, st.floats(0, 1e6), st.floats(0, 1e6), PAUSES)
def test_score_when_the_last_answer_was_faster_then_not_lower(
    deliveries: list[tuple[float | None, timedelta]], one: float, other: float, pause: timedelta
) -> None:
    fast, slow = sorted((one, other))
    assert value(scored([*deliveries, (fast, pause)])) >= value(scored([*deliveries, (slow, pause)]))


@given(DELIVERIES.filter(bool), PAUSES, PAUSES)
def test_score_when_time_passes_without_news_then_it_goes_back_towards_neutral(
    deliveries: list[tuple[float | None, timedelta]], sooner: timedelta, more: timedelta
) -> None:
    score = scored(deliveries)
    assert score is not None
    distances = [
        abs(RULE.faded(score, score.at + passed).value - NEUTRAL) for passed in (timedelta(0), sooner, sooner + more)
    ]
    # the last digits of a double are noise
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(distances))
    assert RULE.faded(score, score.at + timedelta(days=30)).value == pytest.approx(NEUTRAL, abs=1e-6)


@given(DELIVERIES.filter(bool), PAUSES, PAUSES)
def test_score_when_faded_in_two_steps_then_as_in_one(
    deliveries: list[tuple[float | None, timedelta]], first: timedelta, second: timedelta
) -> None:
    score = scored(deliveries)
    assert score is not None
    at_once = RULE.faded(score, score.at + first + second)
    in_steps = RULE.faded(RULE.faded(score, score.at + first), score.at + first + second)
    assert in_steps.value == pytest.approx(at_once.value)


def test_score_when_a_half_life_has_passed_then_old_evidence_weighs_half() -> None:
    score = Score(3.0, 4.0, NOW)
    faded = RULE.faded(score, NOW + timedelta(hours=1))
    assert (faded.good, faded.weight) == (1.5, 2.0)
    assert faded.value == pytest.approx((0.5 + 1.5) / 3)
    assert RULE.faded(score, NOW - timedelta(hours=5)) == score


@pytest.mark.parametrize(("latency_ms", "quality"), [(None, 0.0), (0.0, 1.0), (1000.0, 0.85), (1e12, 0.7), (-5.0, 1.0)])
def test_quality_when_answered_or_not_then_as_the_formula_says(latency_ms: float | None, quality: float) -> None:
    assert RULE.quality(latency_ms) == pytest.approx(quality, abs=1e-6)


def test_quality_when_the_plant_is_slow_then_its_own_latency_counts_as_half() -> None:
    assert ScoreRule(latency=timedelta(minutes=1)).quality(60_000) == pytest.approx(0.85)


def test_book_when_answers_come_then_only_what_changed_is_handed_out_once() -> None:
    book = ScoreBook(RULE)
    book.add("GL-002", 10.0, NOW)
    book.add("GL-003", None, NOW)
    changed = book.take_changed(NOW)
    assert changed["GL-002"].value > NEUTRAL > changed["GL-003"].value
    assert book.take_changed(NOW) == {}
    later = book.get("GL-002", NOW + timedelta(hours=1))
    assert later is not None
    assert later.weight == 0.5
    assert book.get("GL-004", NOW) is None


def test_book_when_only_time_passes_then_a_score_is_news_after_it_moved_by_a_hundredth() -> None:
    book = ScoreBook(RULE)
    book.restore({"GL-002": Score(10.0, 10.0, NOW), "GL-003": Score(0.5, 1.0, NOW)})
    assert book.take_changed(NOW + timedelta(seconds=30), faded=True) == {}
    assert set(book.take_changed(NOW + timedelta(hours=2), faded=True)) == {"GL-002"}
    assert book.take_changed(NOW + timedelta(hours=2, seconds=1), faded=True) == {}
    book.add("GL-003", 0.0, NOW + timedelta(hours=2))
    assert set(book.take_changed(NOW + timedelta(hours=2), faded=True)) == {"GL-003"}
