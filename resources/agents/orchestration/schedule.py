"""When what is open has to be sent: at once, again after `expired`, again when its agent returns. No I/O."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from threading import RLock

from resources.agents.record.release import Release, Turns
from resources.agents.wire.message import URGENCY, Message
from resources.core.clock import Clock

_FIRST_AGAIN_S = 1.0
_LONGEST_AGAIN_S = 60.0
_MOST_WITHDRAWN = 10_000


@dataclass(slots=True)
class _Waiting:
    attempts: int
    """How often it was handed to the bus, where it may still wait."""
    due: float | None
    """Monotonic time of the next sending; None: sent, waiting for an answer."""
    sent: float | None = None
    """Monotonic time of the last sending; None: never by this process."""
    taken: bool = False
    """Whether the broker has taken it over at least once."""


@dataclass(slots=True)
class _OpenMessage:
    message: Message
    deadline: datetime
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    turns: Turns | None = None
    """Who may have it now; None: everyone."""
    soonest: float = math.inf
    """No target is due before this: a message that waits for answers is not looked through at every turn."""

    def make_due(self, target: str, at: float) -> None:
        """Have a target sent the message at `at`."""
        self.waiting[target].due = at
        self.soonest = min(self.soonest, at)

    def take_due(self, now: float) -> tuple[str, ...]:
        """Return the targets that are due, and count them as handed over."""
        for target in self.turns.take(now) if self.turns is not None else ():
            self.make_due(target, now)
        if self.soonest > now:
            return ()
        due = tuple(
            target for target, waiting in self.waiting.items() if waiting.due is not None and waiting.due <= now
        )
        for target in due:
            waiting = self.waiting[target]
            waiting.due, waiting.sent = None, now
            waiting.attempts += 1
            if self.turns is not None:
                self.turns.sent(target, now)
        self.soonest = min(
            (waiting.due for waiting in self.waiting.values() if waiting.due is not None), default=math.inf
        )
        return due

    def holds(self, agent_id: str) -> bool:
        """Return whether an agent's turn has not come yet."""
        return self.turns is not None and self.turns.holds(agent_id)


@dataclass(frozen=True, slots=True)
class Sending:
    """One message to be signed now, for these agents."""

    message: Message
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """One message whose deadline has passed: who has not answered, and for whom of them the broker has taken it."""

    message: Message
    agents: tuple[str, ...]
    sent: frozenset[str]


@dataclass(frozen=True, slots=True)
class Closed:
    """What an answer means for the other targets of its message."""

    done: bool = False
    """Nobody is waited for any more."""
    not_awaited: tuple[str, ...] = ()
    """Targets without an answer that are not needed any more."""
    frees: bool = False
    """The next target's turn may have come."""


class Schedule:
    """The open messages of the orchestrator, in memory; safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Begin empty."""
        self._clock = clock
        self._lock = RLock()
        self._open: dict[str, _OpenMessage] = {}
        self._withdrawn: OrderedDict[str, None] = OrderedDict()

    def add(self, message: Message, attempts: dict[str, int], *, release: Release | None = None, good: int = 0) -> None:
        """Have `message` sent to the agents in `attempts`; a message that is known stays as it is.

        Args:
            message: What is to be sent.
            attempts: Its open targets in their order, and how often the broker has taken it for each already.
            release: How it is let go to them; None: to all now.
            good: Good answers that are there already.
        """
        now = self._clock.monotonic()
        with self._lock:
            if message.message_id not in self._open and message.message_id not in self._withdrawn:
                turns = None if release is None else Turns(release, attempts, good)
                found = _OpenMessage(message, message.deadline, turns=turns)
                found.waiting = {
                    a: _Waiting(n, None if found.holds(a) else now, taken=n > 0) for a, n in attempts.items()
                }
                found.soonest = now
                self._open[message.message_id] = found

    def knows(self, message_id: str) -> bool:
        """Return whether a message is open here."""
        with self._lock:
            return message_id in self._open

    def open_ids(self) -> set[str]:
        """Return the ids of the messages that are open here."""
        with self._lock:
            return set(self._open)

    def close(self, message_id: str, agent_id: str, *, good: bool = True) -> Closed:
        """Forget one target of a message, which has answered; return what that means for the others.

        Only its first answer means anything: one agent is one voice of a quorum.
        """
        with self._lock:
            found = self._open.get(message_id)
            if found is None or found.waiting.pop(agent_id, None) is None:
                return Closed()
            if found.turns is not None:
                found.turns.closed(agent_id, good=good)
            enough = found.turns is not None and found.turns.enough
            if found.waiting and not enough:
                return Closed(frees=found.turns is not None and found.turns.holds_any)
            del self._open[message_id]
            return Closed(done=True, not_awaited=tuple(found.waiting))

    def withdraw(self, message_id: str) -> None:
        """Forget a message: nothing more is sent of it, also if it is added only now by whoever accepted it."""
        with self._lock:
            self._open.pop(message_id, None)
            self._withdrawn[message_id] = None
            while len(self._withdrawn) > _MOST_WITHDRAWN:
                self._withdrawn.popitem(last=False)

    def note_sent(self, message_id: str, target: str) -> None:
        """Note that the broker has taken over a message for a target: from here on its silence is its own."""
        with self._lock:
            found = self._open.get(message_id)
            if found is not None and target in found.waiting:
                found.waiting[target].taken = True

    def is_open(self, message_id: str, target: str) -> bool:
        """Return whether a message still has to reach a target, and still can in time."""
        with self._lock:
            found = self._open.get(message_id)
            return found is not None and target in found.waiting and self._clock.now() < found.deadline

    def send_now(self, message_id: str, target: str) -> None:
        """Have a message sent to a target now, once more: what was to go has grown too old on its way."""
        with self._lock:
            found = self._open.get(message_id)
            if found is not None and target in found.waiting:
                found.make_due(target, self._clock.monotonic())

    def latency_ms(self, message_id: str, agent_id: str) -> float | None:
        """Return how long ago a message was last sent to a target that has not answered; None if there is none such."""
        with self._lock:
            found = self._open.get(message_id)
            waiting = found.waiting.get(agent_id) if found is not None else None
            if waiting is None or waiting.sent is None:
                return None
            return (self._clock.monotonic() - waiting.sent) * 1000

    def send_again(self, message_id: str, agent_id: str) -> None:
        """Have a message sent again to an agent that found it expired: later each time, 1 s to 60 s, with jitter."""
        with self._lock:
            found = self._open.get(message_id)
            waiting = found.waiting.get(agent_id) if found is not None else None
            if found is not None and waiting is not None and waiting.due is None:
                pause = min(_LONGEST_AGAIN_S, _FIRST_AGAIN_S * 2 ** min(waiting.attempts - 1, 10))
                found.make_due(agent_id, self._clock.monotonic() + random.uniform(pause / 2, pause))

    def agent_returned(self, agent_id: str) -> None:
        """Have everything open for an agent sent again now: it is connected anew."""
        now = self._clock.monotonic()
        with self._lock:
            for found in self._open.values():
                if agent_id in found.waiting and not found.holds(agent_id):
                    found.make_due(agent_id, now)

    def everyone_returned(self) -> None:
        """Have everything open sent again now: the broker may have lost commands and answers that it had."""
        now = self._clock.monotonic()
        with self._lock:
            for found in self._open.values():
                for target, waiting in found.waiting.items():
                    if waiting.attempts and not found.holds(target):
                        found.make_due(target, now)

    def take_due(self) -> list[Sending]:
        """Return what is to be sent now, critical first, and count it as handed over."""
        now, wall = self._clock.monotonic(), self._clock.now()
        found = []
        with self._lock:
            for open_message in self._open.values():
                if open_message.deadline <= wall:
                    continue
                due = open_message.take_due(now)
                if due:
                    found.append(Sending(open_message.message, due))
        return sorted(found, key=lambda sending: URGENCY[sending.message.priority])

    def take_overdue(self) -> list[Overdue]:
        """Return, and forget, the targets whose deadline has passed without an answer."""
        wall = self._clock.now()
        with self._lock:
            overdue = [m for m in self._open.values() if m.deadline <= wall]
            for open_message in overdue:
                del self._open[open_message.message.message_id]
        return [
            Overdue(
                m.message,
                tuple(m.waiting),
                frozenset(agent for agent, waiting in m.waiting.items() if waiting.taken),
            )
            for m in overdue
        ]

    def pause_s(self, longest: float) -> float:
        """Return how long nothing will become due, at most `longest`."""
        now, wall = self._clock.monotonic(), self._clock.now()
        pause = longest
        with self._lock:
            for found in self._open.values():
                pause = min(pause, (found.deadline - wall).total_seconds(), found.soonest - now)
                turn_at = None if found.turns is None else found.turns.due_at(now)
                pause = pause if turn_at is None else min(pause, turn_at - now)
        return max(0.0, pause)
