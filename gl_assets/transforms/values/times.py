"""Dates, times of day and instants in every form ERP systems send, as numbers of microseconds. Arrow in, NumPy out.

Forms of a date or instant: ISO 8601, with and without time, fraction and zone; `/Date(ms)/` and `/Date(ms+hhmm)/`
(OData V2); `YYYYMMDD`; `YYYYMMDDhhmmss`, with a fraction or without (ABAP time stamps: UTC). Of a time of day:
`10:05:00`, `PT10H05M00S` (OData V2), `100500`, seconds of the day (Dynamics 365). `0000-00-00`, `1900-01-01` (Dynamics
365) and the first day of year 1 mean that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.values.texts import few_distinct

Micros = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SECOND = 1_000_000
DAY = 86_400 * SECOND

_ISO = (
    r"^(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"
    r"(?:[T ](?P<H>\d{2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?\s?(?P<z>Z|[+-]\d{2}:?\d{2})?$"
)
_DIGITS = (
    r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"
    r"(?:(?P<H>\d{2})(?P<M>\d{2})(?P<S>\d{2})(?:\.(?P<f>\d{1,9}))?)?$"
)
_V2 = r"^/Date\((?P<ms>-?\d{1,15})(?P<z>[+-]\d{4})?\)/$"
_CLOCK = r"^(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?Z?$"
_PERIOD = r"^P(?:0D)?T(?:(?P<H>\d{1,2})H)?(?:(?P<M>\d{1,2})M)?(?:(?P<S>\d{1,2})(?:\.(?P<f>\d{1,9}))?S)?$"
_SIX = r"^(?P<H>\d{2})(?P<M>\d{2})(?P<S>\d{2})$"
_SECONDS = r"^(?P<s>\d{1,5})$"

_NONE = r"^[0:.TZ \-]*$"
_NO_DATES = np.array(["1900-01-01", "0001-01-01"], "M8[D]").astype("M8[us]").view(np.int64)


@dataclass(frozen=True, slots=True)
class Moments:
    """A column of dates or instants."""

    wall: Micros
    """Microseconds since 1970 by the clock that the value was written by."""
    offset: Micros
    """How far that clock is ahead of UTC, where `zoned`."""
    zoned: Mask
    """The value says its zone; otherwise it is the clock of the system."""
    known: Mask
    """There is a value, and it was understood."""
    malformed: Mask
    """There is a value, and it was not."""

    def take(self, places: npt.NDArray[np.int32]) -> Moments:
        """Return the moments at these places; -1 is none."""
        absent = places < 0
        return Moments(
            self.wall[places],
            self.offset[places],
            self.zoned[places],
            self.known[places] & ~absent,
            self.malformed[places] & ~absent,
        )


@dataclass(frozen=True, slots=True)
class ClockTimes:
    """A column of times of day."""

    micros: Micros
    """Since midnight; up to 24:00 inclusive, which ABAP writes for the end of a day."""
    known: Mask
    malformed: Mask


def read_moments(texts: pa.Array) -> Moments:
    """Return dates or instants, read by their distinct values where they are few."""
    if not few_distinct(texts):
        return _read_moments(texts)
    encoded = texts.dictionary_encode()
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if not len(encoded.dictionary):
        return _read_moments(texts)
    return _read_moments(encoded.dictionary).take(places)


def read_clock_times(texts: pa.Array) -> ClockTimes:
    """Return times of day."""
    micros, known = np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)
    for form in (_CLOCK, _PERIOD, _SIX, _SECONDS):
        if (known | _null(texts)).all():
            break
        parts = pc.extract_regex(texts, form)
        found = _valid(parts) & ~known
        if not found.any():
            continue
        read, right = _seconds(parts) if form is _SECONDS else _time(parts)
        micros, known = np.where(found & right, read, micros), known | (found & right)
    return ClockTimes(micros, known, ~known & ~_null(texts))


def _read_moments(texts: pa.Array) -> Moments:
    rows = len(texts)
    wall, offset = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    zoned, known = np.zeros(rows, bool), np.zeros(rows, bool)
    none = _true(pc.match_substring_regex(texts, _NONE)) | _null(texts)
    for form, reader in ((_ISO, _iso), (_DIGITS, _digits), (_V2, _v2)):
        if (known | none).all():
            break
        parts = pc.extract_regex(texts, form)
        found = _valid(parts) & ~none
        if not found.any():
            continue
        read, ahead, has_zone, right = reader(parts)
        found &= right
        wall, offset = np.where(found, read, wall), np.where(found, ahead, offset)
        zoned, known = np.where(found, has_zone, zoned), known | found
    none |= known & np.isin(wall - wall % DAY, _NO_DATES)
    return Moments(wall, offset, zoned, known & ~none, ~known & ~none)


_Read = tuple[Micros, Micros, Mask, Mask]


def _iso(parts: pa.StructArray) -> _Read:
    day, right = _date(parts)
    time, in_range = _time(parts)
    offset, has_zone = _offset(parts)
    return day + time, offset, has_zone, right & in_range


def _digits(parts: pa.StructArray) -> _Read:
    day, right = _date(parts)
    time, in_range = _time(parts)
    # of date alone it is a day of the system's clock; an ABAP time stamp is UTC
    return day + time, np.zeros(len(day), np.int64), _given(parts, "H"), right & in_range


def _v2(parts: pa.StructArray) -> _Read:
    instant = _integers(parts, "ms") * 1000
    offset, has_zone = _offset(parts)
    # Edm.DateTime has no zone: its number is the system's clock; Edm.DateTimeOffset counts from 1970 UTC
    right = np.abs(instant) < 253_402_300_800 * SECOND
    return instant + offset, offset, has_zone, right


def _date(parts: pa.StructArray) -> tuple[Micros, Mask]:
    year, month, day = (_integers(parts, name) for name in ("y", "m", "d"))
    right = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    months = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("M8[M]")
    first = months.astype("M8[D]").view(np.int64)
    length = (months + 1).astype("M8[D]").view(np.int64) - first
    return (first + day - 1) * DAY, right & (day <= length)


def _time(parts: pa.StructArray) -> tuple[Micros, Mask]:
    hour, minute, second = (_integers(parts, name) for name in ("H", "M", "S"))
    micros = (hour * 3600 + minute * 60 + second) * SECOND + _fraction(parts)
    # 60 is a leap second, which no clock here has: it is the next minute's first
    return micros, (minute <= 59) & (second <= 60) & (micros <= DAY)


def _seconds(parts: pa.StructArray) -> tuple[Micros, Mask]:
    micros = _integers(parts, "s") * SECOND
    return micros, micros <= DAY


def _fraction(parts: pa.StructArray) -> Micros:
    names = [field.name for field in parts.type]
    if "f" not in names or not _given(parts, "f").any():
        return np.zeros(len(parts), np.int64)
    places = pc.utf8_slice_codeunits(pc.utf8_rpad(parts.field("f"), 6, "0"), 0, 6)
    return _numbers(places)


def _offset(parts: pa.StructArray) -> tuple[Micros, Mask]:
    has_zone = _given(parts, "z")
    if not has_zone.any():
        return np.zeros(len(parts), np.int64), has_zone
    zone = parts.field("z")
    digits = _numbers(pc.replace_substring_regex(zone, r"[^0-9]", ""))
    minutes = digits // 100 * 60 + digits % 100
    sign = np.where(_true(pc.starts_with(zone, "-")), -1, 1)
    return sign * minutes * 60 * SECOND, has_zone


def _given(parts: pa.StructArray, name: str) -> Mask:
    """Return where a group took part: Arrow gives an empty text where it did not."""
    return _true(pc.not_equal(parts.field(name), "")) & _valid(parts)


def _integers(parts: pa.StructArray, name: str) -> Micros:
    return _numbers(parts.field(name))


def _numbers(texts: pa.Array) -> Micros:
    filled = pc.if_else(pc.equal(texts, ""), "0", texts).fill_null("0")
    return np.asarray(filled.cast(pa.int64()).to_numpy(), np.int64)


def _valid(column: Any) -> Mask:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)


def _null(column: Any) -> Mask:
    return ~_valid(column)


def _true(column: Any) -> Mask:
    return np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), bool)
