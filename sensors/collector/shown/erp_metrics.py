"""The calls to ERP systems as metrics: the runs that make them leave their figures in a file, which is read here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from resources.transport.http.call_stats import read_stats

_COUNTERS = (
    ("gl_erp_calls", "calls", "Calls made."),
    ("gl_erp_errors", "errors", "Calls that failed."),
    ("gl_erp_requests", "requests", "Requests sent, those sent again included."),
    ("gl_erp_connections_opened", "connections_opened", "Connections opened for them."),
    ("gl_erp_wait_seconds", "waited_s", "Time that requests waited for their turn: rate limit, pauses asked for."),
)

Value = Callable[[dict[str, Any]], float | None]


def erp_families(home: Path) -> Iterator[Metric]:
    """Yield the calls to ERP systems as the runs that made them left them."""
    figures = read_stats(home)
    seconds = "gl_erp_response_time_seconds"
    summary = SummaryMetricFamily(seconds, "Response time of the calls that brought data.", labels=("system",))
    for system, held in figures.items():
        taken = held.get("response_time_s") or {}
        summary.add_metric((system,), taken.get("count", 0), taken.get("sum", 0))
    yield summary
    for name, member, text in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=("system",))
        for system, held in figures.items():
            counter.add_metric((system,), held.get(member, 0))
        yield counter
    yield _gauge(figures, f"{seconds}_p95", "95th percentile of the last 256.", _p95)
    yield _gauge(figures, "gl_erp_last_ok_timestamp_seconds", "When data last came.", _last_ok)
    yield _gauge(
        figures,
        "gl_erp_connection_reuse_ratio",
        "Share of the requests that were sent on a connection that was there already.",
        lambda held: held.get("reuse"),
    )
    yield _pool(figures)


def _pool(figures: dict[str, dict[str, Any]]) -> Metric:
    family = GaugeMetricFamily(
        "gl_erp_pool_connections",
        "Connections in use (active), kept for the next request (idle) and allowed (maximum), at the last writing.",
        labels=("system", "state"),
    )
    for system, held in figures.items():
        for state, number in (held.get("pool") or {}).items():
            family.add_metric((system, state), number)
    return family


def _gauge(figures: dict[str, dict[str, Any]], name: str, text: str, value: Value) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("system",))
    for system, held in figures.items():
        number = value(held)
        if number is not None:
            family.add_metric((system,), number)
    return family


def _p95(held: dict[str, Any]) -> float | None:
    return (held.get("response_time_s") or {}).get("p95") or 0


def _last_ok(held: dict[str, Any]) -> float | None:
    return datetime.fromisoformat(held["last_ok_at"]).timestamp() if held.get("last_ok_at") else None
