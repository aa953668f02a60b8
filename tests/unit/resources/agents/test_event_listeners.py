"""Subscribers in the process: several to a topic, urgent first, none harmed by another."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from resources.agents.orchestration import event_listeners
from resources.agents.orchestration.event_listeners import EventListeners, HeardEvent
from resources.agents.wire.message import Priority

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def event(name: str, priority: Priority = "normal", topic: str = "emergency") -> HeardEvent:
    return HeardEvent(topic, {}, "GL-002", "agent", priority, name, None, NOW, NOW)


class Slow:
    """A subscriber that holds the first event until it is let go on."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, told: HeardEvent) -> None:
        self.heard.append(told.message_id)
        self.entered.set()
        assert self.go_on.wait(30)


def test_listeners_when_two_share_a_topic_and_one_raises_then_both_hear_everything() -> None:
    listeners, first, second = EventListeners(), [], []

    def raising(told: HeardEvent) -> None:
        first.append(told.message_id)
        raise ValueError("no")

    listeners.subscribe("emergency", raising)
    listeners.subscribe("emergency", lambda told: second.append(told.message_id))
    listeners.tell(event("a"))
    listeners.tell(event("b"))
    listeners.tell(event("elsewhere", topic="system_status"))
    listeners.close()
    assert (first, second) == (["a", "b"], ["a", "b"])


def test_listeners_when_a_subscriber_is_slow_then_a_critical_event_overtakes_those_that_wait() -> None:
    listeners, slow = EventListeners(), Slow()
    listeners.subscribe("emergency", slow)
    listeners.tell(event("first", "low"))
    assert slow.entered.wait(30)
    for name, priority in (("low", "low"), ("normal", "normal"), ("critical", "critical")):
        listeners.tell(event(name, priority))  # type: ignore[arg-type]
    slow.go_on.set()
    listeners.close()
    assert slow.heard == ["first", "critical", "normal", "low"]


def test_listeners_when_one_has_unsubscribed_then_it_hears_nothing_more() -> None:
    listeners, heard = EventListeners(), []
    end = listeners.subscribe("emergency", lambda told: heard.append(told.message_id))
    end()
    end()
    listeners.tell(event("a"))
    listeners.close()
    assert heard == []


def test_listeners_when_too_many_wait_then_the_least_urgent_is_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_listeners, "MOST_WAITING", 2)
    listeners, slow = EventListeners(), Slow()
    listeners.subscribe("emergency", slow)
    listeners.tell(event("first"))
    assert slow.entered.wait(30)
    for name, priority in (("a", "normal"), ("b", "low"), ("c", "high"), ("d", "critical")):
        listeners.tell(event(name, priority))  # type: ignore[arg-type]
    slow.go_on.set()
    listeners.close()
    assert slow.heard == ["first", "d", "c"]
    assert listeners.left_out() == {"emergency": 2}
