"""Answers as tables and pictures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gl_assets.agents.asking import shown
from gl_assets.agents.results import latency_percentile, latency_plot, provenance_table, result_table, skipped_table
from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import Aggregation
from resources.agents.requests import Outcome, Result, Skipped
from resources.agents.wire.message import Formatter
from resources.core.clock import ManualClock

SENT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def result(agent_id: str, state: str = "answered", value: Any = None, after_s: float = 1.0, **more: Any) -> Result:
    at = SENT + timedelta(seconds=after_s) if state != "expired" else None
    return Result(agent_id, state, 1, more.get("reason"), value, after_s * 1000 if at else None, at)


def outcome(*results: Result) -> Outcome:
    command = Formatter("GL-001", ManualClock(SENT)).command("status", {}, targets=["GL-002"], timeout_s=30)
    return Outcome(command, False, results)


def test_provenance_table_when_agents_stand_differently_then_supporters_come_first_and_lateness_is_told() -> None:
    results = [
        result("GL-002", "expired", reason="no answer before the deadline; the agent is offline"),
        result("GL-003", value={"a": "x|y"}, after_s=31.25),
        result("GL-004", value="on"),
        result("GL-005", value="on", after_s=0.5),
    ]
    found = aggregate(results, Aggregation("majority", missing="ignore"), deadline=SENT + timedelta(seconds=30))
    assert provenance_table(found.provenance).splitlines() == [
        "| agent | stands | said | at (UTC) | after ms | late by ms | weight |",
        "|---|---|---|---|---|---|---|",
        '| GL-005 | supports | "on" | 10:00:00.500 | 500.0 |  | 1 |',
        '| GL-004 | supports | "on" | 10:00:01.000 | 1000.0 |  | 1 |',
        '| GL-003 | dissents | {"a": "x/y"} | 10:00:31.250 | 31250.0 | 1250.0 | 1 |',
        "| GL-002 | missing | no answer before the deadline; the agent is offline |  |  |  | 0 |",
    ]


def test_tables_when_there_are_many_rows_then_the_rest_is_counted() -> None:
    missed = [result(f"GL-{n:03d}", "expired") for n in range(2, 32)]
    assert result_table(missed).endswith("… and 10 more")
    assert skipped_table([Skipped("GL-002", "its circuit is\nopen")]).endswith("| GL-002 | its circuit is open |")


def test_plot_when_nobody_answered_then_it_is_drawn_all_the_same() -> None:
    silent = outcome(result("GL-002", "expired"))
    assert latency_percentile(silent, 99) is None
    assert (latency_plot(silent).md_str or "").startswith("![latencies](data:image/png;base64,")


def test_shown_when_a_value_is_a_number_then_it_stays_one_and_large_ones_are_left_out() -> None:
    assert shown(4.5) == 4.5
    assert shown(None).value is None
    assert shown({"a": [1]}).value == {"a": [1]}
    assert "too large" in str(shown(["x" * 30_000]).value)
