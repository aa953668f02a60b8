"""The registry in memory: heartbeats by session, and what silence and scores make of an agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resources.agents.members.registry import AgentState, Registry
from resources.agents.members.score import ScoreBook, ScoreRule
from resources.agents.security.tokens import Received
from resources.agents.wire.message import Formatter, new_id
from resources.agents.wire.refusals import RefusedError
from resources.core.clock import ManualClock

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


class Site:
    """A registry, a clock, and heartbeats of any agent."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.scores = ScoreBook(ScoreRule())
        self.registry = Registry("GL-001", self.scores)
        self.sessions = [new_id() for _ in range(3)]

    def beat(self, status: str = "online", *, agent: str = "GL-002", session: int = 0, **given: Any) -> Received:
        payload = {
            "status": status,
            "agent_name": "Boiler",
            "agent_type": "boiler",
            "capabilities": ["heat"],
            "commands": [{"name": "count", "schema": {"type": "object"}}],
            **given.pop("payload", {}),
        }
        session_id = self.sessions[session]
        message = Formatter(agent, self.clock).heartbeat(payload, session_id=session_id, orchestrator_id="GL-001")
        message = message.model_copy(update=given)
        now = self.clock.now()
        return Received(message, f"{agent}:1", "agent", now, now + timedelta(seconds=90), message.content_hash())

    def take(self, received: Received) -> tuple[AgentState, bool]:
        return self.registry.take(received, self.clock.now())

    def look(self) -> list[tuple[str, str, str | None]]:
        settled = self.registry.settle(self.registry.changed(self.clock.now()))
        return [(state.agent_id, state.status, state.reason) for state in settled]


@pytest.fixture
def site() -> Site:
    return Site()


def test_heartbeat_when_first_or_of_a_new_session_then_the_agent_came_back(site: Site) -> None:
    state, returned = site.take(site.beat())
    assert returned
    assert (state.status, state.reported, state.reason) == ("online", "online", None)
    assert state.commands == ({"name": "count", "roles": ["orchestrator"], "schema": {"type": "object"}},)
    site.clock.advance(30)
    assert not site.take(site.beat())[1]
    assert site.take(site.beat(session=1))[1]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"target_agents": ["GL-009"]}, "not_a_target"),
        ({"session_id": None}, "malformed"),
        ({"payload": {"capabilities": "heat"}}, "malformed"),
        ({"session": 0}, "old_session"),
        ({"session": 0, "status": "offline"}, "old_session"),
    ],
)
def test_heartbeat_when_of_another_malformed_or_of_an_older_session_then_refused(
    site: Site, given: dict[str, Any], reason: str
) -> None:
    site.take(site.beat(session=1))
    with pytest.raises(RefusedError) as refused:
        site.take(site.beat(**{"session": 1, **given}))
    assert refused.value.reason == reason


def test_heartbeat_when_repeated_or_earlier_than_the_last_then_refused(site: Site) -> None:
    earlier = site.beat()
    site.clock.advance(30)
    last = site.beat()
    site.take(last)
    for old in (earlier, last):
        with pytest.raises(RefusedError) as refused:
            site.take(old)
        assert refused.value.reason == "old_heartbeat"


def test_will_when_of_the_current_session_then_offline_and_nothing_else_anew(site: Site) -> None:
    site.take(site.beat())
    state, returned = site.take(site.beat("offline", payload={"agent_name": "Other"}))
    assert (state.status, state.reason, state.agent_name, returned) == (
        "offline",
        "it left, or its connection was lost",
        "Boiler",
        False,
    )
    site.clock.advance(30)
    assert site.look() == []


def test_agent_when_silent_then_degraded_offline_and_online_again_with_its_next_heartbeat(site: Site) -> None:
    site.take(site.beat())
    site.clock.advance(45)
    assert site.look() == []
    site.clock.advance(2)
    assert site.look() == [("GL-002", "degraded", "1 or 2 heartbeats missed")]
    site.clock.advance(30)
    assert site.look() == []
    site.clock.advance(14)
    assert site.look() == [("GL-002", "offline", "3 or more heartbeats missed")]
    assert site.take(site.beat())[0].status == "online"


def test_agent_when_it_says_another_status_then_degraded_for_that_reason(site: Site) -> None:
    state, _ = site.take(site.beat("maintenance"))
    assert (state.status, state.reported, state.reason) == ("degraded", "maintenance", "it says maintenance")


def test_agent_when_its_score_is_poor_then_degraded_until_that_has_faded(site: Site) -> None:
    site.take(site.beat())
    for _ in range(4):
        site.scores.add("GL-002", None, site.clock.now())
    assert site.look() == [("GL-002", "degraded", "its score is below 0.4")]
    assert site.take(site.beat())[0].status == "degraded"
    site.clock.advance(3600)
    assert site.take(site.beat(session=1))[0].status == "online"


def test_agent_when_heard_while_it_was_being_looked_at_then_what_was_seen_before_does_not_count(site: Site) -> None:
    site.take(site.beat())
    site.clock.advance(60)
    seen = site.registry.changed(site.clock.now())
    assert [state.status for state in seen] == ["degraded"]
    site.take(site.beat())
    assert site.registry.settle(seen) == []
    known = site.registry.get("GL-002")
    assert known is not None
    assert known.status == "online"


def test_look_when_asked_again_within_two_seconds_then_nothing_is_done(site: Site) -> None:
    site.take(site.beat())
    assert site.look() == []
    site.clock.advance(1)
    site.scores.add("GL-002", None, site.clock.now() - timedelta(seconds=1))
    for _ in range(4):
        site.scores.add("GL-002", None, site.clock.now())
    assert site.look() == []
    site.clock.advance(1)
    assert [status for _, status, _ in site.look()] == ["degraded"]


def test_registry_when_restored_then_it_knows_the_sessions(site: Site) -> None:
    state, _ = site.take(site.beat(session=1))
    later = Registry("GL-001", ScoreBook(ScoreRule()))
    later.restore([state])
    with pytest.raises(RefusedError):
        later.take(site.beat(session=0), site.clock.now())
