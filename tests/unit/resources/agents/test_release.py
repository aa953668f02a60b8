"""Slots, turns, silence and enough answers, without a clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.record.release import Release, Turns

A, B, C, D = "ABCD"


def turns(release: Release, count: int = 4, **more: Any) -> Turns:
    return Turns(release, dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count], 0), **more)


def send(turns: Turns, now: float) -> list[str]:
    taken = turns.take(now)
    for agent_id in taken:
        turns.sent(agent_id, now)
    return taken


def test_release_when_unbounded_then_all_at_once() -> None:
    assert send(turns(Release()), 0) == [A, B, C, D]
    assert Release().plain
    assert not Release(needed=1).plain


def test_release_when_bounded_then_the_next_goes_when_one_has_answered() -> None:
    found = turns(Release(concurrency=2))
    assert send(found, 0) == [A, B]
    assert found.due_at(0) is None
    assert send(found, 1) == []
    found.closed(B, good=False)
    assert found.due_at(1) == 1
    assert send(found, 1) == [C]
    assert [found.holds(agent_id) for agent_id in (A, B, C, D)] == [False, False, False, True]


def test_agent_when_silent_then_sent_again_and_at_last_its_place_is_given_away() -> None:
    found = turns(Release(concurrency=1, patience_s=2, retries=1), 2)
    assert send(found, 0) == [A]
    assert found.due_at(0) == 2
    assert send(found, 1.9) == []
    assert send(found, 2) == [A]
    assert send(found, 4) == [B]
    found.closed(A, good=True)
    assert send(found, 6) == [B]
    assert send(found, 8) == []
    assert found.due_at(8) is None


def test_answers_when_enough_are_good_then_enough() -> None:
    found = turns(Release(concurrency=2, needed=2))
    send(found, 0)
    found.closed(A, good=True)
    found.closed(B, good=False)
    assert not found.enough
    send(found, 0)
    found.closed(C, good=True)
    assert found.enough


def test_agent_when_it_answers_before_its_turn_then_its_turn_is_over() -> None:
    # the answer to a sending that was not recorded before a crash
    found = turns(Release(concurrency=1), 3)
    send(found, 0)
    found.closed(B, good=True)
    found.closed(A, good=True)
    assert send(found, 1) == [C]


def test_turns_when_another_orchestrator_goes_on_then_the_sent_keep_their_places() -> None:
    found = Turns(Release(concurrency=2, needed=3, patience_s=5), {B: 1, C: 0, D: 0}, good=1)
    assert not found.holds(B)
    found.sent(B, 10)
    assert send(found, 10) == [C]
    found.closed(B, good=True)
    assert send(found, 11) == [D]
    found.closed(D, good=True)
    assert found.enough


@given(
    release=st.builds(
        Release,
        concurrency=st.none() | st.integers(1, 5),
        needed=st.none() | st.integers(1, 8),
        patience_s=st.none() | st.floats(0.1, 5),
        retries=st.integers(0, 3),
    )
)
def test_release_when_stored_then_read_back(release: Release) -> None:
    assert Release.from_json({**release.to_json(), "of_a_later_version": 1}) == release


@given(
    count=st.integers(1, 26),
    concurrency=st.integers(1, 5),
    retries=st.integers(0, 2),
    answers=st.lists(st.booleans(), min_size=26, max_size=26),
)
def test_turns_when_driven_to_the_end_then_all_had_their_turn_and_never_too_many_at_a_time(
    count: int, concurrency: int, retries: int, answers: list[bool]
) -> None:
    found = turns(Release(concurrency=concurrency, patience_s=1.0, retries=retries), count)
    sent: dict[str, int] = {}
    waited_for: set[str] = set()
    now = 0.0
    while (due := found.due_at(now)) is not None:
        now = max(now, due)
        again = found.take(now)
        # whoever lost its place is silent for good
        waited_for = {agent for agent in waited_for if sent[agent] <= retries or agent in again}
        for agent_id in again:
            found.sent(agent_id, now)
            sent[agent_id] = sent.get(agent_id, 0) + 1
            waited_for.add(agent_id)
        if len(waited_for) > concurrency:
            pytest.fail(f"{len(waited_for)} at a time")
        for agent_id in sorted(waited_for):
            if answers[ord(agent_id) - ord("A")]:
                found.closed(agent_id, good=True)
                waited_for.discard(agent_id)
    assert len(sent) == count
    for agent_id, times in sent.items():
        assert times == (1 if answers[ord(agent_id) - ord("A")] else 1 + retries)
