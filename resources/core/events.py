"""What a source tells beside its readings: alarms, conditions and other events, in one form for every protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

WARNING_FROM, ERROR_FROM = 334, 667
"""Bands of a severity from 1 to 1000: info, warning, error. Source: OPC 10000-5, 6.4.2 (low, medium, high)."""


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """One event; what a source did not tell is None."""

    source: str
    time_us: int
    """When it happened, microseconds since 1970 UTC, by the source's clock."""
    received_us: int
    """When we received it."""
    event_type: str
    message: str
    severity: int
    """1 to 1000."""
    event_id: str | None = None
    """The source's own id of this event, as text."""
    source_node: str | None = None
    source_name: str | None = None
    sensor_id: str | None = None
    """The tag that it is about, where that can be told."""
    condition_id: str | None = None
    """The condition whose state it tells; None: it is no condition."""
    condition_name: str | None = None
    branch_id: str | None = None
    active: bool | None = None
    acked: bool | None = None
    confirmed: bool | None = None
    retain: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else it told, as JSON data."""

    @property
    def severity_word(self) -> str:
        """The band of the severity: info, warning or error."""
        return "error" if self.severity >= ERROR_FROM else "warning" if self.severity >= WARNING_FROM else "info"

    @property
    def state_hash(self) -> str | None:
        """What a condition's state is known by, when it is told again under another id; None: it is no condition."""
        if self.condition_id is None:
            return None
        states = (self.active, self.acked, self.confirmed, self.retain, self.severity, self.message)
        told = orjson.dumps([*states, self.details], option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(told, digest_size=16).hexdigest()

    def to_json(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> SourceEvent:
        """Return what `to_json` gave."""
        return cls(**orjson.loads(text))
