"""Scores of whole partitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gl_assets.transforms.pipeline.partitions import WHOLE, Dimensions, Tally, count_codes, partition_scores
from resources.core.readings import Status
from resources.core.rules import BIT

GOOD, UNCERTAIN, BAD = (int(status) for status in Status)
FLAT, TWICE = BIT["flat_line"] << 2, BIT["duplicate"] << 2


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        (Tally({GOOD: 10}), Dimensions(10, 100, 100, 100, 100, 100)),
        (Tally({GOOD: 5, UNCERTAIN: 5}), Dimensions(10, 62.5, 100, 100, 100, 85)),
        (Tally({GOOD: 9, BAD: 1}), Dimensions(10, 90, 90, 100, 100, 93)),
        (Tally({GOOD: 9}, rejected=1), Dimensions(9, 90, 90, 90, 100, 91)),
        (Tally({GOOD: 10}, repeated=10), Dimensions(10, 100, 100, 100, 50, 95)),
        (Tally({GOOD: 10}, expected=20), Dimensions(10, 100, 50, 100, 100, 85)),
        (Tally({GOOD: 10}, expected=9), Dimensions(10, 100, 100, 100, 100, 100)),
        (Tally({GOOD: 5, FLAT: 5}), Dimensions(10, 100, 100, 75, 100, 95)),
        (Tally({GOOD: 9, TWICE: 1}), Dimensions(10, 100, 100, 100, 90, 99)),
        (Tally(rejected=4), Dimensions(0, 0, 0, 0, 100, 10)),
        (Tally(expected=4), Dimensions(0, 0, 0, 0, 0, 0)),
        (Tally(), Dimensions(0, 100, 100, 100, 100, 100)),
    ],
)
def test_partition_when_counted_then_its_dimensions_are_as_documented(tally: Tally, expected: Dimensions):
    found = partition_scores({"opc": tally})["opc"]

    for name in ("rows", "validity", "completeness", "consistency", "uniqueness", "score"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


def test_whole_when_a_source_is_missing_then_what_it_lacks_counts_and_a_surplus_elsewhere_does_not_make_up_for_it():
    found = partition_scores({"opc": Tally({GOOD: 30}, expected=10), "plc": Tally(expected=10)})

    assert found["plc"].score == 0
    assert found[WHOLE].completeness == pytest.approx(75)
    assert found[WHOLE].validity == 100


def test_whole_when_there_are_no_sources_then_nothing_is_wrong():
    assert partition_scores({}) == {WHOLE: Dimensions(0, 100, 100, 100, 100, 100)}


codes = st.dictionaries(st.integers(0, 3 << 13), st.integers(1, 50), max_size=5).map(
    lambda found: {code & ~3 | min(code & 3, 2): count for code, count in found.items()}
)
tallies = st.builds(Tally, codes, st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))


@given(tally=tallies)
def test_partition_when_anything_is_counted_then_every_figure_lies_between_0_and_100(tally: Tally):
    found = partition_scores({"opc": tally})["opc"]

    for name in ("validity", "completeness", "consistency", "uniqueness", "score"):
        assert 0 <= getattr(found, name) <= 100 + 1e-9


@given(tally=tallies, rejected=st.integers(0, 9), repeated=st.integers(0, 9), expected=st.integers(0, 9))
def test_partition_when_more_of_it_is_defective_then_the_score_is_no_higher(
    tally: Tally, rejected: int, repeated: int, expected: int
):
    seen = sum(tally.stored.values()) + tally.rejected
    worse = Tally(
        tally.stored,
        tally.rejected,
        tally.repeated + (repeated if seen else 0),
        max(tally.expected, seen) + expected if seen else tally.expected + expected,
    )
    moved = max(tally.stored, key=lambda code: tally.stored[code], default=None)
    if moved is not None:
        share = min(rejected, tally.stored[moved])
        worse = Tally(
            {
                **worse.stored,
                moved: worse.stored[moved] - share,
                moved | FLAT: worse.stored.get(moved | FLAT, 0) + share,
            }
            if moved & FLAT == 0
            else worse.stored,
            worse.rejected,
            worse.repeated,
            worse.expected,
        )

    assert partition_scores({"opc": worse})["opc"].score <= partition_scores({"opc": tally})["opc"].score + 1e-9


def test_codes_when_counted_then_they_are_by_source():
    source_of = np.array([0, 0, 1, 1, 1], np.int32)
    found = count_codes(source_of, np.array([0, FLAT, 0, 0, UNCERTAIN], np.int32), ("opc", "plc", "none"))

    assert found == {"opc": {0: 1, FLAT: 1}, "plc": {0: 2, UNCERTAIN: 1}, "none": {}}
