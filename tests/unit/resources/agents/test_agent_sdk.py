"""The parts of the agent SDK that need no server: the queue of work, declared commands, subscriptions, the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.agents.sdk.executor import Jobs, PriorityExecutor
from resources.agents.sdk.offers import Call, CommandError, Offers
from resources.agents.sdk.subscriptions import Event, Subscriptions
from resources.agents.security.tokens import Received
from resources.agents.seen_store import SeenStore
from resources.agents.wire.message import Formatter, Message, Priority
from resources.agents.wire.refusals import RefusedError
from resources.core.clock import ManualClock
from resources.core.errors import ConfigError

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
MADE = Formatter("GL-001", ManualClock(NOW))


def received(message: Message, role: str = "orchestrator") -> Received:
    return Received(message, f"{message.source_agent}:1", role, NOW, message.deadline, message.content_hash())


class Blocked:
    """An executor of one thread whose thread is busy until it is let go."""

    def __init__(self) -> None:
        self.executor = PriorityExecutor(1)
        self.go = threading.Event()
        self.done: list[str] = []
        begun = threading.Event()

        def block() -> None:
            begun.set()
            self.go.wait()

        self.executor.submit("low", block)
        assert begun.wait(30)

    def noting(self, name: str) -> Callable[[], None]:
        return lambda: self.done.append(name)

    def end(self) -> list[str]:
        self.go.set()
        self.executor.shutdown()
        return self.done


def test_executor_when_work_waits_then_the_more_urgent_first_and_in_order_within() -> None:
    blocked = Blocked()
    order: list[Priority] = ["low", "normal", "high", "normal", "low", "high"]
    for number, priority in enumerate(order):
        blocked.executor.submit(priority, blocked.noting(f"{priority}{number}"))
    assert blocked.executor.waiting() == 6
    assert blocked.end() == ["high2", "high5", "normal1", "normal3", "low0", "low4"]


def test_executor_when_every_thread_is_busy_then_critical_work_is_done_at_once() -> None:
    blocked = Blocked()
    done = threading.Event()
    blocked.executor.submit("normal", blocked.noting("normal"))
    blocked.executor.submit("critical", done.set)
    assert done.wait(30)
    assert blocked.done == []
    assert blocked.end() == ["normal"]


def test_executor_when_work_fails_then_its_thread_goes_on_and_after_the_end_nothing_is_taken() -> None:
    blocked = Blocked()
    blocked.executor.submit("high", lambda: 1 / 0)
    blocked.executor.submit("low", blocked.noting("low"))
    assert blocked.end() == ["low"]
    with pytest.raises(RuntimeError, match="shut down"):
        blocked.executor.submit("low", lambda: None)
    PriorityExecutor(1).shutdown()


def test_jobs_when_left_then_what_has_not_begun_is_given_back_and_the_rest_is_waited_for() -> None:
    blocked = Blocked()
    mine, others = Jobs(blocked.executor), Jobs(blocked.executor)
    mine.submit("normal", blocked.noting("run"), blocked.noting("given back"))
    others.submit("normal", blocked.noting("another's"), lambda: None)
    assert not mine.leave(0.01)
    blocked.go.set()
    assert mine.leave(30)
    assert blocked.end() == ["given back", "another's"]


def test_jobs_when_the_executor_is_shut_down_then_an_error_and_nothing_to_wait_for() -> None:
    executor = PriorityExecutor(1)
    executor.shutdown()
    jobs = Jobs(executor)
    with pytest.raises(RuntimeError, match="shut down"):
        jobs.submit("normal", lambda: None, lambda: None)
    assert jobs.leave(0.0)


def test_offer_when_declared_wrongly_then_said_what() -> None:
    offers = Offers("GL-002")
    offers.declare("a", None, ("orchestrator",))(lambda _args, _call: None)
    for name, schema, roles, fault in (
        ("a", None, ("orchestrator",), "declared twice"),
        ("b", {"type": "no"}, ("orchestrator",), "not a JSON Schema"),
        ("c", None, ("king",), "no such role king"),
        ("", None, ("orchestrator",), "1 to 128"),
    ):
        with pytest.raises(ConfigError, match=fault):
            offers.declare(name, schema, roles)
    assert offers.to_wire() == [{"name": "a", "roles": ["orchestrator"], "schema": {"type": "object"}}]


def test_offer_when_run_then_what_the_handler_returns_or_raises_is_the_outcome() -> None:
    offers, calls = Offers("GL-002"), list[Call]()

    @offers.declare("do", {"type": "object", "properties": {"n": {"type": "integer"}}}, ("orchestrator",))
    def do(args: dict[str, Any], call: Call) -> Any:
        calls.append(call)
        match args.get("n"):
            case 1:
                raise CommandError("the valve is stuck")
            case 2:
                raise KeyError("secret")
            case 3:
                return object()
        return {"n": 0}

    found = [
        offers.run(received(MADE.query(name, {"n": n}, targets=["GL-002"], timeout_s=9, priority="high")))
        for name, n in (("do", 0), ("do", 1), ("do", 2), ("do", 3), ("do", "x"), ("other", 0))
    ]
    assert [(o.status, o.result, o.error) for o in found] == [
        ("ok", {"n": 0}, None),
        ("error", None, "the valve is stuck"),
        ("error", None, "KeyError in the handler of do"),
        ("error", None, "TypeError in the handler of do"),
        ("error", None, "args.n: 'x' is not of type 'integer'"),
        ("error", None, "GL-002 has no command other; it has do"),
    ]
    assert (calls[0].sender, calls[0].priority, calls[0].message_type) == ("GL-001", "high", "query")


@pytest.mark.parametrize(
    "payload", [None, [], {"name": "do"}, {"name": 1, "args": {}}, {"name": "x" * 129, "args": {}}]
)
def test_command_when_it_has_not_its_form_then_refused(payload: Any) -> None:
    message = MADE.command("do", {}, targets=["GL-002"], timeout_s=9).model_copy(update={"payload": payload})
    with pytest.raises(RefusedError, match="name and args"):
        Offers("GL-002").refuse_unallowed(received(message))


def test_event_when_several_listen_then_each_is_called_whose_schema_it_fits_also_after_one_failed() -> None:
    subscriptions, heard = Subscriptions("GL-002"), list[tuple[str, Any, Event]]()

    @subscriptions.declare("emergency", None)
    def fails(_payload: Any, _event: Event) -> None:
        raise RuntimeError("a fault of the embedding program")

    for name, schema in (("any", None), ("text", {"type": "string"}), ("number", {"type": "number"})):
        subscriptions.declare("emergency", schema)(lambda p, e, name=name: heard.append((name, p, e)))  # type: ignore[misc]
    event = MADE.event("emergency", "fire", timeout_s=9, priority="critical")
    subscriptions.refuse_unfit(received(event, "alarm"))
    subscriptions.run(received(event, "alarm"))
    assert [(name, payload) for name, payload, _ in heard] == [("any", "fire"), ("text", "fire")]
    told = heard[0][2]
    assert (told.topic, told.sender, told.role, told.priority) == ("emergency", "GL-001", "alarm", "critical")
    assert subscriptions.topics == ["emergency"]


def test_event_when_nobody_listens_or_it_fits_no_schema_then_refused() -> None:
    subscriptions = Subscriptions("GL-002")
    subscriptions.declare("emergency", {"type": "object"})(lambda _payload, _event: None)
    for topic, reason in (("system_status", "not_subscribed"), ("emergency", "malformed")):
        with pytest.raises(RefusedError) as refused:
            subscriptions.refuse_unfit(received(MADE.event(topic, 1, timeout_s=9)))
        assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("topic", "schema", "fault"),
    [("#", None, "wildcards"), ("a/b", None, "wildcards"), ("a", {"type": "no"}, "not a JSON Schema")],
)
def test_subscription_when_declared_wrongly_then_said_what(topic: str, schema: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Subscriptions("GL-002").declare(topic, schema)


def test_store_when_opened_again_then_it_knows_events_done_ids_forgotten_and_events_to_be_sent(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    store = SeenStore(tmp_path / "s.sqlite", clock)
    done, open_, forgotten, out, gone = (MADE.event("emergency", n, timeout_s=60) for n in range(5))
    for event in (done, open_, forgotten):
        store.begin("GL-002", event, event.content_hash(), lambda: None)
    store.finish_unanswered("GL-002", done.message_id)
    store.forget("GL-002", forgotten.message_id)
    for event in (out, gone):
        store.keep_outgoing("GL-002", event)
    store.drop_outgoing("GL-002", gone.message_id)
    store.close()
    again = SeenStore(tmp_path / "s.sqlite", clock)
    seen = again.find("GL-002", done.message_id)
    assert seen is not None
    assert (seen.response, seen.finished) == (None, True)
    assert [s.command for s in again.unfinished("GL-002")] == [open_]
    assert again.find("GL-002", forgotten.message_id) is None
    assert again.outgoing("GL-002") == [out]
    assert again.outgoing("GL-003") == []
    again.close()


def test_store_when_ids_are_past_their_time_then_forgotten_and_what_is_open_is_kept(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    store = SeenStore(tmp_path / "s.sqlite", clock)
    done, open_, later = (MADE.event("emergency", n, timeout_s=60) for n in range(3))
    for event in (done, open_):
        store.begin("GL-002", event, event.content_hash(), lambda: None)
    store.finish_unanswered("GL-002", done.message_id)
    clock.advance(120)
    store.begin("GL-002", later, later.content_hash(), lambda: None)
    assert store.find("GL-002", done.message_id) is None
    assert store.find("GL-002", open_.message_id) is not None
    store.close()
