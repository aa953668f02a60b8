"""When an edge node is asked for its birth certificates again: at once, then ever more rarely, and never all at once.

A rebirth makes an edge node send everything it has. Asked too often, it does nothing else any more.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Node = TypeVar("Node")

SPACING_S = 0.02
"""Between two requests to whomever: fifty edge nodes a second."""
LONGEST_S = 300.0
"""Longest pause between two requests to one edge node."""


class Rebirths(Generic[Node]):
    """Who is to be asked, and when; times are seconds of a monotonic clock."""

    def __init__(self, interval_s: float) -> None:
        """Ask one edge node at most every `interval_s`, doubling while it goes on."""
        self._interval_s = interval_s
        self._wanted: dict[Node, None] = {}
        self._not_before: dict[Node, float] = {}
        self._pauses: dict[Node, float] = {}
        self._next_slot = 0.0

    def want(self, node: Node) -> None:
        """Note that a node's births are needed."""
        self._wanted[node] = None

    def born(self, node: Node) -> None:
        """Note that a node has sent its birth."""
        self._wanted.pop(node, None)

    @property
    def is_wanted(self) -> bool:
        """True while anybody is to be asked."""
        return bool(self._wanted)

    def due(self, now: float) -> list[Node]:
        """Return whom to ask now; each is asked again, later, until it is born."""
        asked: list[Node] = []
        for node in self._wanted:
            if self._next_slot > now:
                break
            before = self._not_before.get(node)
            if before is not None and now < before:
                continue
            asked.append(node)
            self._next_slot = max(self._next_slot, now - 1.0) + SPACING_S
            self._not_before[node] = now + self._pause(node, now, before)
        return asked

    def _pause(self, node: Node, now: float, before: float | None) -> float:
        last = self._pauses.get(node, 0.0)
        if before is None or now - before > LONGEST_S:
            # it has been well for a while: begin anew
            last = 0.0
        self._pauses[node] = pause = min(last * 2 or self._interval_s, max(LONGEST_S, self._interval_s))
        return pause
