"""`/metrics` for Prometheus: read from the state at each scrape, so that counting costs nothing on a reading's way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from resources.core.clock import Clock
from resources.transport.turns.circuit_breaker import Circuit
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector.flow import Flow
from sensors.collector.shown.agent_metrics import agent_families
from sensors.collector.shown.erp_metrics import erp_families
from sensors.collector.state import SourceState
from sensors.collector.supervision.discovery_watch import DiscoveryWatch

Labelled = Iterable[tuple[tuple[str, ...], float]]


class CollectorMetrics(Collector):
    """Everything this process can say in numbers, and what the ERP runs left under GL_HOME."""

    def __init__(  # noqa: PLR0913 - each is read at every scrape, all but the first three by name
        self,
        states: Mapping[str, SourceState],
        flow: Flow,
        buffer: WindowBuffer,
        *,
        home: Path,
        clock: Clock,
        live_view_lag_s: Callable[[], float] = lambda: 0.0,
        offers: Mapping[str, DiscoveryWatch] | None = None,
    ) -> None:
        """Read from these at every scrape."""
        self._states, self._flow, self._buffer = states, flow, buffer
        self._home, self._clock, self._lag_s = home, clock, live_view_lag_s
        self._offers = offers or {}

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from self._source_families()
        yield from self._connection_families()
        yield from self._offer_families()
        yield from self._flow_families()
        yield from self._buffer_families()
        yield from self._count_families()
        yield from erp_families(self._home)
        yield from agent_families(self._home)

    def _source_families(self) -> Iterator[Metric]:
        states, mark = list(self._states.values()), self._clock.monotonic()
        yield _counter(
            "gl_readings", "Rows received, rejects included.", ("source",), [((s.name,), s.rows) for s in states]
        )
        yield _counter(
            "gl_source_errors",
            "Failures of a source by kind.",
            ("source", "kind"),
            [((s.name, kind), n) for s in states for kind, n in list(s.failures.items())],
        )
        yield _counter(
            "gl_connection_failures",
            "Connections that failed or broke.",
            ("source",),
            [((s.name,), sum(s.failures.values())) for s in states],
        )
        yield _counter(
            "gl_connections", "Connections that came up.", ("source",), [((s.name,), s.connections) for s in states]
        )
        yield _gauge(
            "gl_source_up", "1 while the connection is up.", ("source",), [((s.name,), s.connected) for s in states]
        )
        yield _gauge(
            "gl_source_uptime_ratio",
            "Share of the process's life in which the connection was up.",
            ("source",),
            [((s.name,), s.uptime_share(mark)) for s in states],
        )
        yield _gauge(
            "gl_source_failed_items",
            "Tags that cannot be read while the rest of the source can.",
            ("source",),
            [((s.name,), len(s.failed_items)) for s in states],
        )

    def _connection_families(self) -> Iterator[Metric]:
        states, mark = list(self._states.values()), self._clock.monotonic()
        yield _gauge(
            "gl_source_circuit",
            "1 for the state that the source's circuit breaker is in.",
            ("source", "state"),
            [((s.name, circuit.value), s.circuit is circuit) for s in states for circuit in Circuit],
        )
        yield _gauge(
            "gl_source_failures_in_row",
            "Failed attempts since the last connection.",
            ("source",),
            [((s.name,), s.failures_in_row) for s in states],
        )
        yield _gauge(
            "gl_source_next_attempt_seconds",
            "Time to the next attempt, while the source is left alone.",
            ("source",),
            [((s.name,), max(0.0, s.next_attempt - mark)) for s in states if s.next_attempt is not None],
        )
        yield _counter(
            "gl_source_looks",
            "Times that the port was looked at while the source was left alone.",
            ("source",),
            [((s.name,), s.looks) for s in states],
        )
        yield _gauge(
            "gl_source_health_seconds",
            "Time that the last answer to a health check took.",
            ("source",),
            [((s.name,), s.health_s) for s in states if s.health_s is not None],
        )
        yield _gauge(
            "gl_source_service_level",
            "OPC UA ServiceLevel, 0 to 255; below 200 the server is not healthy.",
            ("source",),
            [((s.name,), s.service_level) for s in states if s.service_level is not None],
        )

    def _offer_families(self) -> Iterator[Metric]:
        seen = [(name, watch.offer.comparison) for name, watch in self._offers.items()]
        for what, text in (
            ("new", "Items that the source offers, `discover` asks for, and no tag is of."),
            ("missing", "Tags whose item the source did not offer when it was last asked."),
        ):
            rows = [((name,), len(getattr(found, what))) for name, found in seen if found is not None]
            yield _gauge(f"gl_source_{what}_items", text, ("source",), rows)

    def _flow_families(self) -> Iterator[Metric]:
        flow = self._flow
        latency = HistogramMetricFamily(
            "gl_message_latency_seconds", "Source time to durable, first values left out.", labels=("source",)
        )
        for source, histogram in flow.latency.items():
            buckets, total = histogram.cumulative()
            latency.add_metric((source,), buckets, total)
        yield latency
        commits = HistogramMetricFamily("gl_commit_duration_seconds", "Duration of a group commit with its fsync.")
        commits.add_metric((), *flow.commits.cumulative())
        yield commits
        yield _counter("gl_rows_durable", "Rows made durable.", (), [((), flow.rows)])
        yield _counter("gl_acknowledgements", "Batches acknowledged to their source.", (), [((), flow.acknowledged)])
        yield _counter("gl_windows_closed", "Revisions of windows closed.", (), [((), flow.closed_windows)])
        yield _counter("gl_commits_refused", "Commits refused by a full buffer.", (), [((), flow.refused_commits)])
        yield _gauge("gl_live_view_lag_seconds", "How far scada.latest_readings is behind.", (), [((), self._lag_s())])

    def _buffer_families(self) -> Iterator[Metric]:
        state = self._buffer.state()
        yield _gauge("gl_buffer_windows", "Windows held.", (), [((), state.held_windows)])
        yield _gauge("gl_buffer_bytes", "Bytes on disk.", (), [((), state.bytes)])
        yield _gauge("gl_buffer_max_bytes", "Disk cap.", (), [((), state.max_bytes)])
        yield _gauge("gl_buffer_full", "1 while nothing more is taken.", (), [((), state.full)])
        yield _gauge("gl_buffer_pending_rows", "Rows that wait for their commit.", (), [((), state.pending_rows)])
        yield _gauge("gl_buffer_damaged_bytes", "Bytes that can no longer be read.", (), [((), state.damaged_bytes)])
        yield _counter("gl_buffer_windows_dropped", "Stored windows dropped.", (), [((), state.dropped_windows)])
        yield _counter("gl_clock_steps", "Steps of the wall clock by more than 2 s.", (), [((), state.clock_steps)])
        alarmed = {alarm.source for alarm in state.clock_alarms}
        yield _gauge(
            "gl_clock_skew_alarm",
            "1 while most readings of a source lie in the future.",
            ("source",),
            [((name,), name in alarmed) for name in self._states],
        )

    def _count_families(self) -> Iterator[Metric]:
        counts = self._buffer.counts()
        for name, text in (
            ("sent", "Rows a source is held to have sent, over all runs."),
            ("buffered", "Readings on disk in a window, over all runs."),
            ("rejected", "Rejects on disk, over all runs."),
            ("in_gaps", "Scheduled and not read, over all runs."),
        ):
            yield _counter(f"gl_{name}", text, ("source",), [((s,), getattr(c, name)) for s, c in counts.items()])
        yield _counter(
            "gl_suppressed",
            "First values and retained messages that were not newer than what was known, over all runs.",
            ("source",),
            [((s,), c.not_newer) for s, c in counts.items()],
        )
        yield _counter(
            "gl_report_suppressed",
            "Readings left out because they said nothing new (report of the tag), over all runs.",
            ("source",),
            [((s,), c.other.get("suppressed", 0)) for s, c in counts.items()],
        )


def registry_of(collector: Collector) -> CollectorRegistry:
    """Return a registry of its own with the collector's figures and the process's memory and CPU."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Labelled) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Labelled) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
