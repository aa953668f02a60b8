from datetime import UTC, datetime, timedelta

import pytest

from gl_assets.partitions import contiguous_ranges, hour_of, hour_partitions, window_partitions, windows_of_hour
from tests.integration.dagster_plant import configuration

START = datetime(2026, 11, 21, 10, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "first"), [("1m", "2026-11-21T10:20"), ("15m", "2026-11-21T10:15"), ("60m", "2026-11-21T10:00")]
)
def test_windows_when_partitioned_then_the_first_one_holds_the_start(window: str, first: str):
    assert window_partitions(configuration(window, START)).get_first_partition_key() == first


def test_hours_when_partitioned_then_the_first_one_holds_the_start():
    assert hour_partitions(configuration(start=START)).get_first_partition_key() == "2026-11-21T10:00"


def test_windows_of_hour_when_the_start_lies_in_it_then_those_before_do_not_exist():
    config = configuration(start=START)
    assert [start.minute for start in windows_of_hour(config, hour_of(START))] == [15, 30, 45]
    assert len(windows_of_hour(config, hour_of(START) + timedelta(hours=1))) == 4


def test_contiguous_ranges_when_there_are_gaps_and_limits_then_the_newest_range_comes_first():
    minute = timedelta(minutes=1)
    starts = [START + n * minute for n in (0, 1, 2, 5, 6, 7, 8)]
    found = contiguous_ranges(starts, minute, at_most=3)
    assert [[(start - START) // minute for start in part] for part in found] == [[6, 7, 8], [5], [0, 1, 2]]
