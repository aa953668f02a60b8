"""Each of the six ways, with literal answers; the policies, and where every agent stands."""

from __future__ import annotations

import pytest

from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import METHODS, Aggregate, Aggregation, Method
from resources.agents.requests import Result
from resources.core.errors import DataError
from tests.unit.resources.agents.aggregation.support import DEADLINE, answers, failed, said, silent


def standings(found: Aggregate) -> dict[str, str]:
    return {entry.agent_id: entry.standing for entry in found.provenance}


def test_all_when_everyone_answered_then_every_answer_by_agent() -> None:
    found = aggregate(answers({"kw": 5}, None), Aggregation("all"))
    assert found.succeeded
    assert found.value == {"GL-002": {"kw": 5}, "GL-003": None}
    assert (found.support, found.reason) == (1.0, None)
    assert found.agents("supports") == ("GL-002", "GL-003")


def test_all_when_one_is_silent_then_no_value_unless_the_share_allows() -> None:
    results = [*answers(1, 2, 3), silent("GL-009")]
    found = aggregate(results, Aggregation("all"))
    assert (found.succeeded, found.value, found.support) == (False, None, 0.75)
    assert found.reason == "75.0% of the agents that count support it, 100.0% are needed"
    assert aggregate(results, Aggregation("all", share=0.7)).value == {"GL-002": 1, "GL-003": 2, "GL-004": 3}


def test_majority_when_more_than_half_say_the_same_then_that() -> None:
    found = aggregate(answers("open", "shut", "open"), Aggregation("majority"))
    assert found.value == "open"
    assert found.support == pytest.approx(2 / 3)
    assert standings(found) == {"GL-002": "supports", "GL-003": "dissents", "GL-004": "supports"}
    assert found.details["votes"] == [
        {"value": "open", "agents": ["GL-002", "GL-004"]},
        {"value": "shut", "agents": ["GL-003"]},
    ]


def test_majority_when_exactly_half_then_none() -> None:
    found = aggregate(answers("open", "shut", "open", "shut"), Aggregation("majority"))
    assert not found.succeeded
    assert found.reason == "no answer has a majority: the one with the most has 50.0%"


def test_majority_when_silent_agents_count_against_then_half_of_those_asked_is_not_enough() -> None:
    results = [*answers("open", "open"), silent("GL-008"), failed("GL-009")]
    assert not aggregate(results, Aggregation("majority")).succeeded
    ignoring = aggregate(results, Aggregation("majority", missing="ignore", failed="ignore"))
    assert (ignoring.value, ignoring.support) == ("open", 1.0)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (None, "None", False),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [2, 1], False),
        (float("nan"), float("nan"), True),
        (10**400, 10**400, True),
        ("1", 1, False),
    ],
)
def test_majority_when_answers_are_compared_then_by_their_json_value(left: object, right: object, same: bool) -> None:
    assert aggregate(answers(left, right), Aggregation("majority")).succeeded is same


def test_majority_when_numbers_are_within_tolerance_then_they_vote_together_and_the_middle_one_is_the_value() -> None:
    found = aggregate(answers(2.0, 2.3, 2.5, 9.0), Aggregation("majority", tolerance=0.3))
    assert (found.value, found.support) == (2.3, 0.75)
    assert found.agents("dissents") == ("GL-005",)


def test_majority_when_tolerance_is_relative_then_it_grows_with_the_number() -> None:
    relative = Aggregation("majority", relative_tolerance=0.01)
    assert aggregate(answers(1000.0, 1009.0), relative).succeeded
    assert not aggregate(answers(10.0, 10.9), relative).succeeded


def test_majority_when_answers_are_many_then_details_name_the_ten_with_the_most_votes() -> None:
    found = aggregate(answers(*range(12), 3), Aggregation("majority", tolerance=0.1))
    assert found.details["votes"][0] == {"value": 3, "agents": ["GL-005", "GL-014"]}
    assert len(found.details["votes"]) == 10


def test_majority_when_weighted_then_scores_are_votes() -> None:
    results = [said("GL-002", "open", score=0.9), said("GL-003", "shut", score=0.2), said("GL-004", "shut", score=0.1)]
    assert aggregate(results, Aggregation("majority")).value == "shut"
    found = aggregate(results, Aggregation("majority", weighted=True))
    assert found.value == "open"
    assert found.support == pytest.approx(0.75)


def test_average_when_numbers_lie_at_a_path_then_their_mean_and_spread() -> None:
    results = answers(
        {"unit": {"efficiency": 0.8}}, {"unit": {"efficiency": 0.9}}, {"unit": {}}, {"unit": {"efficiency": "?"}}
    )
    found = aggregate(results, Aggregation("average", path="/unit/efficiency"))
    assert found.value == pytest.approx(0.85)
    assert found.details["answers"] == 2
    assert found.details["standard_deviation"] == pytest.approx(0.05)
    assert standings(found)["GL-004"] == "unusable"
    reasons = {entry.agent_id: entry.reason for entry in found.provenance}
    assert reasons["GL-004"] == "the result has nothing at /unit/efficiency"
    assert reasons["GL-005"] == "/unit/efficiency is no number"


def test_average_when_weighted_by_score_then_better_agents_count_more_and_unknown_ones_half() -> None:
    results = [said("GL-002", 10, score=1.0), said("GL-003", 40, score=None)]
    found = aggregate(results, Aggregation("average", weighted=True))
    assert found.value == pytest.approx(20.0)
    assert [entry.weight for entry in found.provenance] == [1.0, 0.5]


def test_average_when_all_scores_are_0_then_all_count_alike() -> None:
    results = [said("GL-002", 10, score=0.0), said("GL-003", 20, score=0.0)]
    assert aggregate(results, Aggregation("average", weighted=True)).value == pytest.approx(15.0)


def test_average_when_fewer_than_half_can_be_used_and_the_rest_counts_against_then_none() -> None:
    results = [*answers(1), failed("GL-008"), failed("GL-009", "in_doubt")]
    assert aggregate(results, Aggregation("average")).value == 1.0
    found = aggregate(results, Aggregation("average", failed="against"))
    assert (found.succeeded, found.value) == (False, None)


def test_average_when_numbers_are_near_the_end_of_the_range_then_the_mean_is_finite() -> None:
    found = aggregate(answers(1.7e308, 1.7e308, 1.6e308, -1.7e308), Aggregation("average"))
    assert found.value == pytest.approx(0.825e308)
    assert found.details["standard_deviation"] is None


def test_consensus_when_no_two_differ_by_more_than_the_tolerance_then_the_answer_in_the_middle() -> None:
    found = aggregate(answers({"o2": 2.0}, {"o2": 2.2}, {"o2": 2.3}), Aggregation("consensus", tolerance=0.3000001))
    assert found.value == {"o2": 2.2}
    assert found.details["spread"] == pytest.approx(0.3)
    assert found.agents("supports") == ("GL-002", "GL-003", "GL-004")


def test_consensus_when_two_differ_by_more_then_none_and_the_spread_is_told() -> None:
    found = aggregate(answers(2.0, 2.3, 2.6), Aggregation("consensus", tolerance=0.3000001))
    assert not found.succeeded
    assert found.reason == "the answers differ: their numbers are up to 0.6 apart"


def test_consensus_when_answers_are_not_alike_then_none() -> None:
    found = aggregate(answers({"state": "on"}, {"state": "off"}, {"state": "on"}), Aggregation("consensus"))
    assert found.reason == "the answers differ: there are 2 that are not alike"
    assert found.agents("supports") == ("GL-002", "GL-004")


def test_consensus_when_one_is_silent_then_it_is_not_unanimous_unless_ignored() -> None:
    results = [*answers("on", "on"), silent("GL-009")]
    assert not aggregate(results, Aggregation("consensus")).succeeded
    assert aggregate(results, Aggregation("consensus", missing="ignore")).value == "on"


def test_first_when_several_answered_then_the_earliest_whatever_the_order() -> None:
    results = [said("GL-002", "late", after_s=3), said("GL-003", "early", after_s=1), said("GL-004", "same", after_s=1)]
    found = aggregate(results, Aggregation("first"))
    assert (found.value, found.details["agent_id"], found.support) == ("early", "GL-003", 1.0)
    assert standings(found) == {"GL-002": "not_chosen", "GL-003": "supports", "GL-004": "not_chosen"}


def test_first_when_a_share_is_asked_for_then_that_many_must_have_answered() -> None:
    results = [*answers("on"), silent("GL-008"), silent("GL-009")]
    assert aggregate(results, Aggregation("first")).succeeded
    assert not aggregate(results, Aggregation("first", missing="against", share=0.5)).succeeded


@pytest.mark.parametrize(
    ("aggregation", "winner"),
    [
        (Aggregation("best", path="/kw"), "GL-004"),
        (Aggregation("best", path="/kw", prefer="lowest"), "GL-003"),
        (Aggregation("best", path="/kw", quality_path="/certainty"), "GL-002"),
        (Aggregation("best", path="/kw", rank_by="score"), "GL-003"),
        (Aggregation("best", path="/kw", rank_by="latency"), "GL-002"),
        (Aggregation("best", path="/kw", rank_by="latency", prefer="highest"), "GL-004"),
    ],
    ids=["value", "lowest", "quality", "score", "fastest", "slowest"],
)
def test_best_when_judged_then_the_best_answer_is_the_value(aggregation: Aggregation, winner: str) -> None:
    results = [
        said("GL-002", {"kw": 5, "certainty": 0.9}, after_s=1, score=0.4),
        said("GL-003", {"kw": 3, "certainty": 0.8}, after_s=2, score=0.9),
        said("GL-004", {"kw": 8, "certainty": 0.1}, after_s=3, score=0.5),
    ]
    found = aggregate(results, aggregation)
    assert found.details["agent_id"] == winner
    assert found.value == {"GL-002": 5, "GL-003": 3, "GL-004": 8}[winner]
    assert found.details["ranking"][0]["agent_id"] == winner


def test_best_when_two_are_equally_good_then_the_one_that_came_first() -> None:
    results = [said("GL-002", 5, after_s=2), said("GL-003", 5, after_s=1)]
    assert aggregate(results, Aggregation("best")).details["agent_id"] == "GL-003"


def test_best_when_an_answer_has_no_quality_then_it_is_unusable() -> None:
    found = aggregate(answers({"kw": 5}, {"kw": 1, "q": 2}), Aggregation("best", path="/kw", quality_path="/q"))
    assert found.value == 1
    assert found.provenance[0].reason == "there is no quality to judge by at /q"


@pytest.mark.parametrize("method", METHODS)
def test_each_when_a_policy_says_fail_then_one_missing_answer_is_enough(method: Method) -> None:
    results = [*answers(1, 1, 1), silent("GL-009")]
    found = aggregate(results, Aggregation(method, missing="fail"))
    assert (found.succeeded, found.value) == (False, None)
    assert found.reason is not None
    assert found.reason.startswith("GL-009 is missing")
    broken = aggregate([*answers(1, 1, 1), failed("GL-009")], Aggregation(method, failed="fail"))
    assert broken.reason == "GL-009 is failed, and not one may be: the burner is locked"


@pytest.mark.parametrize("method", METHODS)
def test_each_when_there_is_nothing_then_no_value_and_a_reason(method: Method) -> None:
    found = aggregate([], Aggregation(method))
    assert (found.succeeded, found.value, found.reason, found.support) == (False, None, "no agent was asked", 0.0)
    nobody = aggregate([silent("GL-002"), failed("GL-003")], Aggregation(method))
    assert nobody.reason == "there is no usable answer: 1 failed, 1 missing"
    assert nobody.support == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_each_when_answers_were_not_awaited_then_they_are_not_counted(method: Method) -> None:
    results: list[Result] = [*answers(1, 1), silent("GL-009", awaited=False)]
    found = aggregate(results, Aggregation(method, missing="fail"))
    assert found.succeeded
    assert standings(found)["GL-009"] == "not_awaited"
    assert found.provenance[-1].weight == 0.0


def test_provenance_when_an_answer_came_after_the_deadline_then_how_late_is_told_and_it_may_be_refused() -> None:
    results = [said("GL-002", 1), said("GL-003", 3, after_s=31.5), silent("GL-004")]
    found = aggregate(results, Aggregation("average"), deadline=DEADLINE)
    assert found.value == 2.0
    assert [entry.late_ms for entry in found.provenance] == [0.0, 1500.0, None]
    assert [entry.latency_ms for entry in found.provenance] == [1000.0, 31500.0, None]
    strict = aggregate(results, Aggregation("average", accept_late=False), deadline=DEADLINE)
    assert strict.value == 1.0
    assert strict.provenance[1].reason == "answered 1500 ms after the deadline"


def test_aggregate_when_an_agent_has_two_results_then_refused() -> None:
    with pytest.raises(DataError, match="GL-002 has 2 results"):
        aggregate([said("GL-002", 1), said("GL-002", 2)], Aggregation("all"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "median"}, "method 'median' is unknown; give one of all, majority"),
        ({"missing": "skip"}, "missing 'skip' is unknown"),
        ({"failed": "skip"}, "failed 'skip' is unknown"),
        ({"rank_by": "luck"}, "rank_by 'luck' is unknown"),
        ({"prefer": "any"}, "prefer 'any' is unknown"),
        ({"share": 1.5}, "share 1.5 is not a share"),
        ({"tolerance": -1.0}, "tolerance -1.0 must be 0 or more"),
        ({"relative_tolerance": float("nan")}, "relative_tolerance nan"),
        ({"path": "efficiency"}, "path 'efficiency' is not a JSON Pointer"),
        ({"quality_path": "/a~2"}, "is not a JSON Pointer"),
    ],
)
def test_aggregation_when_a_field_has_no_meaning_then_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Aggregation(**given)  # type: ignore[arg-type]
