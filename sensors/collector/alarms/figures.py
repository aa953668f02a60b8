"""The alarms in numbers, for `/metrics` and `/healthz`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sensors.collector.histogram import ArrayHistogram

LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0)


@dataclass(slots=True)
class AlarmFigures:
    """Counters of one run, and what is so now; written by the alarms' own thread, read at a scrape."""

    rules: tuple[str, ...]
    raised: Counter[str] = field(default_factory=Counter)
    cleared: Counter[str] = field(default_factory=Counter)
    standing: dict[str, int] = field(default_factory=dict)
    """Rule -> alarms that stand."""
    sent: Counter[str] = field(default_factory=Counter)
    """Type of message -> taken by the broker."""
    expired: Counter[str] = field(default_factory=Counter)
    """Type of message -> not sent before its deadline."""
    answers: Counter[str] = field(default_factory=Counter)
    """Status -> answers to commands, `unanswered` among them."""
    unsent: int = 0
    unrecorded: int = 0
    dropped: int = 0
    latency: ArrayHistogram = field(default_factory=lambda: ArrayHistogram(LATENCY_BOUNDS_S))
    """From the arrival of the reading to the broker's acknowledgement, seconds."""

    def families(self) -> Iterator[Metric]:
        """Yield the families of these figures."""
        for name, text, counts in (
            ("gl_alarms_raised", "Alarms raised.", self.raised),
            ("gl_alarms_cleared", "Alarms that were over.", self.cleared),
        ):
            yield counter(name, text, "rule", {rule: counts[rule] for rule in self.rules})
        standing = GaugeMetricFamily("gl_alarms_standing", "Alarms that stand.", labels=("rule",))
        for rule in self.rules:
            standing.add_metric((rule,), self.standing.get(rule, 0))
        yield standing
        yield counter("gl_alarms_sent", "Messages of alarms that the broker has taken.", "type", self.sent)
        yield counter("gl_alarms_expired", "Messages of alarms not sent before their deadline.", "type", self.expired)
        yield counter("gl_alarms_answers", "Answers to the commands of alarms.", "status", self.answers)
        dropped = CounterMetricFamily("gl_alarms_dropped", "Changes dropped because nobody recorded them.")
        dropped.add_metric((), self.dropped)
        yield dropped
        yield GaugeMetricFamily("gl_alarms_unsent", "Messages that wait for the broker.", value=self.unsent)
        yield GaugeMetricFamily("gl_alarms_unrecorded", "Changes that wait to be recorded.", value=self.unrecorded)
        latency = HistogramMetricFamily(
            "gl_alarms_latency_seconds", "Arrival of the reading to the broker's acknowledgement of the alarm."
        )
        latency.add_metric((), *self.latency.cumulative())
        yield latency


def counter(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    """Return a family of counters by one label."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, number in list(counts.items()):
        family.add_metric((value,), number)
    return family
