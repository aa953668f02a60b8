from datetime import UTC, datetime, timedelta

import pytest

from sensors.triggers.planning import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MOST_IN_A_RUN,
    Attempt,
    Situation,
    dump_memory,
    load_memory,
    plan,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def situation(due, *, busy=(), backlog_runs=0, now=None, live_since=None) -> Situation:
    return Situation(due, set(busy), backlog_runs, now or at(120), MINUTE, live_since or at(0))


def ranges(found):
    return [(ask.first_key[-5:], ask.last_key[-5:], ask.attempt) for ask in found.asks]


def test_plan_when_neighbours_are_due_then_they_become_one_range():
    found = plan(situation({at(1): 1, at(2): 1, at(4): 1}), {})
    assert ranges(found) == [("12:04", "12:04", 1), ("12:01", "12:02", 1)]


def test_plan_when_a_window_is_being_worked_on_then_it_is_not_asked_for():
    found = plan(situation({at(1): 1, at(2): 1, at(3): 1}, busy=[at(2)]), {})
    assert ranges(found) == [("12:03", "12:03", 1), ("12:01", "12:01", 1)]


def test_plan_when_the_backlog_is_long_then_ranges_are_limited_and_only_the_newest_one_is_asked_for():
    due = {at(minute): 1 for minute in range(300)}
    found = plan(situation(due, live_since=at(299), now=at(300)), {})
    assert [len(ask.starts) for ask in found.asks] == [1, MOST_IN_A_RUN]
    assert found.asks[0].live
    assert found.asks[1].starts[-1] == at(298)


def test_plan_when_a_backlog_run_is_active_then_only_live_windows_are_asked_for():
    found = plan(situation({at(1): 1, at(100): 1}, live_since=at(100), backlog_runs=1), {})
    assert ranges(found) == [("13:40", "13:40", 1)]


def test_plan_when_an_attempt_failed_then_it_pauses_and_comes_back_with_the_next_number():
    first = plan(situation({at(1): 1}), {})
    failed = plan(situation({at(1): 1}, now=at(121)), first.memory)
    assert failed.asks == []
    assert failed.next_at == at(121) + FIRST_PAUSE
    again = plan(situation({at(1): 1}, now=at(121) + FIRST_PAUSE), failed.memory)
    assert ranges(again) == [("12:01", "12:01", 2)]


def test_plan_when_a_run_is_still_active_then_its_attempt_has_not_failed():
    first = plan(situation({at(1): 1}), {})
    active = plan(situation({at(1): 1}, busy=[at(1)], now=at(125)), first.memory)
    assert active.memory[at(1)].failed_at is None
    assert active.next_at is None


def test_plan_when_a_newer_revision_closes_then_attempts_count_anew():
    memory = {at(1): Attempt(1, 5, at(119))}
    assert ranges(plan(situation({at(1): 2}), memory)) == [("12:01", "12:01", 1)]


def test_plan_when_a_window_is_stored_then_it_is_forgotten():
    assert plan(situation({}), {at(1): Attempt(1, 5, at(119))}).memory == {}


def test_plan_when_attempts_differ_then_they_are_not_put_into_one_run():
    memory = {at(1): Attempt(1, 1, at(0))}
    assert ranges(plan(situation({at(1): 1, at(2): 1}), memory)) == [("12:02", "12:02", 1), ("12:01", "12:01", 2)]


def test_plan_when_the_pauses_reach_ten_minutes_then_the_alarm_is_raised_and_attempts_go_on():
    memory, now, alarms, pauses = {}, at(0), [], []
    for _ in range(12):
        asked = plan(situation({at(1): 1}, now=now), memory)
        assert len(asked.asks) == 1
        failed = plan(situation({at(1): 1}, now=now), asked.memory)
        alarms.append(len(failed.alarms))
        pauses.append(failed.next_at - now)
        memory, now = failed.memory, failed.next_at
    assert sum(alarms) == 1
    assert pauses[:3] == [timedelta(seconds=s) for s in (10, 20, 40)]
    assert pauses[-1] == LONGEST_PAUSE
    assert alarms.index(1) == pauses.index(LONGEST_PAUSE)


def test_run_key_when_made_then_it_names_range_revision_and_attempt():
    (ask,) = plan(situation({at(1): 2, at(2): 3}), {}).asks
    assert ask.run_key("windows") == "windows/2026-11-22T12:01/2026-11-22T12:02/r3/a1"


def test_memory_when_written_and_read_then_it_is_the_same():
    memory = {at(1): Attempt(1, 2, at(3)), at(2): Attempt(4, 1)}
    assert load_memory(dump_memory(memory)) == memory


@pytest.mark.parametrize("cursor", [None, "", "{", "[1]", '{"x": 1}', '{"2026-11-22T12:01": ["a", 1, null]}'])
def test_load_memory_when_the_cursor_is_unreadable_then_it_is_empty(cursor):
    assert load_memory(cursor) == {}
