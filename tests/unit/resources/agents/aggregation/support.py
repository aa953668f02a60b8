"""Results as the tests of the aggregation write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from resources.agents.requests import Result

SENT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
DEADLINE = SENT + timedelta(seconds=30)


def said(agent_id: str, value: Any, *, after_s: float = 1.0, score: float | None = None) -> Result:
    """An agent that answered `value` so long after the command."""
    return Result(agent_id, "answered", 1, None, value, after_s * 1000, SENT + timedelta(seconds=after_s), score)


def failed(agent_id: str, state: str = "failed") -> Result:
    """An agent that answered that it went wrong."""
    return Result(agent_id, state, 1, "the burner is locked", None, 500.0, SENT + timedelta(seconds=0.5))


def silent(agent_id: str, *, awaited: bool = True) -> Result:
    """An agent that did not answer."""
    return Result(agent_id, "expired" if awaited else "sent", 2, None, None, None, None, None, awaited)


def answers(*values: Any) -> list[Result]:
    """One agent per value: GL-002 and on, each a second after the one before."""
    return [said(f"GL-{number:03d}", value, after_s=number - 1) for number, value in enumerate(values, start=2)]
