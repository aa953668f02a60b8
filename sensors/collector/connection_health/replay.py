"""How good the rule is: its warnings over a recorded history, counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from sensors.collector.connection_health.history import Record
from sensors.collector.connection_health.risk_book import RiskBook
from sensors.collector.connection_health.rule import RiskRule


def replay(record: Record, rule: RiskRule, *, history_s: float, failure_s: float) -> RiskBook:
    """Return the book after every slot of `record` was judged, each with nothing but what came before it."""
    book = RiskBook(len(record.sources), rule, failure_s=failure_s)
    slots, most = record.slots, round(history_s / record.slot_s)
    for end in range(1, len(slots) + 1):
        book.judge(slots.part(slice(max(0, end - most), end)), record.limit_s)
    return book


def figures(record: Record, book: RiskBook) -> dict[str, Any]:
    """Return what the replay has counted, as numbers with their units.

    `false_alarms_per_source_day` is the false-alarm rate: warnings that no failure has followed within the horizon.
    """
    slots = record.slots
    days = len(record.sources) * len(slots) * record.slot_s / 86_400.0
    away = slots.down_s > 0
    began = away.copy()
    began[1:] &= ~away[:-1]
    false, warnings = int(book.false.sum()), int(book.warnings.sum())
    return {
        "sources": len(record.sources),
        "hours": round(len(slots) * record.slot_s / 3600.0, 2),
        "losses": int(began.sum()),
        "failures": int(book.failures.sum()),
        "failures_warned_of": int(book.warned_failures.sum()),
        "lead_s_p50": round(float(np.median(book.lead_s)), 1) if book.lead_s else None,
        "warnings": warnings,
        "false_alarms": false,
        "undecided": warnings - false - int(book.right.sum()),
        "false_alarms_per_source_day": round(false / days, 4) if days else None,
    }
