"""The soak's own judgement: it has to notice what is lost, doubled or made up."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from resources.core.clock import from_micros
from resources.window_buffer.model import Gap
from tests.soak.verdict import Verdict, slope_per_hour, summary, verdict

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


def judged(numbers: list[float], *, counted: int = 20, gap: tuple[int, int] | None = None) -> Verdict:
    """Judge a device that has counted once a second, and of which `numbers` are stored under their times."""
    times = [START + n * SECOND for n in range(counted)]
    at = np.array([START + int(max(n, 1) - 1) * SECOND for n in numbers], dtype=np.int64)
    gaps = []
    if gap is not None:
        begin = from_micros(START)
        gaps = [Gap(1, "d", begin + timedelta(seconds=gap[0]), begin + timedelta(seconds=gap[1]), "cut")]
    return verdict("d", "opc_ua", times, {"d.0": (at, np.array(numbers))}, gaps)


def test_verdict_when_everything_is_stored_once_then_nothing_to_say() -> None:
    one = judged([float(n) for n in range(1, 21)])
    assert (one.stored, one.lost, one.missing_in_gaps, one.duplicated, one.corrupt) == (20, 0, 0, 0, 0)


def test_verdict_when_a_number_is_missing_and_no_gap_says_why_then_lost() -> None:
    assert judged([float(n) for n in range(1, 21) if n != 10]).lost == 1


def test_verdict_when_a_gap_says_why_then_not_lost() -> None:
    one = judged([float(n) for n in range(1, 21) if not 8 <= n <= 12], gap=(7, 12))
    assert (one.lost, one.missing_in_gaps, one.gaps, one.gap_s) == (0, 5, 1, 5.0)


def test_verdict_when_the_gap_is_elsewhere_then_lost() -> None:
    assert judged([float(n) for n in range(1, 21) if n != 3], gap=(12, 15)).lost == 1


def test_verdict_when_a_row_comes_twice_then_duplicated() -> None:
    assert judged([*(float(n) for n in range(1, 21)), 5.0]).duplicated > 0


@pytest.mark.parametrize("wrong", [21.0, 2.5, -4.0], ids=["not counted", "no number", "negative"])
def test_verdict_when_a_number_was_never_counted_then_corrupt(wrong: float) -> None:
    assert judged([*(float(n) for n in range(1, 21)), wrong]).corrupt == 1


def test_verdict_when_the_first_value_is_zero_then_that_is_no_number() -> None:
    assert judged([0.0, 2.0]).corrupt == 0


def test_summary_when_devices_are_summed_then_by_protocol() -> None:
    figures = summary([judged([1.0]), judged([1.0, 2.0])])
    assert figures["opc_ua"]["devices"] == 2
    assert figures["opc_ua"]["stored"] == 3


def test_slope_when_memory_grows_by_a_megabyte_a_minute_then_sixty_an_hour() -> None:
    assert slope_per_hour([(60.0 * n, 100.0 + n) for n in range(10)]) == pytest.approx(60.0)
    assert slope_per_hour([(0.0, 1.0)]) == 0.0
