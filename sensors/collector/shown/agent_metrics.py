"""Refused messages of the agents as metrics: whoever orchestrates leaves the figures in a file, which is read here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric

from resources.agents.record.refusal_book import read_figures


def agent_families(home: Path) -> Iterator[Metric]:
    """Yield what the platform has refused of the agents' messages, by receiver and reason."""
    counter = CounterMetricFamily(
        "gl_agents_refused", "Messages of the agents' wire that were refused.", labels=("receiver", "reason")
    )
    for receiver, reasons in read_figures(home).items():
        for reason, number in reasons.items():
            counter.add_metric((receiver, reason), number)
    yield counter
