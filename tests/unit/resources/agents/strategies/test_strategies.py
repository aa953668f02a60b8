"""The four strategies: whom they choose, in which order, and that nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.strategies.base import Candidate, Strategy
from resources.agents.strategies.capability import ByCapability
from resources.agents.strategies.catalog import make_strategy
from resources.agents.strategies.load_balanced import LoadBalanced
from resources.agents.strategies.parallel import Parallel
from resources.agents.strategies.round_robin import RoundRobin
from resources.core.errors import DataError

CANDIDATES = st.lists(
    st.builds(Candidate, st.text("abcdef", min_size=1, max_size=4), st.floats(0, 1), st.integers(0, 5)),
    min_size=1,
    max_size=12,
    unique_by=lambda candidate: candidate.agent_id,
)


def agents(count: int, **given: Any) -> list[Candidate]:
    return [Candidate(f"GL-{n:03d}", **given) for n in range(2, 2 + count)]


@pytest.mark.parametrize(
    "strategy", [Parallel(), RoundRobin(count=3), LoadBalanced(count=3), ByCapability(count=3)], ids=lambda s: s.name
)
@given(candidates=CANDIDATES, last=st.none() | st.text("abcdef", max_size=4))
def test_choice_when_made_then_of_candidates_once_each_and_as_many_as_asked(
    strategy: Strategy, candidates: list[Candidate], last: str | None
) -> None:
    chosen = strategy.choose(candidates, last).targets
    wanted = len(candidates) if isinstance(strategy, Parallel) else min(3, len(candidates))
    assert len(chosen) == len(set(chosen)) == wanted
    assert set(chosen) <= {candidate.agent_id for candidate in candidates}


def test_parallel_when_named_in_an_order_then_kept() -> None:
    assert Parallel().choose(agents(3)[::-1], None).targets == ("GL-004", "GL-003", "GL-002")


@given(candidates=CANDIDATES, count=st.integers(1, 4), turns=st.integers(1, 6))
def test_round_robin_when_turns_follow_each_other_then_every_agent_has_had_as_many(
    candidates: list[Candidate], count: int, turns: int
) -> None:
    count = min(count, len(candidates) - 1) or 1
    strategy, last = RoundRobin(count=count), None
    served: Counter[str] = Counter({candidate.agent_id: 0 for candidate in candidates})
    for _ in range(turns):
        choice = strategy.choose(candidates, last)
        served.update(choice.targets)
        last = choice.turn_ends_with
    # with one agent, or two by one, every turn is a whole circle or half of one
    assert max(served.values()) - min(served.values()) <= 1


def test_round_robin_when_an_agent_joins_or_leaves_then_the_ring_goes_on() -> None:
    strategy = RoundRobin(count=1)
    assert strategy.choose(agents(3), None).targets == ("GL-002",)
    without = [candidate for candidate in agents(3) if candidate.agent_id != "GL-003"]
    assert strategy.choose(without, "GL-002").targets == ("GL-004",)
    assert strategy.choose(agents(5), "GL-004").targets == ("GL-005",)
    assert strategy.choose(agents(3), "GL-004").targets == ("GL-002",)


@pytest.mark.parametrize("strategy", [RoundRobin(), RoundRobin(stop_at_first_good=True), RoundRobin(count=9)])
def test_round_robin_when_all_are_asked_or_only_one_is_needed_then_the_next_turn_begins_one_later(
    strategy: RoundRobin,
) -> None:
    first = strategy.choose(agents(3), None)
    assert first.targets == ("GL-002", "GL-003", "GL-004")
    assert strategy.choose(agents(3), first.turn_ends_with).targets == ("GL-003", "GL-004", "GL-002")
    assert strategy.needed == (1 if strategy.stop_at_first_good else None)


@given(candidates=CANDIDATES, count=st.integers(1, 12), seed=st.integers())
def test_load_balanced_when_it_does_not_explore_then_nobody_better_is_left(
    candidates: list[Candidate], count: int, seed: int
) -> None:
    chosen = LoadBalanced(count, 0.0, seed).choose(candidates, None).targets
    weights = {found.agent_id: found.score / (1 + found.open_commands) for found in candidates}
    left = [weight for agent_id, weight in weights.items() if agent_id not in chosen]
    assert min(weights[agent_id] for agent_id in chosen) >= max(left, default=0.0)


@given(candidates=CANDIDATES, seed=st.integers())
def test_load_balanced_when_the_seed_is_the_same_then_the_same(candidates: list[Candidate], seed: int) -> None:
    strategy = LoadBalanced(3, 0.5, seed)
    assert strategy.choose(candidates, None) == strategy.choose(candidates, None)


def test_load_balanced_when_it_explores_then_the_worst_agent_is_not_starved() -> None:
    candidates = [*agents(9, score=1.0), Candidate("GL-099", 0.0, 5)]
    times = sum("GL-099" in LoadBalanced(2, 0.2, seed).choose(candidates, None).targets for seed in range(2000))
    # 2 places x 0.2, each to one of about ten
    assert 40 <= times <= 130
    assert not any("GL-099" in LoadBalanced(2, 0.0, seed).choose(candidates, None).targets for seed in range(200))


def test_load_balanced_when_all_are_equal_then_each_gets_its_share() -> None:
    served = Counter(LoadBalanced(1, 0.0, seed).choose(agents(4), None).targets[0] for seed in range(2000))
    assert len(served) == 4
    assert min(served.values()) > 350


def test_load_balanced_when_the_best_is_busy_then_another_is_chosen() -> None:
    candidates = [Candidate("GL-002", 0.9, 3), Candidate("GL-003", 0.6, 0)]
    assert LoadBalanced(1, 0.0).choose(candidates, None).targets == ("GL-003",)


def test_capability_when_chosen_then_the_best_first_and_equals_by_id() -> None:
    candidates = [Candidate("c", 0.5), Candidate("b", 0.9), Candidate("a", 0.5)]
    assert ByCapability().choose(candidates, None).targets == ("b", "a", "c")
    assert ByCapability(count=1).choose(candidates, None).targets == ("b",)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Parallel(0), "concurrency of 0"),
        (lambda: RoundRobin(count=0), "count of 0"),
        (lambda: RoundRobin(turn=""), "1 to 128"),
        (lambda: LoadBalanced(0), "count of 0"),
        (lambda: LoadBalanced(exploration=1.5), "1.5 is no share"),
        (lambda: LoadBalanced(concurrency=0), "concurrency of 0"),
        (lambda: make_strategy("loudest", {}), "there are parallel, round_robin, load_balanced, capability"),
        (lambda: make_strategy("parallel", {"count": 3}), "it has no count; it has concurrency, only_online"),
        (lambda: ByCapability(0), "count of 0"),
        (lambda: ByCapability(concurrency=0), "concurrency of 0"),
    ],
)
def test_strategy_when_it_makes_no_sense_then_refused(make: Callable[[], Strategy], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        make()
