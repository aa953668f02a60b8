"""How fast a sender may go: a token bucket. Pure: time is handed in, and whoever asks keeps what has to wait.

A bucket is asked in order of urgency, by one thread, and never waits itself. That is all the bus needs, and what the
libraries looked at (pyrate-limiter, limits, aiolimiter) do not do: they hold up the caller, or say no without saying
until when; a message would then wait where a more urgent one can't overtake it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """At most `per_second` in a second on average, and after a pause as many at once; None: no limit."""

    per_second: int | None = None
    _tokens: float | None = None
    _at: float = 0.0

    def take(self, now: float) -> float:
        """Take a token and return 0; if there is none, take nothing and return the seconds until there is one.

        Args:
            now: Seconds of a monotonic clock.
        """
        if self.per_second is None:
            return 0.0
        full = float(self.per_second)
        held = full if self._tokens is None else min(full, self._tokens + (now - self._at) * full)
        # the sum of many small refills may end a hair below 1
        if held < 1.0 - 1e-9:
            self._tokens, self._at = held, now
            return (1.0 - held) / full
        self._tokens, self._at = held - 1.0, now
        return 0.0
