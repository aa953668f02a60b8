"""What a schedule does with messages that are withdrawn, events, and tokens that grew old on their way."""

from __future__ import annotations

from datetime import UTC, datetime

from resources.agents.orchestration.schedule import Schedule
from resources.agents.record.outbox import BROKER
from resources.agents.wire.message import Formatter, Message
from resources.core.clock import ManualClock

CLOCK_START = datetime(2026, 11, 22, tzinfo=UTC)


def command(clock: ManualClock, **given: str) -> Message:
    return Formatter("GL-001", clock).command("x", {}, targets=["GL-002"], timeout_s=60, **given)  # type: ignore[arg-type]


def due(schedule: Schedule) -> list[tuple[str, tuple[str, ...]]]:
    return [(sending.message.message_id, sending.agents) for sending in schedule.take_due()]


def test_message_when_withdrawn_then_it_is_neither_due_nor_open_also_if_added_only_then() -> None:
    clock = ManualClock(CLOCK_START)
    schedule, first, second = Schedule(clock), command(clock), command(clock)
    schedule.add(first, {"GL-002": 0})
    schedule.withdraw(first.message_id)
    schedule.withdraw(second.message_id)
    schedule.add(second, {"GL-002": 0})
    assert due(schedule) == []
    assert not schedule.is_open(first.message_id, "GL-002")
    clock.advance(61)
    assert schedule.take_overdue() == []


def test_withdrawn_when_there_are_very_many_then_the_oldest_are_forgotten() -> None:
    clock = ManualClock(CLOCK_START)
    schedule, message = Schedule(clock), command(clock)
    schedule.withdraw(message.message_id)
    for number in range(10_000):
        schedule.withdraw(str(number))
    schedule.add(message, {"GL-002": 0})
    assert due(schedule) == [(message.message_id, ("GL-002",))]


def test_target_when_answered_or_overdue_then_nothing_has_to_reach_it_any_more() -> None:
    clock = ManualClock(CLOCK_START)
    schedule, message = Schedule(clock), command(clock)
    assert not schedule.is_open(message.message_id, "GL-002")
    schedule.add(message, {"GL-002": 0, "GL-003": 0})
    assert schedule.is_open(message.message_id, "GL-002")
    schedule.close(message.message_id, "GL-002")
    assert not schedule.is_open(message.message_id, "GL-002")
    assert schedule.is_open(message.message_id, "GL-003")
    clock.advance(60)
    assert not schedule.is_open(message.message_id, "GL-003")


def test_token_when_too_old_then_its_target_is_due_again_at_once_if_it_is_still_open() -> None:
    clock = ManualClock(CLOCK_START)
    schedule, message = Schedule(clock), command(clock)
    schedule.send_now(message.message_id, "GL-002")
    schedule.add(message, {"GL-002": 0})
    assert due(schedule) == [(message.message_id, ("GL-002",))]
    assert due(schedule) == []
    schedule.send_now(message.message_id, "GL-009")
    schedule.send_now(message.message_id, "GL-002")
    assert due(schedule) == [(message.message_id, ("GL-002",))]


def test_event_when_the_broker_has_it_then_it_is_done_and_critical_is_due_first() -> None:
    clock = ManualClock(CLOCK_START)
    schedule, low = Schedule(clock), command(clock, priority="low")
    event = Formatter("GL-001", clock).event("emergency", {}, timeout_s=60, priority="critical")
    schedule.add(low, {"GL-002": 0})
    schedule.add(event, {BROKER: 0})
    assert due(schedule) == [(event.message_id, (BROKER,)), (low.message_id, ("GL-002",))]
    assert schedule.close(event.message_id, BROKER).done
