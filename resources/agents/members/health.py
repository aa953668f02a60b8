"""How an agent is: online, degraded or offline. The one rule, for the orchestrator, the lists and the directory.

======== ==========================================================================================
offline  never heard of; or its last will or farewell came; or last heard more than 90 s ago (3 missed)
degraded last heard more than 45 s ago (1 or 2 heartbeats missed; half an interval is grace); or its
         heartbeat says anything but `online`; or its score is below 0.4 while at least 3 recent
         answers and misses count
online   everything else
======== ==========================================================================================

What the agent says of itself is kept beside it (`reported_status`), and so is the reason (`status_reason`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from resources.agents.members.score import NEUTRAL

ONLINE, DEGRADED, OFFLINE = "online", "degraded", "offline"
"""The values of `agents.registry.status`."""

NEVER_HEARD = "never heard of"
"""What lists say in place of `offline` of an agent that was declared and has not sent a heartbeat yet."""

LATE_AFTER = timedelta(seconds=45)
"""Older than this, the last heartbeat says that one was missed: half an interval is grace for a busy machine."""

MISSED_AFTER = timedelta(seconds=90)
"""Older than this, three heartbeats were missed: the agent counts as offline."""

POOR_SCORE = 0.4
"""Below this performance score an agent is degraded."""

ENOUGH_EVIDENCE = 3.0
"""A score of less weight than this many fresh answers says too little to call an agent degraded."""


@dataclass(frozen=True, slots=True)
class Health:
    """A status and, unless it is online, why."""

    status: str
    reason: str | None = None


def health(reported: str, silent_for: timedelta, *, score: float = NEUTRAL, evidence: float = 0.0) -> Health:
    """Return how an agent is.

    Args:
        reported: What its last heartbeat said.
        silent_for: Time since that heartbeat.
        score: Its performance score, 0 to 1.
        evidence: Weight of the answers and misses behind the score, now.
    """
    if reported == OFFLINE:
        return Health(OFFLINE, "it left, or its connection was lost")
    if silent_for > MISSED_AFTER:
        return as_of_now(Health(ONLINE), silent_for)
    if reported != ONLINE:
        return Health(DEGRADED, f"it says {reported}")
    if score < POOR_SCORE and evidence >= ENOUGH_EVIDENCE:
        return Health(DEGRADED, f"its score is below {POOR_SCORE:g}")
    return as_of_now(Health(ONLINE), silent_for)


def as_of_now(stored: Health, silent_for: timedelta | None) -> Health:
    """Return what a stored health has become by silence since: nobody may be running who would have noted it.

    Args:
        stored: As `agents.registry` has it.
        silent_for: Time since the last heartbeat; None if there never was one.
    """
    if silent_for is None:
        return Health(OFFLINE, NEVER_HEARD)
    if stored.status == OFFLINE:
        return stored
    if silent_for > MISSED_AFTER:
        return Health(OFFLINE, "3 or more heartbeats missed")
    if stored.status == ONLINE and silent_for > LATE_AFTER:
        return Health(DEGRADED, "1 or 2 heartbeats missed")
    return stored
