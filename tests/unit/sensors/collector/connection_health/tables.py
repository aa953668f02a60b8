"""Histories for the tests: one row a slot of ten seconds, all well unless said otherwise."""

from __future__ import annotations

import numpy as np

from sensors.collector.connection_health.history import Floats, Slots
from sensors.collector.connection_health.rule import RiskRule

SLOT_S = 10.0
RULE = RiskRule(SLOT_S, recent_s=900.0, horizon_s=900.0, chance=1e-4)
LIMIT_S = np.array([3.0])
START = 1_800_000_000.0


def slots(
    count: int,
    *,
    latency_s: Floats | float = 0.01,
    retried: tuple[int, ...] = (),
    down_s: dict[int, float] | None = None,
    missed_s: dict[int, float] | None = None,
    first: int = 0,
) -> Slots:
    """Return `count` slots of one source; the slots named were retried, or away, or partly missed."""
    again, down, unread = np.zeros((count, 1), dtype=np.bool_), np.zeros((count, 1)), np.zeros((count, 1))
    again[list(retried)] = True
    for slot, seconds in (down_s or {}).items():
        down[slot] = unread[slot] = seconds
    for slot, seconds in (missed_s or {}).items():
        unread[slot] = seconds
    latency = np.broadcast_to(np.reshape(np.asarray(latency_s, dtype=np.float64), (-1, 1)), (count, 1)).copy()
    return Slots(START + SLOT_S * (first + 1 + np.arange(count)), latency, again, unread, down)
