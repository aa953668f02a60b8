"""Command results as metadata: counts, percentiles and a picture of the latencies. Pure; no Dagster, no I/O."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from resources.agents.requests import Outcome, Result

STATES = ("answered", "failed", "in_doubt", "expired", "sent", "queued")
"""States of a delivery, best first."""


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
    rows = [f"| {r.agent_id} | {r.state} | {r.attempts} | {(r.reason or '').replace('|', '/')[:120]} |" for r in missed]
    more = f"\n\n… and {len(missed) - most} more" if len(missed) > most else ""
    return "\n".join(["| agent | state | sendings | reason |", "|---|---|---|---|", *rows[:most]]) + more


def latency_plot(outcome: Outcome) -> str:
    """Return a picture of the answers over time as markdown: a PNG in a data URL."""
    figure = Figure(figsize=(6.4, 2.8), dpi=96, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    latencies = outcome.latencies_ms
    axes.step(latencies, np.arange(1, len(latencies) + 1), where="post", color="#1f77b4")
    axes.axhline(len(outcome.results), color="#999999", linewidth=0.8, linestyle="--", label="agents addressed")
    axes.set(
        xlabel="latency in ms", ylabel="answers", title="Answers over time", ylim=(0, len(outcome.results) * 1.08 + 1)
    )
    axes.legend(loc="lower right", frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return f"![latencies](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
