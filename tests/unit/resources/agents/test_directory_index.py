"""The search by capability against a plain loop over the same agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.agents.members.directory import CapabilityQuery
from resources.agents.members.directory_index import AgentRow, DirectoryIndex
from resources.agents.members.health import DEGRADED, OFFLINE, ONLINE, Health, as_of_now
from resources.agents.members.score import NEUTRAL
from resources.core.errors import DataError

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
WORDS = st.sampled_from(["heat", "cool", "status", "optimize", "fouling"])
SETS = st.frozensets(WORDS, max_size=4)


@st.composite
def rows(draw: st.DrawFn) -> AgentRow:
    silent_s = draw(st.one_of(st.none(), st.sampled_from([0, 44, 45, 46, 89, 90, 91, 1000])))
    return AgentRow(
        f"GL-{draw(st.integers(0, 400)):03d}",
        "name",
        "boiler",
        tuple(sorted(draw(SETS))),
        draw(st.sampled_from([ONLINE, DEGRADED, OFFLINE])),
        None,
        draw(st.one_of(st.none(), st.floats(0, 1))),
        None if silent_s is None else NOW - timedelta(seconds=silent_s),
        (),
    )


QUERIES = st.builds(CapabilityQuery, SETS, SETS, SETS)


def status_of(row: AgentRow, at: datetime) -> str:
    silent = None if row.last_heartbeat is None else at - row.last_heartbeat
    return as_of_now(Health(row.status, None), silent).status


@given(st.lists(st.lists(rows(), max_size=300), min_size=1, max_size=4), QUERIES, st.booleans(), st.integers(0, 120))
def test_find_when_rows_came_in_any_order_then_as_a_loop_over_the_last_of_each_finds(
    batches: list[list[AgentRow]], query: CapabilityQuery, only_online: bool, later_s: int
) -> None:
    index, last, at = DirectoryIndex(), {}, NOW
    for batch in batches:
        index.put(batch, at)
        last |= {row.agent_id: row for row in batch}
    at += timedelta(seconds=later_s)
    index.put([], at)
    expected = [
        row
        for row in last.values()
        if query.matches(row.capabilities) and not (only_online and status_of(row, at) == OFFLINE)
    ]
    expected.sort(key=lambda row: (-(NEUTRAL if row.score is None else row.score), row.agent_id))
    found = index.find(query.all, query.any, query.none, only_online=only_online)
    assert [entry.agent_id for entry in found] == [row.agent_id for row in expected]
    assert [entry.status for entry in found] == [status_of(row, at) for row in expected]
    assert len(index) == len(last)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        (CapabilityQuery(), True),
        (CapabilityQuery(all=["heat", "status"]), True),
        (CapabilityQuery(all=["heat", "cool"]), False),
        (CapabilityQuery(any=["cool", "heat"]), True),
        (CapabilityQuery(any=["cool"]), False),
        (CapabilityQuery(none=["cool"]), True),
        (CapabilityQuery(none=["cool", "status"]), False),
        (CapabilityQuery(all=["heat"], any=["status", "cool"], none=["fouling"]), True),
    ],
)
def test_query_when_asked_of_one_agent_then_all_any_and_none_hold_together(
    query: CapabilityQuery, matches: bool
) -> None:
    assert query.matches(("heat", "status")) is matches


def test_query_when_a_text_is_given_for_a_list_then_refused_before_its_letters_are_searched() -> None:
    with pytest.raises(DataError, match="all is the text 'heat'"):
        CapabilityQuery(all="heat")


def test_get_when_known_or_not_then_the_entry_or_none() -> None:
    index = DirectoryIndex()
    assert index.get("GL-002") is None
    offered = ({"name": "count", "roles": ["orchestrator"], "schema": {}},)
    index.put([AgentRow("GL-002", "Boiler", "boiler", ("heat",), ONLINE, None, None, NOW, offered)], NOW)
    entry = index.get("GL-002")
    assert entry is not None
    assert (entry.agent_name, entry.agent_type, entry.score, entry.last_heartbeat) == ("Boiler", "boiler", 0.5, NOW)
    assert entry.commands == offered


def test_find_when_there_are_more_agents_than_columns_were_made_for_then_all_are_found() -> None:
    index = DirectoryIndex()
    made = [AgentRow(f"A-{n:05d}", "", "", ("all", f"c{n % 7}"), ONLINE, None, None, NOW, ()) for n in range(1000)]
    for begin in range(0, 1000, 90):
        index.put(made[begin : begin + 90], NOW)
    assert len(index.find(["all"], [], [], only_online=True)) == 1000
    assert len(index.find(["all"], ["c1", "c2"], ["c2"], only_online=True)) == len(range(1, 1000, 7))
