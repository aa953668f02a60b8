"""Quorums, retries, and how a request is let go to its targets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.coordination_config import CircuitRules
from resources.agents.planner import release_of
from resources.agents.record.circuits import AgentCircuit
from resources.agents.record.release import Release
from resources.agents.requests import Command, Outcome, Quorum, Request, Result, Retry
from resources.agents.strategies.parallel import Parallel
from resources.agents.strategies.round_robin import RoundRobin
from resources.agents.wire.message import Formatter
from resources.core.clock import ManualClock
from resources.core.errors import DataError
from resources.transport.turns.circuit_breaker import Circuit

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
COMMAND = Command("status", {}, (), 30.0)


@given(share=st.floats(0, 1, exclude_min=True), addressed=st.integers(1, 10_000))
def test_quorum_when_a_share_then_at_least_one_and_at_most_all(share: float, addressed: int) -> None:
    assert 1 <= Quorum(share=share).of(addressed) <= addressed


@pytest.mark.parametrize(
    ("quorum", "addressed", "needed"),
    [(Quorum(3), 5, 3), (Quorum(share=0.5), 5, 3), (Quorum(share=0.1), 30, 3), (Quorum(share=1.0), 99, 99)],
)
def test_quorum_when_of_so_many_then_so_many_good_answers(quorum: Quorum, addressed: int, needed: int) -> None:
    assert quorum.of(addressed) == needed


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (Quorum, "either a number"),
        (lambda: Quorum(1, 0.5), "either a number"),
        (lambda: Quorum(0), "0 good answers"),
        (lambda: Quorum(share=1.1), "share of 1.1"),
        (lambda: Quorum(6).of(5), "6 good answers are asked for, and 5 agents"),
        (lambda: Retry(-1), "-1 sendings"),
        (lambda: Retry(1, 0), "silence of 0 s"),
        (
            lambda: release_of(Request(COMMAND, RoundRobin(stop_at_first_good=True), quorum=Quorum(1)), 3),
            "leave that out, or the quorum",
        ),
    ],
)
def test_request_when_it_makes_no_sense_then_refused(make: Callable[[], Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        make()


@pytest.mark.parametrize(
    ("request_", "addressed", "release"),
    [
        (Request(COMMAND, Parallel(None), retry=Retry(0)), 99, Release()),
        (Request(COMMAND, Parallel(None)), 99, Release(patience_s=15.0, retries=1)),
        (Request(COMMAND, Parallel(10)), 10, Release(patience_s=15.0, retries=1)),
        (Request(COMMAND, Parallel(10)), 99, Release(10, None, 1.5, 1)),
        (Request(COMMAND, Parallel(10), retry=Retry(0)), 99, Release(10, None, 3.0)),
        (Request(COMMAND, Parallel(None), quorum=Quorum(share=0.5), retry=Retry(0)), 9, Release(needed=5)),
        (Request(COMMAND, RoundRobin(), retry=Retry(2, 0.5)), 3, Release(1, None, 0.5, 2)),
        (Request(COMMAND, RoundRobin(stop_at_first_good=True)), 3, Release(1, 1, 5.0, 1)),
        (Request(COMMAND), 0, Release()),
    ],
)
def test_release_when_of_a_request_then_every_turn_comes_before_the_deadline(
    request_: Request, addressed: int, release: Release
) -> None:
    assert release_of(request_, addressed) == release


def outcome(states: list[str], needed: int | None) -> Outcome:
    message = Formatter("GL-001", ManualClock(NOW)).command("x", {}, targets=["GL-002"], timeout_s=1)
    results = [Result(f"GL-{n}", state, 1, None, None, float(9 - n), None) for n, state in enumerate(states)]
    return Outcome(message, False, tuple(results), needed=needed)


def test_outcome_when_asked_then_it_counts_good_answers() -> None:
    assert outcome(["answered", "failed"], None).enough is False
    assert outcome(["answered", "failed"], 1).enough is True
    assert outcome(["answered", "answered"], None).enough is True
    assert outcome(["answered", "failed"], 2).answered == 1
    assert outcome(["answered", "failed"], 2).latencies_ms == [8.0, 9.0]


RULES = CircuitRules(failures=3)


def session_at(instant: datetime) -> str:
    return str(uuid_utils.UUID(int=int(instant.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62))


@pytest.mark.parametrize(
    ("circuit", "state", "reason"),
    [
        (AgentCircuit("A", 2, NOW, None), Circuit.CLOSED, None),
        (AgentCircuit("A", 3, NOW, None), Circuit.OPEN, "open: 3 commands in a row unanswered, the last at 10:15:00Z"),
        (AgentCircuit("A", 3, NOW - timedelta(seconds=60), None), Circuit.HALF_OPEN, None),
        (AgentCircuit("A", 3, NOW - timedelta(seconds=90), NOW), Circuit.HALF_OPEN, "another command is trying it"),
        (AgentCircuit("A", 3, NOW - timedelta(seconds=90), NOW - timedelta(seconds=60)), Circuit.HALF_OPEN, None),
        (AgentCircuit("A", 3, NOW, None, session_at(NOW - timedelta(1))), Circuit.OPEN, "tried again 60 s later"),
        (AgentCircuit("A", 3, NOW, None, session_at(NOW + timedelta(seconds=1))), Circuit.HALF_OPEN, None),
        (AgentCircuit("A", 3, NOW, None, "ffffffff-ffff-7fff-bfff-ffffffffffff"), Circuit.HALF_OPEN, None),
    ],
    ids=["few", "many", "later", "on trial", "trial lost", "old session", "came back", "year 10889"],
)
def test_circuit_when_an_agent_was_silent_then_it_is_left_out_until_it_may_be_tried(
    circuit: AgentCircuit, state: Circuit, reason: str | None
) -> None:
    found = circuit.skip_reason(RULES, NOW)
    assert circuit.state(RULES, NOW) is state
    assert found is None if reason is None else reason in str(found)
