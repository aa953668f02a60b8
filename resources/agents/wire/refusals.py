"""Why a received message was refused: one word for counting, one sentence for the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

import structlog

from resources.agents.wire.message import Message
from resources.core.clock import Clock, SystemClock
from resources.core.errors import DataError
from resources.core.process.logs import security_log

log = structlog.get_logger(__name__)

_MOST_KINDS_A_MINUTE = 200
"""So many different topics and senders are told apart in a minute; a flood must not fill memory or table."""


class RefusedError(DataError):
    """A received message must not have any effect.

    `reason` is a fixed word to count by; `claimed` is who the message says it is from, which nobody has proven.
    `sealed_for` is whom an encrypted message is for, where that is all that is wrong with it: its signature holds.
    """

    def __init__(self, reason: str, detail: str, *, claimed: str = "", sealed_for: str = "") -> None:
        """Keep the word beside the sentence."""
        super().__init__(detail)
        self.reason = reason
        self.claimed = claimed
        self.sealed_for = sealed_for


def refused(reason: str, detail: str, message: Message) -> RefusedError:
    """Return the refusal of a message that says whom it is from; for `raise`."""
    return RefusedError(reason, detail, claimed=message.source_agent)


@contextmanager
def judging() -> Iterator[None]:
    """Turn whatever else judging a message raises into a refusal.

    A message that is neither refused nor acknowledged comes again at every connect, and holds a place at the broker.

    Raises:
        RefusedError: Anything was raised.
    """
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        # strangers choose what is judged: a fault of ours must not be theirs to use
        log.exception("message_judging_failed")
        raise RefusedError("judging_failed", f"{type(error).__name__} while it was judged") from error


@dataclass(frozen=True, slots=True)
class RefusalKind:
    """What refusals of one minute are counted together by; topic and claimed are empty for what came in a flood."""

    minute: datetime
    reason: str
    topic: str
    claimed: str


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """How many refusals of one kind there were, when the first and the last, and the last one's sentence."""

    kind: RefusalKind
    number: int
    first_at: datetime
    last_at: datetime
    detail: str

    def plus(self, other: RefusalCount) -> RefusalCount:
        """Return both together; `other` is of the same kind."""
        later = other if other.last_at >= self.last_at else self
        return replace(later, number=self.number + other.number, first_at=min(self.first_at, other.first_at))


class Refusals:
    """Counts refused messages by reason and writes each into the audit log; safe from any thread."""

    def __init__(self, receiver: str, clock: Clock | None = None) -> None:
        """Count for `receiver`, an agent id."""
        self.receiver = receiver
        self._clock = clock or SystemClock()
        self._counts: Counter[str] = Counter()
        self._pending: dict[RefusalKind, RefusalCount] = {}
        self._minute: datetime | None = None
        self._kinds: set[RefusalKind] = set()
        self._lock = Lock()
        self._log = security_log()

    def add(self, refused: RefusedError, topic: str) -> None:
        """Count and audit one refusal."""
        topic, claimed = _storable(topic, 256), _storable(refused.claimed, 96)
        with self._lock:
            self._counts[refused.reason] += 1
            now = self._clock.now()
            kind = self._kind(RefusalKind(now.replace(second=0, microsecond=0), refused.reason, topic, claimed))
            self._put(RefusalCount(kind, 1, now, now, _storable(str(refused), 500)))
        self._log.warning(
            "message_refused",
            receiver=self.receiver,
            reason=refused.reason,
            detail=str(refused),
            topic=topic,
            claimed=claimed,
        )

    def counts(self) -> dict[str, int]:
        """Return reason -> how many so far."""
        with self._lock:
            return dict(self._counts)

    def take(self) -> list[RefusalCount]:
        """Return, and forget, what was refused since the last time."""
        with self._lock:
            pending, self._pending = self._pending, {}
        return list(pending.values())

    def give_back(self, counts: Iterable[RefusalCount]) -> None:
        """Take back what could not be stored."""
        with self._lock:
            for count in counts:
                self._put(count)

    def _put(self, count: RefusalCount) -> None:
        held = self._pending.get(count.kind)
        self._pending[count.kind] = count if held is None else held.plus(count)

    def _kind(self, kind: RefusalKind) -> RefusalKind:
        if kind.minute != self._minute:
            self._minute, self._kinds = kind.minute, set()
        if kind not in self._kinds:
            if len(self._kinds) >= _MOST_KINDS_A_MINUTE:
                return replace(kind, topic="", claimed="")
            self._kinds.add(kind)
        return kind


def _storable(text: str, longest: int) -> str:
    # whoever is refused chose these letters: no table takes NUL or half a surrogate pair
    return text[:longest].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
