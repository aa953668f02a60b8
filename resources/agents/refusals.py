"""Why a received message was refused: one word for counting, one sentence for the audit log."""

from __future__ import annotations

from collections import Counter
from threading import Lock

from resources.core.errors import DataError
from resources.core.logs import security_log


class RefusedError(DataError):
    """A received message must not have any effect.

    `reason` is a fixed word to count by; `claimed` is who the message says it is from, which nobody has proven.
    """

    def __init__(self, reason: str, detail: str, *, claimed: str = "") -> None:
        """Keep the word beside the sentence."""
        super().__init__(detail)
        self.reason = reason
        self.claimed = claimed


class Refusals:
    """Counts refused messages by reason and writes each into the audit log; safe from any thread."""

    def __init__(self, receiver: str) -> None:
        """Count for `receiver`, an agent id."""
        self._receiver = receiver
        self._counts: Counter[str] = Counter()
        self._lock = Lock()
        self._log = security_log()

    def add(self, refused: RefusedError, topic: str) -> None:
        """Count and audit one refusal."""
        with self._lock:
            self._counts[refused.reason] += 1
        self._log.warning(
            "message_refused",
            receiver=self._receiver,
            reason=refused.reason,
            detail=str(refused),
            topic=topic[:256],
            claimed=refused.claimed[:96],
        )

    def counts(self) -> dict[str, int]:
        """Return reason -> how many so far."""
        with self._lock:
            return dict(self._counts)
