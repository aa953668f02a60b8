from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resources.core.configuration.settings import TagConfig
from resources.core.readings import ReadingBatch, Reject, readings_batch, rejects_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.report_filter.filter import ReportFilter
from resources.scada.report_filter.texts import MOST_TEXTS
from tests.unit.resources.scada.report_filter.bench import FRAME, MINUTE, SECOND, START, Bench

CHANGE: dict[str, Any] = {"when": "change"}
BAND: dict[str, Any] = {"when": "deadband", "deadband": 1.0}
DOOR: dict[str, Any] = {"when": "swinging_door", "deviation": 1.0}
NAN = float("nan")
BAD, UNCERTAIN = 2, 1


def test_change_when_the_value_stays_then_only_the_first_is_kept() -> None:
    bench = Bench(CHANGE)
    assert bench.send((0, 5.0), (1, 5.0), (2, 5.0)) == [(0, 5.0)]
    assert bench.send((3, 5.5), (4, 5.5)) == [(3, 5.5)]
    assert (bench.left_out, bench.suppressed) == (3, 2)


@pytest.mark.parametrize(
    ("report", "keys"),
    [
        (BAND, {}),
        ({"when": "deadband", "deadband_percent": 1}, {"minimum": -50, "maximum": 50}),
        ({"when": "deadband", "deadband_percent": 10, "percent_of": "value"}, {}),
    ],
    ids=["absolute", "percent of span", "percent of value"],
)
def test_deadband_when_the_change_is_within_it_then_left_out(report: dict[str, Any], keys: dict[str, Any]) -> None:
    bench = Bench(report, **keys)
    assert bench.send((0, 10.0), (1, 10.9), (2, 9.1), (3, 11.0), (4, 11.2), (5, 10.5)) == [(0, 10.0), (4, 11.2)]
    assert bench.send((6, 9.9)) == [(6, 9.9)]


def test_door_when_values_lie_on_a_line_then_only_its_ends_are_kept() -> None:
    bench = Bench(DOOR)
    rising, falling = [(n, n * 2.0) for n in range(11)], [(n, 20.0 - (n - 10) * 3.0) for n in range(11, 21)]
    assert bench.send(*rising) == [(0, 0.0)]
    assert bench.send(*falling) == [(10, 20.0)]
    bench.filter.end()
    assert bench.let_go() == [(20, -10.0)]
    assert (bench.left_out, bench.suppressed) == (18, 18)


def test_door_when_a_step_comes_then_the_last_value_before_it_is_kept() -> None:
    bench = Bench(DOOR)
    assert bench.send((0, 1.0), (1, 1.0), (2, 1.2), (3, 9.0)) == [(0, 1.0), (2, 1.2)]
    assert bench.send((4, 9.0)) == [(3, 9.0)]


@pytest.mark.parametrize("report", [CHANGE, BAND, DOOR], ids=["change", "deadband", "door"])
class TestEveryRule:
    def test_status_when_it_changes_then_kept_with_the_last_before(self, report: dict[str, Any]) -> None:
        bench = Bench(report)
        bench.send((0, 1.0), (1, 1.0), (2, 1.0))
        assert bench.send((3, 1.0, UNCERTAIN), (4, 1.0, UNCERTAIN)) == [(2, 1.0), (3, 1.0)]

    def test_value_when_bad_or_missing_then_kept_and_so_is_the_next(self, report: dict[str, Any]) -> None:
        bench = Bench(report)
        bench.send((0, 1.0))
        rows = [(1, None, BAD), (2, 1.0, BAD), (3, NAN, 0), (4, 1.0)]
        assert [time for time, _ in bench.send(*rows, (5, 1.0))] == [1, 2, 3, 4]

    def test_silence_when_too_long_then_kept(self, report: dict[str, Any]) -> None:
        bench = Bench(report | {"max_silence": "10s"})
        assert bench.send(*[(n, 1.0) for n in range(25)]) == [(0, 1.0), (10, 1.0), (20, 1.0)]

    def test_window_when_it_ends_then_its_last_value_is_kept_and_the_first_of_the_next(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report)
        assert bench.send(*[(n, 1.0) for n in range(50, 64)]) == [(50, 1.0), (59, 1.0), (60, 1.0)]
        bench.filter.tick(START + 119 * SECOND)
        assert bench.let_go() == []
        bench.filter.tick(START + 120 * SECOND)
        assert bench.let_go() == [(63, 1.0)]
        assert bench.send((125, 1.0), (126, 1.0)) == [(125, 1.0)]

    def test_window_when_it_has_ended_by_the_clock_then_its_values_are_not_held(self, report: dict[str, Any]) -> None:
        bench = Bench(report)
        bench.send((50, 1.0))
        assert bench.send((59.5, 1.0), delay_s=1.0) == [(59.5, 1.0)]
        # long after it, the window is closed anyway: a device that is minutes behind is filtered as any other
        assert bench.send((59.6, 1.0), delay_s=90.0) == []

    def test_clock_when_the_silence_is_over_then_the_held_value_is_kept(self, report: dict[str, Any]) -> None:
        bench = Bench(report | {"max_silence": "10s"})
        bench.send((0, 1.0), (1, 1.0))
        bench.filter.tick(START + 9 * SECOND)
        assert bench.let_go() == []
        bench.filter.tick(START + 11 * SECOND)
        assert bench.let_go() == [(1, 1.0)]
        assert bench.send((2, 1.0)) == []

    def test_source_when_lost_then_its_held_value_is_kept_and_its_next_is_a_first_one(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report)
        bench.send((0, 1.0), (1, 1.0))
        bench.filter.lost("free")
        bench.filter.lost("unheard of")
        assert bench.let_go() == []
        bench.filter.lost("plc")
        assert bench.let_go() == [(1, 1.0)]
        assert bench.send((2, 1.0)) == [(2, 1.0)]

    def test_readings_when_they_come_again_after_an_interruption_then_kept_and_not_compared_with(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report)
        bench.send((0, 1.0), (1, 1.2), (2, 9.0))
        bench.filter.lost("plc")
        bench.let_go()
        again = [(1, 1.2), (2, 9.0)]
        assert bench.send(*again) == again
        # were it compared with 1.2, it would be left out, and the 9.0 that is stored would stand
        assert bench.send((3, 1.2)) == [(3, 1.2)]

    def test_readings_when_they_come_again_after_a_kill_then_kept_and_not_compared_with(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report)
        bench.filter.know(np.array([START + 2 * SECOND, START]))
        again = [(1, 1.2), (2, 9.0)]
        assert bench.send(*again) == again
        assert bench.send((1.5, 1.2), first=True) == [(1.5, 1.2)]
        assert bench.send((3, 1.2)) == [(3, 1.2)]
        assert bench.send((4, 1.2)) == []

    def test_first_value_when_it_comes_then_it_is_kept_and_compared_with(self, report: dict[str, Any]) -> None:
        bench = Bench(report)
        assert bench.send((0, 1.0), (0.5, 1.0), first=True) == [(0, 1.0), (0.5, 1.0)]
        assert bench.send((1, 1.0)) == []
        assert bench.send((2, 1.0), first=True) == [(1, 1.0), (2, 1.0)]
        assert bench.send((3, 1.0)) == []

    def test_first_value_when_old_future_or_bad_then_it_is_not_compared_with(self, report: dict[str, Any]) -> None:
        bench = Bench(report)
        bench.send((10, 1.0))
        bench.send((9, 7.0), (-4000, 7.0), first=True, delay_s=0)
        bench.send((5000, 7.0), first=True, delay_s=-4000)
        assert bench.send((11, 1.0)) == []
        bench.send((12, None, BAD), first=True)
        assert bench.send((13, 1.0)) == [(13, 1.0)]

    def test_reading_when_late_future_or_too_old_then_kept_and_nothing_else_changes(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report)
        bench.send((10, 1.0), (11, 1.0))
        odd = [(9, 5.0), (11, 5.0), (-3601, 5.0)]
        assert bench.send(*odd) == sorted(odd)
        assert bench.send((500, 1.0), delay_s=-400) == [(500, 1.0)]
        assert bench.send((12, 1.0)) == []

    def test_sensor_when_one_of_its_values_is_rejected_then_the_next_is_a_first_one(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report, sensors=2)
        bench.send_all([(0, 0, 1.0), (1, 0, 1.0), (0, 1, 1.0), (1, 1, 1.0)])
        rejects = [Reject("plc", "{}", ("why",), START, sensor_id=name) for name in ("s0", "free", "unknown", None)]
        bench.filter.apply(ReadingBatch("plc", rejects=rejects_batch(rejects)))
        assert bench.let_go() == [(1, 1.0)]
        assert bench.send_all([(0, 2, 1.0), (1, 2, 1.0)]) == [(2, 1.0)]

    def test_counts_when_a_reading_is_kept_then_the_held_one_before_it_is_suppressed_or_kept(
        self, report: dict[str, Any]
    ) -> None:
        bench = Bench(report)
        bench.send((0, 1.0))
        bench.send((1, 1.0))
        bench.send((2, 9.0))
        bench.filter.end()
        bench.let_go()
        assert len(bench.kept) + bench.suppressed == 3

    def test_counts_when_all_is_said_then_every_row_is_kept_suppressed_or_held(self, report: dict[str, Any]) -> None:
        chance, bench, sent = np.random.default_rng(7), Bench(report, sensors=40), 0
        for turn in range(60):
            rows = [(n, turn * 3 + k, float(chance.integers(0, 4))) for n in range(40) for k in range(turn % 3 + 1)]
            bench.send_all(rows)
            sent += len(rows)
        assert len(bench.kept) == sent - bench.left_out
        bench.filter.end()
        bench.let_go()
        assert len(bench.kept) + bench.suppressed == sent
        assert bench.left_out == bench.suppressed > 0


def test_filter_when_no_tag_has_a_report_then_there_is_none() -> None:
    catalog = SensorCatalog([Sensor("a", "bar", "plc")])
    assert ReportFilter.if_any({"a": TagConfig(sensor_id="a", unit="bar")}, catalog, FRAME) is None
    report = TagConfig.model_validate({"sensor_id": "a", "unit": "bar", "report": CHANGE})
    assert ReportFilter.if_any({"a": report}, catalog, FRAME) is not None


def test_sensor_when_it_has_no_report_or_is_unknown_then_its_readings_pass_in_their_order() -> None:
    bench = Bench(CHANGE)
    bench.send((0, 1.0))
    assert bench.send_all([(1, 1, 3.0), (0, 1, 1.0), (1, 2, 3.0), (0, 2, 1.0), (7, 3, 1.0), (-1, 3, 1.0)]) == [
        (1, 3.0), (2, 3.0), (3, 1.0), (3, 1.0),
    ]  # fmt: skip
    assert bench.send_all([(1, 5, 3.0)]) == [(5, 3.0)]


def test_batch_when_nothing_is_left_out_then_it_is_the_same_object() -> None:
    bench = Bench(CHANGE)
    batch = ReadingBatch("plc", readings_batch([START], [0], [1.0], 0, START))
    assert bench.filter.apply(batch).batch is batch


def test_batch_when_all_is_left_out_then_its_acknowledgement_stays() -> None:
    bench = Bench(CHANGE)
    bench.send((0, 1.0))
    batch = ReadingBatch("plc", readings_batch([START + SECOND], [0], [1.0], 0, START), acknowledge=lambda: None)
    left = bench.filter.apply(batch).batch
    assert (left.readings, left.acknowledge) == (None, batch.acknowledge)


def test_batch_when_sliced_then_its_own_times_count() -> None:
    bench = Bench(CHANGE)
    part = readings_batch([START, START + SECOND, START + 2 * SECOND], [0, 0, 0], [1.0, 1.0, 1.0], 0, START)
    bench.filter.apply(ReadingBatch("plc", part.slice(1, 1)))
    assert bench.filter.apply(ReadingBatch("plc", part.slice(2))).left_out == 1


def test_text_when_it_stays_then_left_out_and_when_it_changes_then_kept() -> None:
    bench = Bench(CHANGE, data="text")
    assert bench.send((0, "idle"), (1, "idle"), (2, "run"), (3, "run"), (4, "idle")) == [
        (0, "idle"), (2, "run"), (4, "idle"),
    ]  # fmt: skip
    assert bench.send((5, None, BAD), (6, "idle"), (7, "idle"), (8, "idle")) == [(5, None), (6, "idle")]
    bench.filter.tick(START + 2 * MINUTE)
    assert bench.let_go() == [(8, "idle")]
    assert bench.suppressed == 3


def test_texts_when_there_are_very_many_then_only_those_in_use_are_remembered() -> None:
    bench = Bench(CHANGE, data="text", frame=replace(FRAME, window=3600 * MINUTE))
    for number in range(0, MOST_TEXTS + 200, 100):
        bench.send(*[(n, f"text {n}") for n in range(number, number + 100)], delay_s=0)
    assert len(bench.filter._coder._texts) <= 201
    assert bench.send((MOST_TEXTS + 200, f"text {MOST_TEXTS + 199}")) == []
    assert bench.send((MOST_TEXTS + 201, "text 0")) == [(MOST_TEXTS + 201, "text 0")]
