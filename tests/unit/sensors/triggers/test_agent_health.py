"""What the trigger of agent health makes of two looks at the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resources.agents.members.agent_list import ListedAgent
from sensors.triggers.agent_health import SETTLED_AFTER, Remembered, look

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HEARD = NOW - timedelta(seconds=100)


def agent(agent_id: str, status: str, *, reason: str | None = None, name: str = "") -> ListedAgent:
    return ListedAgent(agent_id, name, "boiler", [], status, HEARD, None, True, reason)


def after(**statuses: str) -> Remembered:
    return Remembered({name.replace("_", "-"): status for name, status in statuses.items()})


def test_look_when_it_is_the_first_then_nothing_has_changed() -> None:
    found = look([agent("GL-002", "offline")], Remembered(), NOW)
    assert (found.changes, found.snapshot) == ((), False)
    assert found.memory.statuses == {"GL-002": "offline"}


def test_look_when_nothing_changed_then_no_snapshot() -> None:
    found = look([agent("GL-002", "online")], after(GL_002="online"), NOW)
    assert (list(found.changes), found.snapshot) == ([], False)


def test_look_when_an_agent_goes_away_then_told_since_when_and_a_snapshot_follows_once_settled() -> None:
    gone = agent("GL-002", "offline", reason="it left, or its connection was lost", name="Boiler 3")
    first = look([gone], after(GL_002="online"), NOW)
    (change,) = first.changes
    assert change.message == ("agent GL-002 (Boiler 3) was online and is offline: it left, or its connection was lost")
    assert change.time(NOW) == HEARD
    assert not first.snapshot
    second = look([gone], first.memory, NOW + timedelta(seconds=30))
    assert (list(second.changes), second.snapshot) == ([], True)
    third = look([gone], second.memory, NOW + timedelta(seconds=60))
    assert not third.snapshot


def test_look_when_an_agent_comes_back_then_told_now() -> None:
    (change,) = look([agent("GL-002", "online")], after(GL_002="offline"), NOW).changes
    assert (change.message, change.time(NOW)) == ("agent GL-002 was offline and is online", NOW)


def test_look_when_agents_keep_changing_then_a_snapshot_comes_all_the_same() -> None:
    memory, snapshots = after(GL_002="online"), []
    for turn in range(11):
        status = "degraded" if turn % 2 == 0 else "online"
        found = look([agent("GL-002", status)], memory, NOW + turn * timedelta(seconds=30))
        memory = found.memory
        snapshots.append(found.snapshot)
    assert snapshots == [False] * (SETTLED_AFTER // timedelta(seconds=30)) + [True]


def test_look_when_an_agent_is_new_then_told_unless_it_is_only_declared() -> None:
    found = look([agent("GL-003", "online"), agent("GL-004", "offline")], after(), NOW)
    assert [change.message for change in found.changes] == ["agent GL-003 is new and is online"]


def test_look_when_an_agent_is_no_longer_declared_then_a_snapshot_shows_it() -> None:
    found = look([], after(GL_002="offline"), NOW)
    assert (list(found.changes), found.snapshot) == ([], True)


@pytest.mark.parametrize("cursor", [None, "", "{", "[]", '{"status": 1}'])
def test_memory_when_the_cursor_cannot_be_read_then_the_next_look_is_the_first(cursor: str | None) -> None:
    assert Remembered.load(cursor) == Remembered()


def test_memory_when_dumped_then_loaded_as_it_was() -> None:
    memory = Remembered({"GL-002": "online"}, 5.0, 3)
    assert Remembered.load(memory.dump()) == memory
