"""The rule by which an agent is online, degraded or offline."""

from __future__ import annotations

from datetime import timedelta

import pytest

from resources.agents.members.health import DEGRADED, NEVER_HEARD, OFFLINE, ONLINE, Health, as_of_now, health


@pytest.mark.parametrize(
    ("reported", "silent_s", "score", "evidence", "status", "reason"),
    [
        ("online", 0, 0.9, 9, ONLINE, None),
        ("online", 45, 0.9, 9, ONLINE, None),
        ("online", 46, 0.9, 9, DEGRADED, "1 or 2 heartbeats missed"),
        ("online", 90, 0.9, 9, DEGRADED, "1 or 2 heartbeats missed"),
        ("online", 91, 0.9, 9, OFFLINE, "3 or more heartbeats missed"),
        ("degraded", 5, 0.9, 9, DEGRADED, "it says degraded"),
        ("maintenance", 50, 0.9, 9, DEGRADED, "it says maintenance"),
        ("maintenance", 91, 0.9, 9, OFFLINE, "3 or more heartbeats missed"),
        ("offline", 0, 0.9, 9, OFFLINE, "it left, or its connection was lost"),
        ("offline", 900, 0.1, 9, OFFLINE, "it left, or its connection was lost"),
        ("online", 5, 0.39, 3.0, DEGRADED, "its score is below 0.4"),
        ("online", 5, 0.39, 2.9, ONLINE, None),
        ("online", 5, 0.40, 9, ONLINE, None),
        ("online", -3, 0.9, 9, ONLINE, None),
    ],
)
def test_health_when_said_silent_or_poor_then_as_the_rule_says(
    reported: str, silent_s: float, score: float, evidence: float, status: str, reason: str | None
) -> None:
    assert health(reported, timedelta(seconds=silent_s), score=score, evidence=evidence) == Health(status, reason)


@pytest.mark.parametrize(
    ("stored", "silent_s", "status"),
    [
        (Health(ONLINE), 10, ONLINE),
        (Health(ONLINE), 60, DEGRADED),
        (Health(DEGRADED, "it says degraded"), 60, DEGRADED),
        (Health(DEGRADED, "it says degraded"), 100, OFFLINE),
        (Health(OFFLINE, "it left, or its connection was lost"), 10, OFFLINE),
    ],
)
def test_stored_health_when_nobody_noted_the_silence_then_it_counts_all_the_same(
    stored: Health, silent_s: float, status: str
) -> None:
    seen = as_of_now(stored, timedelta(seconds=silent_s))
    assert seen.status == status
    assert status == ONLINE or seen.reason


def test_stored_health_when_never_heard_then_offline_saying_so() -> None:
    assert as_of_now(Health(OFFLINE), None) == Health(OFFLINE, NEVER_HEARD)
