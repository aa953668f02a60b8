"""From the clock of a system to UTC and back: the hour it repeats in autumn, the hour it leaves out in spring."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from gl_assets.transforms.values.times import DAY, Mask, Micros, Moments

INSTANT = pa.timestamp("us", tz="UTC")
_EPOCH = date(1970, 1, 1)


def dates(moments: Moments, zone: str, expected: date | None = None) -> pa.Array:
    """Return the days that moments lie on by the clock of `zone`.

    A date is sent as an instant by many a system: midnight or noon, of whatever zone. It is the day that is written
    there; any other instant is the day it falls on in `zone`. Where one at midnight or noon falls on the day that is
    expected, that of the pull, it is an instant after all.
    """
    of_clock = moments.wall % DAY
    written = ~moments.zoned | (of_clock == 0) | (of_clock == DAY // 2)
    days = moments.wall // DAY
    zoned = moments.known & moments.zoned
    if zoned.any():
        fallen = utc_to_wall(np.where(zoned, moments.wall - moments.offset, 0), zone) // DAY
        on_expected = fallen == (expected - _EPOCH).days if expected is not None else np.zeros(len(days), bool)
        days = np.where(zoned & (~written | on_expected), fallen, days)
    return pa.array(days.astype(np.int32), mask=~moments.known).cast(pa.date32())


def instants(moments: Moments, zone: str, first: Mask | None = None) -> pa.Array:
    """Return moments as instants, UTC; those without a zone are by the clock of `zone`. `first` as of `wall_to_utc`."""
    local = moments.known & ~moments.zoned
    utc = moments.wall - moments.offset
    if local.any():
        utc = np.where(local, wall_to_utc(np.where(local, moments.wall, 0), zone, first), utc)
    return utc_instants(utc, moments.known)


def utc_instants(micros: Micros, known: Mask) -> pa.Array:
    """Return microseconds since 1970 UTC as a column of instants, null where not known."""
    return pa.array(micros, mask=~known).cast(INSTANT)


def wall_to_utc(wall: Micros, zone: str, first: Mask | None = None) -> Micros:
    """Return the instants at which the clock of `zone` shows `wall`.

    Of a time that the clock shows twice, the first instant (summer time) where `first` is true, or not given. A time
    that the clock leaves out in spring is taken at the end of the gap.
    """
    times = pd.DatetimeIndex(wall.view("M8[us]"))
    summer = np.ones(len(wall), bool) if first is None else first
    return _micros(times.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward"))


def utc_to_wall(utc: Micros, zone: str) -> Micros:
    """Return what the clock of `zone` shows at instants."""
    return _micros(pd.DatetimeIndex(utc.view("M8[us]")).tz_localize("UTC").tz_convert(zone).tz_localize(None))


def first_of_repeated(wall: Micros, zone: str, series: pa.Array, order: pa.Array) -> Mask:
    """Return which of the times that the clock shows twice are the first: of two readings, the one entered first.

    Args:
        wall: Microseconds by the clock of `zone`.
        zone: Its zone.
        series: What a time is read once of, such as a meter.
        order: Ascends with the time of entry: numbers as text, 9 before 10.
    """
    first = np.ones(len(wall), bool)
    repeated = np.flatnonzero(wall_to_utc(wall, zone) != wall_to_utc(wall, zone, ~first))
    if repeated.size:
        places = pa.array(repeated)
        entered = order.take(places).to_pandas()
        frame = pd.DataFrame(
            {
                "place": repeated,
                "wall": wall[repeated],
                "series": series.take(places).to_pandas(),
                "length": entered.str.len(),
                "order": entered,
            }
        ).sort_values(["length", "order", "place"])
        earlier = frame.groupby(["series", "wall"], dropna=False).cumcount()
        first[frame["place"].to_numpy()] = earlier.to_numpy() == 0
    return first


def _micros(times: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    return times.as_unit("us").asi8
