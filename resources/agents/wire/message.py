"""A message between agents: its fields, its content hash, and the formatter that makes new ones.

Wire form: the claim `msg` of a signed token (`tokens.py`). Nothing here knows keys, brokers or databases.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired, TypedDict, Unpack, get_args

import uuid_utils
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, field_validator

from resources.agents.wire.canonical import canonical
from resources.core.clock import Clock

AGENT_ID_PATTERN = r"^[A-Za-z0-9_.\-]{1,64}$"
"""What an agent id, and every other id that becomes part of a topic, looks like."""

UUID7_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""A UUIDv7 as it is written here: lower case, with hyphens."""

LONGEST_TIMEOUT_S = 604_800
"""Longest timeout_seconds: seven days, as long as a broker keeps a session."""

MessageType = Literal["command", "query", "event", "response", "heartbeat"]
Priority = Literal["low", "normal", "high", "critical"]
AgentId = Annotated[str, Field(pattern=AGENT_ID_PATTERN)]
Role = Literal["orchestrator", "agent", "alarm", "observer"]
ResponseStatus = Literal["ok", "error", "expired", "in_doubt"]
ROLES: tuple[str, ...] = get_args(Role)
"""Roles a key can have."""

PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")
"""Most urgent first: the order of every queue."""

URGENCY: Mapping[Priority, int] = {priority: rank for rank, priority in enumerate(PRIORITIES)}
"""Priority -> its rank in a queue, 0 for the most urgent."""

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def new_id() -> str:
    """Return a new UUIDv7; later ones of one process are greater."""
    return str(uuid_utils.uuid7())


def rfc3339(instant: datetime) -> str:
    """Return an aware instant as `2026-11-22T10:15:00.000000Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """Return the aware UTC instant of RFC 3339 `text`.

    Raises:
        ValueError: The text is not RFC 3339, or names no instant.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("timestamp is not RFC 3339 with Z or an offset")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("timestamp is before the year 1 or after the year 9999 in UTC") from error


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class CommandPayload(_Strict):
    """Payload of a command or query."""

    name: str = Field(min_length=1, max_length=128)
    args: dict[str, Any]


class ResponsePayload(_Strict):
    """Payload of a response."""

    status: ResponseStatus
    result: Any = None
    error: Any = None


class CommandOffer(_Strict):
    """One command an agent declares: who may send it and what arguments it takes (JSON Schema)."""

    name: str = Field(min_length=1, max_length=128)
    roles: list[Role] = ["orchestrator"]
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")


class HeartbeatPayload(_Strict):
    """Payload of a heartbeat."""

    status: str = Field(min_length=1, max_length=64)
    agent_name: str = Field(max_length=256)
    agent_type: str = Field(max_length=256)
    capabilities: list[str]
    commands: list[CommandOffer]


class Message(_Strict):
    """One message; immutable. `timestamp` stays the text that was signed, because the content hash is over it."""

    message_id: str = Field(pattern=UUID7_PATTERN)
    source_agent: AgentId
    target_agents: list[AgentId]
    message_type: MessageType
    priority: Priority
    payload: Any
    timestamp: str
    timeout_seconds: StrictInt | StrictFloat
    correlation_id: str | None = Field(None, pattern=UUID7_PATTERN)
    topic: str | None = Field(None, pattern=AGENT_ID_PATTERN)
    session_id: str | None = Field(None, pattern=UUID7_PATTERN)

    @field_validator("timestamp")
    @classmethod
    def _is_rfc3339(cls, value: str) -> str:
        parse_rfc3339(value)
        return value

    @field_validator("timeout_seconds")
    @classmethod
    def _is_in_range(cls, value: float) -> float:
        if not 0 < value <= LONGEST_TIMEOUT_S:
            raise ValueError(f"timeout_seconds must be above 0 and at most {LONGEST_TIMEOUT_S}")
        return value

    @property
    def sent_at(self) -> datetime:
        """The timestamp as an instant, UTC."""
        return parse_rfc3339(self.timestamp)

    @property
    def deadline(self) -> datetime:
        """Timestamp plus timeout_seconds, UTC."""
        return self.sent_at + timedelta(seconds=float(self.timeout_seconds))

    def content_hash(self) -> bytes:
        """Return SHA-256 of RFC 8785 over [source_agent, message_type, payload, timestamp, timeout_seconds].

        Raises:
            rfc8785.CanonicalizationError: The payload has no canonical form (a lone surrogate, for one).
        """
        content = [self.source_agent, self.message_type, self.payload, self.timestamp, self.timeout_seconds]
        return hashlib.sha256(canonical(content)).digest()

    def to_wire(self) -> dict[str, Any]:
        """Return the claim `msg`; absent fields are left out."""
        return self.model_dump(exclude_none=True)


class Asked(TypedDict):
    """What is said of a command, query or event beside its content."""

    targets: Sequence[str]
    timeout_s: float
    priority: NotRequired[Priority]
    """normal if absent."""
    message_id: NotRequired[str | None]
    """A new one if absent."""


class Formatter:
    """Makes the messages of one sender: ids, timestamps and correlation are its concern, signing is not."""

    def __init__(self, source_agent: str, clock: Clock) -> None:
        """Write as `source_agent`."""
        self._source = source_agent
        self._clock = clock

    def command(self, name: str, args: dict[str, Any], **asked: Unpack[Asked]) -> Message:
        """Return a command to its targets."""
        return self._asked("command", {"name": name, "args": args}, **asked)

    def query(self, name: str, args: dict[str, Any], **asked: Unpack[Asked]) -> Message:
        """Return a query to its targets: on the wire a command that says of itself that it changes nothing."""
        return self._asked("query", {"name": name, "args": args}, **asked)

    def event(
        self,
        topic: str,
        payload: Any,
        *,
        timeout_s: float,
        priority: Priority = "normal",
        correlation_id: str | None = None,
        message_id: str | None = None,
    ) -> Message:
        """Return an event on `topic`: for whoever has subscribed to it, so it names no targets."""
        asked = self._asked("event", payload, targets=(), timeout_s=timeout_s, priority=priority, message_id=message_id)
        return Message.model_validate({**asked.to_wire(), "topic": topic, "correlation_id": correlation_id})

    def response(
        self, command: Message, status: ResponseStatus, *, result: Any = None, error: str | None = None
    ) -> Message:
        """Return the answer to `command`; valid 300 s beyond the command's deadline, so that it can be sent again."""
        now = self._clock.now()
        left = (command.deadline - now).total_seconds()
        return Message(
            message_id=new_id(),
            source_agent=self._source,
            target_agents=[command.source_agent],
            message_type="response",
            priority=command.priority,
            payload={"status": status, "result": result, "error": error},
            timestamp=rfc3339(now),
            timeout_seconds=_plain(round(min(max(left, 0.0) + 300.0, LONGEST_TIMEOUT_S), 3)),
            correlation_id=command.message_id,
        )

    def heartbeat(self, payload: dict[str, Any], *, session_id: str, orchestrator_id: str = "GL-001") -> Message:
        """Return a heartbeat of one connection."""
        return Message(
            message_id=new_id(),
            source_agent=self._source,
            target_agents=[orchestrator_id],
            message_type="heartbeat",
            priority="normal",
            payload=payload,
            timestamp=rfc3339(self._clock.now()),
            timeout_seconds=90,
            session_id=session_id,
        )

    def _asked(self, message_type: MessageType, payload: Any, **asked: Unpack[Asked]) -> Message:
        # milliseconds: the database keeps the deadline as an instant, from which the timeout is read back exactly
        return Message(
            message_id=asked.get("message_id") or new_id(),
            source_agent=self._source,
            target_agents=list(asked["targets"]),
            message_type=message_type,
            priority=asked.get("priority", "normal"),
            payload=payload,
            timestamp=rfc3339(self._clock.now()),
            timeout_seconds=_plain(round(asked["timeout_s"], 3)),
        )


def _plain(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds
