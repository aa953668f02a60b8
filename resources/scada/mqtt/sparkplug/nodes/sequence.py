"""The sequence numbers of one edge node: what is in order, what came too early, what came twice. Pure.

Every birth, data and device death of an edge node carries `seq`: 0 in the NBIRTH, one more in each message after it,
255 is followed by 0. As long as the numbers follow each other, no birth can have been missed, so what an alias stands
for is certain. Source: Sparkplug 3.0.0, 6.4.4 and 5.5 (reordering).
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")

_MODULUS = 256


class Order(Enum):
    """What a message's number says."""

    IN_ORDER = "in order"
    EARLY = "messages before it are missing"
    REPEATED = "the very message was here before"
    UNKNOWN = "nobody knows what came before"


class Sequence(Generic[Waiting]):
    """Where one edge node is in its numbers; messages that came too early wait here."""

    def __init__(self) -> None:
        """Know nothing: no birth has been seen."""
        self.expected: int | None = None
        """The number that comes next; None: anything may have been missed."""
        self._early: dict[int, Waiting] = {}
        self._digests: dict[int, int] = {}

    def born(self, seq: int, digest: int) -> None:
        """Begin with a birth of the edge node."""
        self.expected = (seq + 1) % _MODULUS
        self._early.clear()
        # those of before stay: what was sent then may come a second time only now
        self._digests[seq] = digest

    def judge(self, seq: int, digest: int) -> Order:
        """Return what to do with a message; one that is in order is counted as taken."""
        if self.expected is None:
            return Order.UNKNOWN
        if seq == self.expected:
            self._digests[seq] = digest
            self.expected = (seq + 1) % _MODULUS
            return Order.IN_ORDER
        if self._digests.get(seq) == digest or seq in self._early:
            return Order.REPEATED
        return Order.EARLY

    def keep(self, seq: int, message: Waiting) -> None:
        """Let a message wait for those before it."""
        self._early[seq] = message

    def next_in_order(self) -> Waiting | None:
        """Return a waiting message whose turn it is now, None if there is none; it is counted as taken."""
        if self.expected is None or self.expected not in self._early:
            return None
        message = self._early.pop(self.expected)
        self.expected = (self.expected + 1) % _MODULUS
        return message

    @property
    def is_waiting(self) -> bool:
        """True while a message waits for those before it."""
        return bool(self._early)

    @property
    def is_full(self) -> bool:
        """True once so many wait that the numbers would soon begin anew and fit by chance."""
        return len(self._early) >= _MODULUS // 2

    def forget_repeats(self) -> None:
        """Take what comes again for new: over another connection it may be what got lost in between."""
        self._digests.clear()

    def give_up(self) -> list[Waiting]:
        """Return what waits, in the order of the numbers; nothing is certain any more until the next birth."""
        start = self.expected or 0
        waiting = [self._early[seq] for seq in sorted(self._early, key=lambda seq: (seq - start) % _MODULUS)]
        self._early.clear()
        self.expected = None
        return waiting
