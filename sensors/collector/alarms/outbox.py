"""The messages of alarms on their way: taken by the broker, answered by agents, or too late. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from resources.core.alarms import AlarmChange, State
from resources.core.clock import to_micros
from sensors.collector.alarms.figures import AlarmFigures
from sensors.collector.alarms.sender import CommandAnswer
from sensors.collector.alarms.store import Outgoing, Step

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    outgoing: Outgoing
    sent: bool
    awaited: set[str]
    noticed: float | None
    """Monotonic time at which the reading was there; None: in an earlier run."""
    taken: set[str] = field(default_factory=set)
    """Targets whose packet the broker has taken in this run; '' of an event."""
    refused: set[str] = field(default_factory=set)
    """Those whose packet it has refused, and not taken since."""

    def why_unanswered(self, agent: str) -> str:
        """Return why an agent has not answered until the deadline."""
        if agent in self.refused:
            return "refused by the broker until the deadline"
        if self.sent or agent in self.taken:
            return "no answer before the deadline"
        return "the broker was away until the deadline"


class AlarmOutbox:
    """What is not done with yet, in the order it was made; each method adds to a step what has to be durable."""

    def __init__(self, stored: Iterable[Outgoing], figures: AlarmFigures) -> None:
        """Begin with what an earlier run has left."""
        self._figures = figures
        self._waiting = {o.message.message_id: _Waiting(o, o.sent, set(o.awaited), None) for o in stored}

    def unsent(self) -> list[Outgoing]:
        """Return what the broker has not taken."""
        return [found.outgoing for found in self._waiting.values() if not found.sent]

    def is_open(self, message_id: str) -> bool:
        """Return whether a message still has to be sent; from any thread."""
        return message_id in self._waiting

    def add(self, outgoing: Outgoing, noticed: float, step: Step) -> None:
        """Take a new message."""
        step.outgoing.append(outgoing)
        self._waiting[outgoing.message.message_id] = _Waiting(outgoing, False, set(outgoing.awaited), noticed)

    def note_taken(self, message_id: str, target: str) -> None:
        """Note that the broker has taken a message for one of its targets."""
        found = self._waiting.get(message_id)
        if found is not None:
            found.taken.add(target)
            found.refused.discard(target)

    def note_refused(self, message_id: str, target: str) -> None:
        """Note that the broker does not take a message for one of its targets."""
        found = self._waiting.get(message_id)
        if found is None or target in found.refused:
            return
        found.refused.add(target)
        kind, rule = found.outgoing.message.message_type, found.outgoing.change.rule
        log.error("alarm_refused_by_broker", rule=rule, type=kind, target=target or None, message_id=message_id)

    def note_sent(self, message_id: str, mark: float, step: Step) -> None:
        """Note that the broker has taken a message for each of its targets."""
        found = self._waiting.get(message_id)
        if found is None or found.sent:
            return
        found.sent = True
        self._figures.sent[found.outgoing.message.message_type] += 1
        if found.noticed is not None:
            self._figures.latency.observe([mark - found.noticed])
        if found.awaited:
            step.sent.append(message_id)
        else:
            self._forget(message_id, step)

    def note_answer(self, answer: CommandAnswer, now: datetime, step: Step) -> None:
        """Note what an agent answered; a second answer, or one to nothing that is open, changes nothing."""
        found = self._waiting.get(answer.command_id)
        if found is None or answer.agent_id not in found.awaited:
            return
        found.awaited.discard(answer.agent_id)
        step.answered.append((answer.command_id, answer.agent_id))
        details = {"agent_id": answer.agent_id, "status": answer.status, "error": answer.error}
        step.changes.append(_of_command(found.outgoing, "answered", details, now))
        self._figures.answers[answer.status] += 1
        if not found.awaited:
            self._forget(answer.command_id, step)

    def give_up_overdue(self, now: datetime, step: Step) -> None:
        """Give up what is past its deadline, and say which agents have not answered."""
        for message_id, found in list(self._waiting.items()):
            if found.outgoing.message.deadline > now:
                continue
            if not found.sent:
                kind = found.outgoing.message.message_type
                self._figures.expired[kind] += 1
                why = "the broker refused it" if found.refused else "the broker was away"
                rule = found.outgoing.change.rule
                log.error("alarm_message_expired", rule=rule, type=kind, message_id=message_id, why=why)
            for agent in sorted(found.awaited):
                details = {"agent_id": agent, "error": found.why_unanswered(agent)}
                step.changes.append(_of_command(found.outgoing, "unanswered", details, now))
                self._figures.answers["unanswered"] += 1
            self._forget(message_id, step)

    def _forget(self, message_id: str, step: Step) -> None:
        del self._waiting[message_id]
        step.done.append(message_id)


def _of_command(outgoing: Outgoing, state: State, details: Mapping[str, str | None], now: datetime) -> AlarmChange:
    """Return what is to be recorded about one agent and the command it was sent."""
    now_us, command = to_micros(now), outgoing.message
    return replace(
        outgoing.change,
        state=state,
        at_us=now_us,
        noticed_us=now_us,
        message_id=command.message_id,
        details={**details, "command": command.payload["name"]},
    )
