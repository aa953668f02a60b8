"""What holds for any answers: bounds, order, provenance, and that more agreement never hurts."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import METHODS, POLICIES, Aggregation
from resources.agents.requests import Result
from tests.unit.resources.agents.aggregation.support import DEADLINE, SENT, said

PATIENT = settings(deadline=None, max_examples=60)  # a busy machine is no fault

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | FLOATS | st.integers(-(10**20), 10**20) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def any_results(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> list[Result]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        state = draw(st.sampled_from(["answered", "answered", "failed", "in_doubt", "expired", "sent", "queued"]))
        answered = state in ("answered", "failed", "in_doubt")
        after_s = draw(st.integers(0, 60))
        found.append(
            Result(
                f"GL-{number + 2:03d}",
                state,
                draw(st.integers(0, 3)),
                None,
                draw(values) if state == "answered" else None,
                after_s * 1000.0 if answered else None,
                SENT + timedelta(seconds=after_s) if answered else None,
                draw(st.none() | st.floats(0, 1)),
                answered or draw(st.booleans()),
            )
        )
    return found


POLICY = st.none() | st.sampled_from(POLICIES)
AGGREGATIONS = st.builds(
    Aggregation,
    method=st.sampled_from(METHODS),
    missing=POLICY,
    failed=POLICY,
    share=st.none() | st.floats(0, 1),
    weighted=st.booleans(),
    tolerance=st.sampled_from([0.0, 0.5, 1e9]),
    relative_tolerance=st.sampled_from([0.0, 0.01]),
    rank_by=st.sampled_from(["value", "score", "latency"]),
    accept_late=st.booleans(),
)


@PATIENT
@given(any_results(), AGGREGATIONS)
def test_aggregate_when_given_anything_then_it_accounts_for_every_agent(
    results: list[Result], aggregation: Aggregation
) -> None:
    found = aggregate(results, aggregation, deadline=DEADLINE)
    assert [entry.agent_id for entry in found.provenance] == sorted(result.agent_id for result in results)
    assert 0.0 <= found.support <= 1.0
    assert found.succeeded == (found.reason is None)
    assert found.succeeded or found.value is None
    assert all(entry.weight >= 0 for entry in found.provenance)
    assert not found.succeeded or found.agents("supports")
    states = {result.agent_id: result.state for result in results}
    for entry in found.provenance:
        usable = entry.standing in ("supports", "dissents", "not_chosen")
        assert not usable or states[entry.agent_id] == "answered"
        assert usable or entry.reason


@PATIENT
@given(any_results(), AGGREGATIONS, st.integers())
def test_aggregate_when_the_order_changes_then_nothing_does(
    results: list[Result], aggregation: Aggregation, seed: int
) -> None:
    shuffled = random.Random(seed).sample(results, len(results))
    once, again = (aggregate(given_, aggregation, deadline=DEADLINE) for given_ in (results, shuffled))
    assert json.dumps(asdict(once), default=str) == json.dumps(asdict(again), default=str)


@PATIENT
@given(any_results(), st.sampled_from(METHODS))
def test_support_when_a_policy_is_against_then_at_most_what_ignoring_gives(results: list[Result], method: Any) -> None:
    lenient = aggregate(results, Aggregation(method, missing="ignore", failed="ignore"))
    strict = aggregate(results, Aggregation(method, missing="against", failed="against"))
    assert strict.support <= lenient.support
    assert not strict.succeeded or lenient.succeeded


@PATIENT
@given(st.lists(FLOATS, min_size=1, max_size=20), st.data())
def test_average_when_weighted_by_anything_then_between_least_and_greatest(
    values: list[float], data: st.DataObject
) -> None:
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    results = [
        said(f"A-{n:02d}", value, score=score) for n, (value, score) in enumerate(zip(values, scores, strict=True))
    ]
    mean = aggregate(results, Aggregation("average", weighted=True)).value
    assert min(values) <= mean <= max(values)


@PATIENT
@given(st.lists(st.integers(0, 3), min_size=1, max_size=15))
def test_majority_when_there_is_one_then_more_than_half_said_it(values: list[int]) -> None:
    found = aggregate([said(f"A-{n:02d}", value) for n, value in enumerate(values)], Aggregation("majority"))
    most = max(set(values), key=values.count)
    assert found.succeeded == (values.count(most) * 2 > len(values))
    assert not found.succeeded or found.value == most


@PATIENT
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0, 50))
def test_votes_when_numbers_have_a_tolerance_then_supporters_are_that_near_and_no_answer_has_more(
    values: list[float], tolerance: float
) -> None:
    results = [said(f"A-{n:02d}", value) for n, value in enumerate(values)]
    near = [sum(abs(value - other) <= tolerance for other in values) for value in values]
    found = aggregate(results, Aggregation("majority", tolerance=tolerance, share=0))
    assert found.support == pytest.approx(max(near) / len(values))
    if found.succeeded:
        supporters = [entry for entry in found.provenance if entry.standing == "supports"]
        assert all(abs(entry.value - found.value) <= tolerance for entry in supporters)
    unanimous = aggregate(results, Aggregation("consensus", tolerance=tolerance))
    assert unanimous.succeeded == (max(values) - min(values) <= tolerance)


@PATIENT
@given(any_results(st.integers(-5, 5)))
def test_first_and_best_when_there_is_an_answer_then_nobody_was_earlier_or_better(results: list[Result]) -> None:
    good = [result for result in results if result.state == "answered"]
    first, best = (aggregate(results, Aggregation(method)) for method in ("first", "best"))
    assert first.succeeded == best.succeeded == bool(good)
    if good:
        assert first.details["latency_ms"] == min(result.latency_ms for result in good if result.latency_ms is not None)
        assert best.value == max(result.result for result in good)
