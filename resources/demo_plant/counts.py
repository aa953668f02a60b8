"""What each source has sent, by its own account: the left side of `lost = sent - stored - rejected - ...`.

A value counts as sent from the moment on from which the protocol promises that a collector can have it:

- OPC UA: once a client has subscribed a node, every value written to it, beginning with the one the subscription
  shows first. Values written while the collector is away count too: they must stand as a gap.
- MQTT: a message the broker has acknowledged, unless it said that nobody subscribes its topic.
- Modbus: nothing; a polled device cannot owe a value. It counts requests.

So after the sources have been frozen and the collector has drained, a healthy run leaves exactly 0, and each value
that went missing leaves 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class SourceCounts:
    """The counters of one source."""

    kind: str
    sent: int = 0
    by_time: Counter[int] = field(default_factory=Counter)
    """Source time -> values sent with it; what `sent_between` looks through."""
    misbehaved: Counter[str] = field(default_factory=Counter)
    """Kind of misbehaviour -> how often it was done."""
    extra: Counter[str] = field(default_factory=Counter)
    """What is particular to the protocol."""

    _lock: Lock = field(default_factory=Lock, repr=False)
    """The network thread of a publisher counts while the event loop reports."""

    def add(self, time_us: int, number: int = 1) -> None:
        """Count values of source time `time_us`."""
        with self._lock:
            self.sent += number
            self.by_time[time_us] += number

    def sent_between(self, since_us: int, until_us: int) -> int:
        """Return how many values were sent with a source time in `[since, until)`."""
        with self._lock:
            return sum(number for time_us, number in self.by_time.items() if since_us <= time_us < until_us)

    def as_json(self, *, pending: int) -> dict[str, object]:
        """Return the counters for people and tests; `pending` are values made but not yet taken over."""
        return {
            "kind": self.kind,
            "sent": self.sent,
            "pending": pending,
            "misbehaved": dict(self.misbehaved),
            **dict(self.extra),
        }
