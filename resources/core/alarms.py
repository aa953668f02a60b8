"""What becomes of an alarm, in one form for the collector that raises it and the database that records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from resources.core.events import SourceEvent

_SEVERITIES = {"critical": 1000, "high": 800, "normal": 500, "low": 200}
_OVER = 100

State = Literal["raised", "cleared", "answered", "unanswered"]


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One step in the life of an alarm."""

    rule: str
    sensor_id: str
    source: str
    unit: str
    state: State
    """`answered` and `unanswered` tell of the command, one for each agent."""
    raised_us: int
    """Source time of the reading that raised it: with rule and sensor_id, what the alarm is known by."""
    at_us: int
    """When this step was; of `raised` and `cleared`, the source time of the reading that decided."""
    began_us: int
    """Source time since when the value was beyond the limit."""
    value: float | None
    """The value that decided; None where none did: the rule was taken out of the configuration."""
    threshold: float
    direction: str
    priority: str
    text: str
    """What the rule says to people."""
    message_id: str
    """Of the event that says so; of `answered` and `unanswered`, of the command."""
    noticed_us: int
    """When the collector noticed it, by its own clock."""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> AlarmChange:
        """Return what `to_json` gave."""
        return cls(**orjson.loads(text))

    @property
    def answerer(self) -> str | None:
        """The agent that a step of the command is about; None: it is none."""
        return self.details.get("agent_id")

    def as_event(self) -> SourceEvent:
        """Return it as an event of the source that its sensor belongs to; the alarm is a condition of that source."""
        of_command = self.answerer is not None
        return SourceEvent(
            source=self.source,
            time_us=self.at_us,
            received_us=self.noticed_us,
            event_type=f"alarm_command_{self.state}" if of_command else f"alarm_{self.state}",
            message=self.sentence,
            severity=_SEVERITIES[self.priority] if self.state in {"raised", "unanswered"} else _OVER,
            event_id=f"{self.message_id}/{self.answerer}" if of_command else self.message_id,
            sensor_id=self.sensor_id,
            condition_id=None if of_command else f"{self.rule}/{self.sensor_id}",
            condition_name=self.rule,
            active=None if of_command else self.state == "raised",
            details={
                **self.details,
                "value": self.value,
                "unit": self.unit,
                "threshold": self.threshold,
                "direction": self.direction,
                "priority": self.priority,
            },
        )

    @property
    def sentence(self) -> str:
        """It in words."""
        if self.answerer is not None:
            came = self.details.get("status") or "no answer"
            why = f": {self.details['error']}" if self.details.get("error") else ""
            return f"{self.rule}: command {self.details.get('command')} at {self.answerer}: {came}{why}"
        value = "" if self.value is None else f" is {self.value:g} {self.unit},"
        said = f": {self.text}" if self.text else ""
        limit = f"limit {self.threshold:g} {self.unit}"
        return f"{self.rule} {self.state}: {self.sensor_id}{value} {limit}{said}"
