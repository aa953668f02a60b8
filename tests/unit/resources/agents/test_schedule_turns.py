"""The schedule of a message that is let go in turns: what is sent when, what an answer means, what was never sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from resources.agents.orchestration.schedule import Closed, Schedule
from resources.agents.record.release import Release
from resources.agents.wire.message import Formatter, Message
from resources.core.clock import ManualClock

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
A, B, C = "GL-002", "GL-003", "GL-004"


def scheduled(release: Release, **more: Any) -> tuple[Schedule, Message, ManualClock]:
    clock = ManualClock(NOW)
    schedule = Schedule(clock)
    message = Formatter("GL-001", clock).command("x", {}, targets=[A, B, C], timeout_s=10)
    schedule.add(message, more.pop("attempts", dict.fromkeys(message.target_agents, 0)), release=release, **more)
    return schedule, message, clock


def due(schedule: Schedule) -> list[str]:
    return [agent for sending in schedule.take_due() for agent in sending.agents]


def test_schedule_when_bounded_then_the_next_is_due_when_one_has_answered() -> None:
    schedule, message, _clock = scheduled(Release(concurrency=2))
    assert due(schedule) == [A, B]
    assert due(schedule) == []
    assert schedule.close(message.message_id, B) == Closed(frees=True)
    assert schedule.pause_s(60) == 0
    assert due(schedule) == [C]
    assert schedule.close(message.message_id, A) == Closed()
    assert schedule.close(message.message_id, C) == Closed(done=True)
    assert schedule.close(message.message_id, C) == Closed()


def test_schedule_when_enough_are_good_then_done_and_the_others_are_not_awaited() -> None:
    schedule, message, _clock = scheduled(Release(needed=1))
    assert due(schedule) == [A, B, C]
    assert schedule.close(message.message_id, A, good=False) == Closed()
    assert schedule.close(message.message_id, B, good=True) == Closed(done=True, not_awaited=(C,))
    assert not schedule.knows(message.message_id)


def test_schedule_when_an_agent_returns_before_its_turn_then_it_waits_for_it() -> None:
    schedule, _message, clock = scheduled(Release(concurrency=1, patience_s=4, retries=0))
    assert due(schedule) == [A]
    schedule.agent_returned(B)
    assert due(schedule) == []
    schedule.agent_returned(A)
    assert due(schedule) == [A]
    assert schedule.pause_s(60) == 4
    clock.advance(4)
    assert due(schedule) == [B]


def test_schedule_when_the_deadline_comes_then_it_tells_who_was_never_sent_it() -> None:
    schedule, message, clock = scheduled(Release(concurrency=2))
    assert due(schedule) == [A, B]
    # B still waits for the broker, or for the pace
    schedule.note_sent(message.message_id, A)
    clock.advance(10)
    assert due(schedule) == []
    (overdue,) = schedule.take_overdue()
    assert overdue.agents == (A, B, C)
    assert overdue.sent == {A}
    schedule.note_sent(message.message_id, B)


def test_schedule_when_another_orchestrator_had_sent_it_then_that_counts() -> None:
    schedule, _message, clock = scheduled(Release(), attempts={A: 1, B: 0})
    clock.advance(10)
    (overdue,) = schedule.take_overdue()
    assert overdue.sent == {A}


def test_schedule_when_another_orchestrator_goes_on_then_the_sent_are_sent_again_and_the_turns_kept() -> None:
    schedule, message, _clock = scheduled(Release(concurrency=1, needed=2), attempts={B: 1, C: 0}, good=1)
    assert due(schedule) == [B]
    assert schedule.close(message.message_id, B) == Closed(done=True, not_awaited=(C,))


def test_schedule_when_one_agent_answers_twice_then_it_counts_once() -> None:
    schedule, message, _clock = scheduled(Release(needed=2))
    assert due(schedule) == [A, B, C]
    assert schedule.close(message.message_id, A) == Closed()
    assert schedule.close(message.message_id, A) == Closed()
    assert schedule.close(message.message_id, B) == Closed(done=True, not_awaited=(C,))
