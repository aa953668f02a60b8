"""What lies in the middle of many answers, beside the plain way to find it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.agents.aggregation.agreement import agreeing, as_rows, neighbours, remoteness, take_apart

ROWS = st.lists(st.tuples(st.floats(-100, 100), st.integers(-5, 5).map(float)), min_size=1, max_size=10)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_remoteness_when_computed_by_sums_then_as_by_pairs(rows: list[tuple[float, ...]]) -> None:
    numbers = as_rows(rows)
    spread = np.ptp(numbers, axis=0)
    scaled = numbers / np.where(spread > 0, spread, 1)
    by_pairs = np.abs(scaled[:, None, :] - scaled[None, :, :]).sum(axis=(1, 2))
    assert remoteness(numbers) == pytest.approx(by_pairs, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.floats(0, 50), st.sampled_from([0.0, 0.1]))
def test_neighbours_when_weighed_then_as_each_row_by_itself(
    rows: list[tuple[float, ...]], tolerance: float, relative: float
) -> None:
    numbers, weights = as_rows(rows), np.arange(1.0, len(rows) + 1)
    support, _ = neighbours(numbers, tolerance, relative, weights)
    alone = [weights[agreeing(numbers, row, tolerance, relative)].sum() for row in range(len(rows))]
    assert support == pytest.approx(alone)


def test_remoteness_when_numbers_are_at_the_end_of_the_range_then_finite() -> None:
    found = remoteness(as_rows([(1.7e308,), (-1.7e308,), (0.0,)]))
    assert int(found.argmin()) == 2
    assert np.isfinite(found).all()


def test_value_when_taken_apart_then_its_shape_has_all_but_the_numbers() -> None:
    shape, numbers = take_apart({"b": [1, "x"], "a": {"c": 2.5}, "d": True})
    assert numbers == (2.5, 1.0)
    assert shape == take_apart({"d": True, "a": {"c": 9}, "b": [0, "x"]})[0]
    assert shape != take_apart({"d": False, "a": {"c": 9}, "b": [0, "x"]})[0]
