from __future__ import annotations

import numpy as np

from sensors.collector.histogram import ArrayHistogram


def test_histogram_when_values_lie_on_a_bound_then_they_count_as_within() -> None:
    histogram = ArrayHistogram((0.1, 1.0))
    histogram.observe(np.array([0.05, 0.1, 0.5, 1.0, 7.0]))
    buckets, total = histogram.cumulative()
    assert buckets == [("0.1", 2.0), ("1", 4.0), ("+Inf", 5.0)]
    assert total == 8.65
    assert histogram.count == 5


def test_histogram_when_given_one_number_or_none_then_counted() -> None:
    histogram = ArrayHistogram((1.0,))
    histogram.observe(0.5)
    histogram.observe([])
    assert histogram.count == 1
