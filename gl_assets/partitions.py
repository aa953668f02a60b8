"""The partitions of this platform: sensor windows and the hours made from them, both in UTC.

Business days of ERP systems belong to `gl_assets.erp`: each system has a time zone of its own.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg

from resources.core.windows import PARTITION_KEY_FORMAT, WindowGrid, parse_partition_key, partition_key
from resources.integrations import Integrations

HOUR = timedelta(hours=1)


def window_partitions(config: Integrations) -> dg.TimeWindowPartitionsDefinition:
    """Return one partition per window, from the window that holds the configured `start`.

    The key is the window's start, `2026-11-22T10:15`. The window still open has no partition yet.
    """
    minutes = config.window // timedelta(minutes=1)
    return dg.TimeWindowPartitionsDefinition(
        start=config.grid.start_of(config.start),
        fmt=PARTITION_KEY_FORMAT,
        cron_schedule="0 * * * *" if minutes == 60 else f"*/{minutes} * * * *",
        timezone="UTC",
    )


def hour_partitions(config: Integrations) -> dg.TimeWindowPartitionsDefinition:
    """Return one partition per hour, from the hour that holds the configured `start`; keys as of windows."""
    return dg.TimeWindowPartitionsDefinition(
        start=WindowGrid(HOUR).start_of(config.start),
        fmt=PARTITION_KEY_FORMAT,
        cron_schedule="0 * * * *",
        timezone="UTC",
    )


@contextmanager
def quiet_beta() -> Iterator[None]:
    """Silence Dagster's notice that backfill policies are beta: the version is pinned, so it is no news to users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


def windows_to_hours() -> dg.TimeWindowPartitionMapping:
    """Return how an hour depends on its windows; those before `start`, in the first hour, do not exist."""
    return dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def hour_of(window_start: datetime) -> datetime:
    """Return the start of the hour that a window belongs to."""
    return WindowGrid(HOUR).start_of(window_start.astimezone(UTC))


def windows_of_hour(config: Integrations, hour: datetime) -> list[datetime]:
    """Return the starts of the windows of an hour, ascending, without those before the configured `start`."""
    first = max(hour, config.grid.start_of(config.start))
    return config.grid.starts(first, hour + HOUR)


def contiguous_ranges(starts: list[datetime], length: timedelta, *, at_most: int) -> list[list[datetime]]:
    """Return `starts` cut into runs of neighbouring windows, newest run first, each at most `at_most` long.

    Inside a run the windows ascend. A long run is cut from its newest end, so that the newest windows come first.
    """
    ranges: list[list[datetime]] = []
    for start in sorted(set(starts), reverse=True):
        if ranges and len(ranges[-1]) < at_most and ranges[-1][-1] - start == length:
            ranges[-1].append(start)
        else:
            ranges.append([start])
    return [list(reversed(found)) for found in ranges]


__all__ = [
    "HOUR",
    "contiguous_ranges",
    "hour_of",
    "hour_partitions",
    "parse_partition_key",
    "partition_key",
    "quiet_beta",
    "window_partitions",
    "windows_of_hour",
    "windows_to_hours",
]
