"""What the filter promises, for any readings: the error of what is kept is bounded, and both ways of judging agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.report_filter import engine
from tests.unit.resources.scada.report_filter.bench import Bench

VALUES = st.floats(-1e6, 1e6, allow_nan=False, width=32) | st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0])
SERIES = st.lists(st.tuples(st.integers(1, 30), VALUES), min_size=1, max_size=80)
"""(seconds since the one before, value)."""
CUTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)
"""How many readings the batches have, over and over."""


def run(bench: Bench, series: list[tuple[int, float]], cuts: list[int]) -> list[tuple[float, float]]:
    """Send a series in batches, with the clock running along; return what was sent."""
    rows, second = [], 0
    for gap, value in series:
        second += gap
        rows.append((float(second), value))
    start, turn = 0, 0
    while start < len(rows):
        size = cuts[turn % len(cuts)]
        bench.send(*rows[start : start + size])
        start, turn = start + size, turn + 1
    bench.filter.end()
    bench.let_go()
    return rows


@settings(deadline=None, max_examples=200)
@given(SERIES, CUTS)
def test_door_when_lines_are_drawn_between_what_is_kept_then_no_reading_is_farther_off_than_the_deviation(
    series: list[tuple[int, float]], cuts: list[int]
) -> None:
    bench = Bench({"when": "swinging_door", "deviation": 0.75, "max_silence": "2m"})
    sent = run(bench, series, cuts)
    kept = sorted((time, value) for _, time, value, _ in bench.kept)
    times, values = np.array(sent).T
    drawn = np.interp(times, *np.array(kept).T)
    assert np.all(np.abs(drawn - values) <= 0.75 + 1e-9 * np.maximum(1.0, np.abs(values).max()))
    assert {sent[0], sent[-1]} <= set(kept) <= set(sent)


@settings(deadline=None, max_examples=100)
@given(SERIES, CUTS)
def test_deadband_when_the_last_value_kept_stands_then_no_reading_is_farther_off_than_the_deadband(
    series: list[tuple[int, float]], cuts: list[int]
) -> None:
    bench = Bench({"when": "deadband", "deadband": 0.75, "max_silence": "2m"})
    sent = run(bench, series, cuts)
    kept = sorted((time, value) for _, time, value, _ in bench.kept)
    for time, value in sent:
        standing = [v for t, v in kept if t <= time][-1]
        assert abs(standing - value) <= 0.75


@pytest.mark.parametrize(
    "report",
    [
        {"when": "change", "max_silence": "40s"},
        {"when": "deadband", "deadband": 0.75},
        {"when": "swinging_door", "deviation": 0.75, "max_silence": "2m"},
    ],
    ids=lambda report: report["when"],
)
@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(-3, 20), VALUES, st.sampled_from([0, 0, 0, 1, 2])), max_size=12
        ),
        max_size=12,
    )
)
def test_rows_when_judged_all_at_once_or_one_by_one_then_the_same_are_kept(
    report: dict[str, Any], batches: list[list[tuple[int, int, float, int]]]
) -> None:
    kept = []
    for wide_from in (1, 1_000_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "WIDE_FROM", wide_from)
            bench = Bench(report, sensors=6)
            for turn, rows in enumerate(batches):
                bench.send_all([(s, turn * 20 + t, None if status == 2 else v, status) for s, t, v, status in rows])
                bench.filter.tick(bench_time(turn))
                bench.let_go()
            bench.filter.end()
            bench.let_go()
            kept.append((sorted(bench.kept, key=repr), bench.left_out, bench.suppressed))
    assert kept[0] == kept[1]


def bench_time(turn: int) -> int:
    from tests.unit.resources.scada.report_filter.bench import SECOND, START

    return START + (turn + 1) * 20 * SECOND
