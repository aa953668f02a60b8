"""What an orchestrator has to write: the entries of one transaction, and how they are taken apart if one is bad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resources.agents.members.registry import AgentState
from resources.agents.members.roster import Roster
from resources.agents.members.score import Score
from resources.agents.wire.message import Message

_LISTS = ("answers", "seen", "misses", "sent", "events", "done", "lapsed", "enough")
_DICTS = ("agents", "scores")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to be stored: `state` is the delivery's final state."""

    message_id: str
    correlation_id: str
    agent_id: str
    state: str
    payload: dict[str, Any]
    received_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class SeenId:
    """An id to be remembered until its deadline plus skew."""

    message_id: str
    content_hash: bytes
    keep_until: datetime


@dataclass(frozen=True, slots=True)
class Miss:
    """A delivery that has expired."""

    message_id: str
    agent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The broker has taken over one sending."""

    message_id: str
    agent_id: str
    at: datetime


@dataclass(slots=True)
class Entries:
    """What one transaction writes, and what is called after it."""

    answers: list[Answer] = field(default_factory=list)
    seen: list[SeenId] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    agents: dict[str, AgentState] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    roster: tuple[Roster, str] | None = None
    events: list[Message] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    lapsed: list[str] = field(default_factory=list)
    """Events that no broker has taken over before their deadline."""
    enough: list[str] = field(default_factory=list)
    """Messages that are done though targets are left: their good answers suffice."""
    after: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return any(getattr(self, name) for name in self.__slots__)

    def sendings(self) -> tuple[list[Sent], list[Sent]]:
        """Return the sendings that have their answer here, and the others."""
        answered = {(answer.correlation_id, answer.agent_id) for answer in self.answers}
        met: list[Sent] = []
        others: list[Sent] = []
        for sending in self.sent:
            (met if (sending.message_id, sending.agent_id) in answered else others).append(sending)
        return met, others

    def apart(self) -> list[Entries]:
        """Return each entry by itself, what ends a message after what was said of it; none if there is only one.

        What is called after them is left out: it is for whoever has written them all.
        """
        make: Callable[..., Entries] = Entries
        parts = [make(**{name: [item]}) for name in _LISTS for item in getattr(self, name)]
        parts += [make(**{name: {key: value}}) for name in _DICTS for key, value in getattr(self, name).items()]
        if self.roster is not None:
            parts.append(make(roster=self.roster))
        return parts if len(parts) > 1 else []
