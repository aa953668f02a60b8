"""How long to wait before a source is tried again: exponential with full jitter; refusals wait longer."""

from __future__ import annotations

import random

from resources.core.errors import AuthError, ConfigError, ProtocolError, ThrottledError

FIRST_S = 1.0
"""The first retry comes within this."""

CAP_S = 30.0
"""Longest pause before a source that could not be reached is tried again."""

REFUSED_S = 60.0
"""Pause after faults that a person has to mend, and the first one after refused credentials."""

REFUSED_CAP_S = 900.0
"""Longest pause after refused credentials, which are tried ever more seldom: accounts lock after a few."""

PROTOCOL_FIRST_S = 5.0
"""Least pause after an answer that broke the protocol: a device that restarts may send one, a wrong one always will."""


class Backoff:
    """The pauses of one source; `reset()` after it has worked for a while."""

    def __init__(self, chance: random.Random | None = None) -> None:
        """Start with the shortest pause; `chance` is where the jitter comes from."""
        self._chance = chance or random.Random()
        self._attempt = 0
        self._refused = 0

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._attempt = self._refused = 0

    def pause_after(self, error: Exception) -> float:
        """Return how many seconds to wait after `error`."""
        ceiling = min(CAP_S, FIRST_S * 2.0 ** min(self._attempt, 16))
        self._attempt += 1
        # full jitter: a hundred collectors that lost one broker must not come back in step
        pause = self._chance.uniform(0.0, ceiling)
        if isinstance(error, AuthError):
            self._refused += 1
            return min(REFUSED_CAP_S, REFUSED_S * 2.0 ** min(self._refused - 1, 16))
        if isinstance(error, ConfigError):
            return REFUSED_S
        if isinstance(error, ProtocolError):
            return PROTOCOL_FIRST_S + pause
        if isinstance(error, ThrottledError) and error.retry_after_s is not None:
            return max(error.retry_after_s, pause)
        return pause
