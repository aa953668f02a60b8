"""Command results as metadata: counts, percentiles, who said what, and a picture of the latencies. Pure; no I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import dagster as dg
import numpy as np

from gl_assets.charts import as_markdown, new_figure
from resources.agents.aggregation.model import Provenance
from resources.agents.requests import Outcome, Result, Skipped

STATES = ("answered", "failed", "in_doubt", "expired", "sent", "queued")
"""States of a delivery, best first."""

_STANDINGS = ("supports", "dissents", "not_chosen", "unusable", "failed", "missing", "not_awaited")
_LONGEST_CELL = 120


def state_counts(results: Sequence[Result]) -> dict[str, int]:
    """Return state -> how many, every state named."""
    found = Counter(result.state for result in results)
    return {state: found[state] for state in STATES}


def latency_percentile(outcome: Outcome, percent: float) -> float | None:
    """Return a percentile of the latencies in milliseconds, None if nobody answered."""
    return round(float(np.percentile(outcome.latencies_ms, percent)), 1) if outcome.latencies_ms else None


def result_table(results: Sequence[Result], *, most: int = 20) -> str:
    """Return the agents that did not answer, as a markdown table; a sentence if all did."""
    missed = [result for result in results if result.state != "answered"]
    if not missed:
        return f"All {len(results)} agents answered."
    rows = [_row(r.agent_id, r.state, r.attempts, _cell(r.reason)) for r in missed]
    return _table(("agent", "state", "sendings", "reason"), rows, most)


def provenance_table(provenance: Sequence[Provenance], *, most: int = 100) -> str:
    """Return who said what, when and how late, as a markdown table: those behind the value first."""
    ordered = sorted(provenance, key=lambda entry: (_STANDINGS.index(entry.standing), entry.latency_ms or 0.0))
    rows = [
        _row(
            entry.agent_id,
            entry.standing.replace("_", " "),
            _cell(entry.reason) if entry.value is None and entry.reason else _cell(json.dumps(entry.value)),
            "" if entry.answered_at is None else f"{entry.answered_at:%H:%M:%S.%f}"[:-3],
            _millis(entry.latency_ms),
            _millis(entry.late_ms or None),
            f"{entry.weight:g}",
        )
        for entry in ordered
    ]
    return _table(("agent", "stands", "said", "at (UTC)", "after ms", "late by ms", "weight"), rows, most)


def skipped_table(skipped: Sequence[Skipped], *, most: int = 20) -> str:
    """Return the candidates that were not addressed, as a markdown table."""
    return _table(("agent", "reason"), [_row(item.agent_id, _cell(item.reason)) for item in skipped], most)


def _table(names: Sequence[str], rows: Sequence[str], most: int) -> str:
    more = f"\n\n… and {len(rows) - most} more" if len(rows) > most else ""
    return "\n".join([_row(*names), "|---" * len(names) + "|", *rows[:most]]) + more


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _cell(text: str | None) -> str:
    """Return text that ends neither the cell nor the line it stands in."""
    return " ".join((text or "").replace("|", "/").split())[:_LONGEST_CELL]


def _millis(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def latency_plot(outcome: Outcome) -> dg.MarkdownMetadataValue:
    """Return a picture of the answers over time."""
    figure = new_figure()
    axes = figure.add_subplot()
    latencies = outcome.latencies_ms
    axes.step(latencies, np.arange(1, len(latencies) + 1), where="post", color="#1f77b4")
    axes.axhline(len(outcome.results), color="#999999", linewidth=0.8, linestyle="--", label="agents addressed")
    axes.set(
        xlabel="latency in ms", ylabel="answers", title="Answers over time", ylim=(0, len(outcome.results) * 1.08 + 1)
    )
    axes.legend(loc="lower right", frameon=False)
    return as_markdown(figure, "latencies")
