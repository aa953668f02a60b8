from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.transport.http.call_stats import CallStats
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector import health
from sensors.collector.health import Finding
from sensors.collector.state import SourceState
from tests.unit.sensors.collector.bench import NOON

MINUTE, TEN = timedelta(minutes=1), timedelta(minutes=10)


def source_level(state: SourceState, clock: ManualClock) -> Finding:
    (found,) = health.source_findings({state.name: state}, clock, disconnected_limit=MINUTE, silent_limit=TEN)
    return found


def test_source_when_it_connects_for_the_first_time_then_a_warning_first_and_red_after_the_limit(
    clock: ManualClock,
) -> None:
    state = SourceState("boilers", "modbus", clock.monotonic())
    assert source_level(state, clock).level == "warning"
    clock.advance(61)
    assert source_level(state, clock) == Finding("source.boilers", "red", "not connected for 61 s: connecting")


def test_source_when_lost_then_its_error_is_shown_and_red_after_the_limit(clock: ManualClock) -> None:
    state = SourceState("boilers", "modbus", clock.monotonic())
    state.went_up(clock.monotonic(), {})
    clock.advance(100)
    state.went_down(clock.monotonic())
    state.failed("unreachable", "no reply; check cabling")
    clock.advance(30)
    assert source_level(state, clock).level == "warning"
    clock.advance(31)
    found = source_level(state, clock)
    assert (found.level, found.detail) == ("red", "not connected for 61 s: no reply; check cabling")


def test_source_when_connected_and_silent_then_red_after_the_limit(clock: ManualClock) -> None:
    state = SourceState("boilers", "opc_ua", clock.monotonic())
    state.went_up(clock.monotonic(), {})
    clock.advance(500)
    state.received(5, clock.now(), clock.monotonic())
    assert source_level(state, clock) == Finding("source.boilers", "green", "connected, 5 rows")
    clock.advance(599)
    assert source_level(state, clock).level == "green"
    clock.advance(2)
    assert source_level(state, clock).level == "red"
    assert "silent for 601 s" in source_level(state, clock).detail


def test_source_when_a_tag_cannot_be_read_then_a_warning_names_it(clock: ManualClock) -> None:
    state = SourceState("boilers", "opc_ua", clock.monotonic())
    state.went_up(clock.monotonic(), {})
    state.failed_items["b1.p"] = "bad node id"
    assert source_level(state, clock) == Finding(
        "source.boilers", "warning", "1 tags cannot be read, the first: b1.p: bad node id"
    )


def levels(buffer: WindowBuffer) -> dict[str, str]:
    return {finding.name: finding.level for finding in health.buffer_findings(buffer)}


def test_buffer_when_it_takes_then_green(buffer: WindowBuffer) -> None:
    assert levels(buffer) == {"buffer": "green", "clock": "green"}


def test_clock_when_most_readings_lie_in_the_future_then_red(buffer: WindowBuffer, clock: ManualClock) -> None:
    ahead = to_micros(clock.now() + timedelta(hours=2))
    times = [ahead + n for n in range(100)]
    buffer.append(
        ReadingBatch("boilers", readings=readings_batch(times, [0] * 100, [1.0] * 100, 0, to_micros(clock.now())))
    )
    buffer.commit()
    assert levels(buffer)["clock"] == "red"
    assert any("boilers" in finding.detail for finding in health.buffer_findings(buffer))


def erp_level(home: Path, clock: ManualClock) -> tuple[str, str]:
    (found,) = health.erp_findings(home, ["sap"], clock)
    return found.level, found.detail


def test_erp_when_never_asked_then_green(tmp_path: Path, clock: ManualClock) -> None:
    assert erp_level(tmp_path, clock) == ("green", "not asked yet")


def test_erp_when_it_answered_then_green_and_stale_after_two_days(tmp_path: Path, clock: ManualClock) -> None:
    stats = CallStats("sap", tmp_path, clock=clock)
    stats.answered(0.2)
    stats.flush()
    assert erp_level(tmp_path, clock)[0] == "green"
    clock.advance(50 * 3600)
    assert erp_level(tmp_path, clock)[0] == "red"
    assert "stale: last answer 2026-11-22T12:00" in erp_level(tmp_path, clock)[1]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("AuthError", "token or credentials refused"), ("UnreachableError", r"last call failed (UnreachableError)")],
)
def test_erp_when_its_last_call_failed_then_red_until_one_succeeds(
    tmp_path: Path, clock: ManualClock, kind: str, words: str
) -> None:
    stats = CallStats("sap", tmp_path, clock=clock)
    stats.failed(kind)
    stats.flush()
    level, detail = erp_level(tmp_path, clock)
    assert level == "red"
    assert words in detail
    assert "last answer never" in detail
    clock.advance(1)
    stats.answered(0.1)
    stats.flush()
    assert erp_level(tmp_path, clock)[0] == "green"


@pytest.mark.parametrize(
    ("heartbeat_age_s", "asked_age_s", "level"),
    [(10, 1, "green"), (301, 1, "red"), (None, 1, "warning"), (10, None, "warning"), (10, 301, "warning")],
    ids=["fresh", "stale", "no-agents", "never-asked", "database-away"],
)
def test_registry_when_looked_at_then_red_only_if_known_to_be_stale(
    clock: ManualClock, heartbeat_age_s: float | None, asked_age_s: float | None, level: str
) -> None:
    newest = None if heartbeat_age_s is None else NOON - timedelta(seconds=heartbeat_age_s)
    asked = None if asked_age_s is None else NOON - timedelta(seconds=asked_age_s)
    assert health.registry_finding(newest, asked, clock).level == level


@pytest.mark.parametrize(
    ("given", "status", "good"),
    [
        ((), "green", True),
        (("green",), "green", True),
        (("warning", "green"), "warning", True),
        (("warning", "red"), "red", False),
    ],
)
def test_report_when_summed_up_then_the_worst_counts(given: tuple[health.Level, ...], status: str, good: bool) -> None:
    ok, content = health.report([lambda: [Finding(f"n{i}", level, "why") for i, level in enumerate(given)]], NOON)
    assert (ok, content["status"]) == (good, status)
    assert len(json.loads(json.dumps(content))["findings"]) == len(given)
