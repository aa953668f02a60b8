from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from resources.core.clock import ManualClock
from resources.transport.http.call_stats import CallStats
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector.flow import Flow
from sensors.collector.shown.metrics import CollectorMetrics, registry_of
from sensors.collector.state import SourceState
from tests.unit.sensors.collector.bench import batch_of

Samples = dict[tuple[str, ...], float]


def scraped(metrics: CollectorMetrics) -> Samples:
    """(name, label values...) -> value, by a parser of the text that Prometheus would read."""
    text = generate_latest(registry_of(metrics)).decode()
    return {
        (sample.name, *[value for _, value in sorted(sample.labels.items())]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def samples(buffer: WindowBuffer, clock: ManualClock, tmp_path: Path) -> Samples:
    states = {name: SourceState(name, "mqtt", clock.monotonic()) for name in ("boilers", "furnace")}
    states["boilers"].went_up(clock.monotonic(), {})
    clock.advance(10)
    states["boilers"].received(3, clock.now(), clock.monotonic())
    states["boilers"].went_down(clock.monotonic())
    states["boilers"].failed("unreachable", "x")
    states["boilers"].failed("auth", "x")
    clock.advance(10)
    flow = Flow(("boilers", "furnace"))
    batch = batch_of(clock, rows=3)
    flow.taken(batch)
    buffer.append(batch)
    buffer.add_counts("boilers", sent=3)
    buffer.commit()
    flow.committed(flow.cut(), 3, clock.now(), 0.004)
    erp = CallStats("sap", tmp_path, clock=clock)
    erp.answered(0.25)
    erp.answered(0.75)
    erp.failed("UnreachableError")
    erp.watch(lambda: {"requests": 20, "opened": 1, "active": 1, "idle": 2, "maximum": 50, "waited_s": 2.5})
    erp.flush()
    return scraped(CollectorMetrics(states, flow, buffer, home=tmp_path, clock=clock, live_view_lag_s=lambda: 1.5))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (("gl_readings_total", "boilers"), 3),
        (("gl_readings_total", "furnace"), 0),
        (("gl_source_errors_total", "auth", "boilers"), 1),
        (("gl_connection_failures_total", "boilers"), 2),
        (("gl_connections_total", "boilers"), 1),
        (("gl_source_up", "boilers"), 0),
        (("gl_source_uptime_ratio", "boilers"), 0.5),
        (("gl_source_failed_items", "boilers"), 0),
        (("gl_message_latency_seconds_count", "boilers"), 3),
        (("gl_message_latency_seconds_bucket", "0.005", "boilers"), 3),
        (("gl_commit_duration_seconds_count",), 1),
        (("gl_commit_duration_seconds_bucket", "0.005"), 1),
        (("gl_rows_durable_total",), 3),
        (("gl_acknowledgements_total",), 0),
        (("gl_live_view_lag_seconds",), 1.5),
        (("gl_buffer_full",), 0),
        (("gl_buffer_pending_rows",), 0),
        (("gl_clock_skew_alarm", "boilers"), 0),
        (("gl_clock_steps_total",), 0),
        (("gl_sent_total", "boilers"), 3),
        (("gl_buffered_total", "boilers"), 3),
        (("gl_suppressed_total", "boilers"), 0),
        (("gl_erp_response_time_seconds_sum", "sap"), 1.0),
        (("gl_erp_response_time_seconds_count", "sap"), 2),
        (("gl_erp_response_time_seconds_p95", "sap"), 0.75),
        (("gl_erp_calls_total", "sap"), 3),
        (("gl_erp_errors_total", "sap"), 1),
        (("gl_erp_requests_total", "sap"), 20),
        (("gl_erp_connections_opened_total", "sap"), 1),
        (("gl_erp_connection_reuse_ratio", "sap"), 0.95),
        (("gl_erp_pool_connections", "idle", "sap"), 2),
        (("gl_erp_pool_connections", "maximum", "sap"), 50),
        (("gl_erp_wait_seconds_total", "sap"), 2.5),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_metric_when_scraped_then_its_value(samples: Samples, name: tuple[str, ...], value: float) -> None:
    assert samples[name] == value


def test_registry_when_scraped_then_the_process_is_there_and_no_global_registry(samples: Samples) -> None:
    assert samples["process_resident_memory_bytes",] > 0
    assert samples["gl_buffer_bytes",] > 0
