"""Every form of a date, an instant and a time of day that ERP systems send; and the clocks they are by."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.transforms.values.clocks import dates, first_of_repeated, instants, wall_to_utc
from gl_assets.transforms.values.times import SECOND, read_clock_times, read_moments

BERLIN = "Europe/Berlin"


def moment(text: str | None, zone: str = BERLIN) -> tuple[date | None, datetime | None, bool]:
    found = read_moments(pa.array([text], pa.string()))
    return dates(found, zone)[0].as_py(), instants(found, zone)[0].as_py(), bool(found.malformed[0])


@pytest.mark.parametrize(
    ("text", "day", "instant"),
    [
        ("2026-01-31", "2026-01-31", "2026-01-30T23:00"),
        ("2026-07-31", "2026-07-31", "2026-07-30T22:00"),
        ("2024-02-29", "2024-02-29", "2024-02-28T23:00"),
        ("2026-01-31T10:15:00", "2026-01-31", "2026-01-31T09:15"),
        ("2026-01-31 10:15", "2026-01-31", "2026-01-31T09:15"),
        ("2026-01-31T10:15:00.5", "2026-01-31", "2026-01-31T09:15:00.5"),
        ("2026-01-31T10:15:00,123456789Z", "2026-01-31", "2026-01-31T10:15:00.123456"),
        ("2026-01-31T10:15:00+05:30", "2026-01-31", "2026-01-31T04:45"),
        ("2026-01-31T10:15:00-0500", "2026-01-31", "2026-01-31T15:15"),
        # an instant falls on the day that the clock of the system shows
        ("2026-01-31T23:30:00Z", "2026-02-01", "2026-01-31T23:30"),
        ("2026-07-31T22:00:00Z", "2026-08-01", "2026-07-31T22:00"),
        # a date sent as an instant, at midnight or at noon, is the day that is written there
        ("2026-01-31T00:00:00Z", "2026-01-31", "2026-01-31T00:00"),
        ("2026-01-31T12:00:00Z", "2026-01-31", "2026-01-31T12:00"),
        ("2026-11-20T00:00:00-08:00", "2026-11-20", "2026-11-20T08:00"),
        ("2026-11-20-08:00", "2026-11-20", "2026-11-20T08:00"),
        ("2026-11-20Z", "2026-11-20", "2026-11-20T00:00"),
        # OData V2: without offset it is the clock of the system
        ("/Date(1769817600000)/", "2026-01-31", "2026-01-30T23:00"),
        ("/Date(1769817600000+0000)/", "2026-01-31", "2026-01-31T00:00"),
        ("/Date(1769854500000+0100)/", "2026-01-31", "2026-01-31T10:15"),
        ("/Date(-86400000)/", "1969-12-31", "1969-12-30T23:00"),
        ("20260131", "2026-01-31", "2026-01-30T23:00"),
        # ABAP time stamps are UTC
        ("20260131101500", "2026-01-31", "2026-01-31T10:15"),
        ("20260131101500.1234567", "2026-01-31", "2026-01-31T10:15:00.123456"),
        ("20260131233000", "2026-02-01", "2026-01-31T23:30"),
        ("2026-01-31T24:00:00", "2026-02-01", "2026-01-31T23:00"),
        ("9999-12-31", "9999-12-31", "9999-12-30T23:00"),
    ],
)
def test_a_date_when_in_any_form_is_the_day_and_the_instant(text: str, day: str, instant: str) -> None:
    expected = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert moment(text) == (date.fromisoformat(day), expected, False)


@pytest.mark.parametrize(
    ("text", "expected", "day"),
    [
        # 00:00 UTC is the evening before in New York: a date at midnight, or an instant of the day that was pulled
        ("2026-11-20T00:00:00Z", None, "2026-11-20"),
        ("2026-11-20T00:00:00Z", "2026-11-20", "2026-11-20"),
        ("2026-11-20T00:00:00Z", "2026-11-19", "2026-11-19"),
        ("2026-11-20T00:00:00Z", "2026-11-18", "2026-11-20"),
        ("2026-11-20", "2026-11-19", "2026-11-20"),
    ],
)
def test_an_instant_at_midnight_when_its_day_was_pulled_is_of_that_day(
    text: str, expected: str | None, day: str
) -> None:
    pulled = date.fromisoformat(expected) if expected else None
    found = dates(read_moments(pa.array([text])), "America/New_York", pulled)
    assert found[0].as_py() == date.fromisoformat(day)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0000-00-00",
        "0000-00-00T00:00:00",
        "00000000",
        "00000000000000",
        "0",
        "1900-01-01",
        "1900-01-01T00:00:00Z",
        "1900-01-01T12:00:00Z",
        "/Date(-2208988800000)/",
        "0001-01-01T00:00:00",
    ],
)
def test_a_date_when_it_means_none_is_none_and_no_fault(text: str | None) -> None:
    assert moment(text) == (None, None, False)


@pytest.mark.parametrize(
    "text",
    ["20.11.2026", "11/20/2026", "2026-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "2026-11-20T25:00", "2026-11-20T10:60:00",
     "20261301", "202611", "/Date(abc)/", "/Date(9999999999999999)/", "tomorrow", "2026-11-20T10:15:00 Berlin", "1e9", "true", "2026-11-20T24:00:01"],
)  # fmt: skip
def test_a_date_when_in_no_known_form_is_a_fault(text: str) -> None:
    assert moment(text) == (None, None, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10:05:00", 36_300),
        ("10:05", 36_300),
        ("7:05:30", 25_530),
        ("10:05:00Z", 36_300),
        ("10:05:00.5", 36_300.5),
        ("PT10H05M00S", 36_300),
        ("PT10H", 36_000),
        ("PT5M", 300),
        ("P0DT10H05M00S", 36_300),
        ("100500", 36_300),
        ("000000", 0),
        ("36300", 36_300),
        ("0", 0),
        ("24:00:00", 86_400),
        ("240000", 86_400),
        ("86400", 86_400),
    ],
)
def test_a_time_of_day_when_in_any_form_is_its_seconds(text: str, seconds: float) -> None:
    found = read_clock_times(pa.array([text]))
    assert (found.micros[0], found.known[0], found.malformed[0]) == (seconds * SECOND, True, False)


@pytest.mark.parametrize(
    "text", ["25:00:00", "10:60:00", "24:00:01", "86401", "1000000", "noon", "10.15", "256199", "-5"]
)
def test_a_time_of_day_when_there_is_none_such_is_a_fault(text: str) -> None:
    found = read_clock_times(pa.array([text, None]))
    assert (found.known.tolist(), found.malformed.tolist()) == ([False, False], [True, False])


def test_a_column_when_it_repeats_itself_reads_as_one_that_does_not() -> None:
    texts = ["2026-01-31", None, "no date", "1900-01-01", "20260201"]
    many = read_moments(pa.array(texts * 50))
    few = [read_moments(pa.array([text], pa.string())) for text in texts]
    assert dates(many, BERLIN).to_pylist() == [dates(one, BERLIN)[0].as_py() for one in few] * 50
    assert many.malformed.tolist() == [bool(one.malformed[0]) for one in few] * 50
    assert not read_moments(pa.nulls(5, pa.string())).known.any()


BOUNDS = (datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2037-01-01"))
INSTANTS = st.datetimes(*BOUNDS).map(lambda at: at.replace(microsecond=0))


@settings(deadline=None, max_examples=50)
@given(st.lists(INSTANTS, min_size=1, max_size=5))
def test_instants_when_written_in_each_form_are_the_same(ats: list[datetime]) -> None:
    utc = [at.replace(tzinfo=UTC) for at in ats]
    forms = [
        [at.isoformat() for at in utc],
        [f"{at:%Y%m%d%H%M%S}" for at in utc],
        [f"/Date({at.timestamp() * 1000:.0f}+0000)/" for at in utc],
        [at.astimezone(ZoneInfo("Asia/Kolkata")).isoformat() for at in utc],
    ]
    for form in forms:
        assert instants(read_moments(pa.array(form)), BERLIN).to_pylist() == utc


@settings(deadline=None, max_examples=50)
@given(st.lists(INSTANTS, min_size=1, max_size=5), st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe"]))
def test_the_clock_of_a_system_when_read_is_pythons(ats: list[datetime], zone: str) -> None:
    for at, found in zip(ats, wall_to_utc(np.array(ats, "M8[us]").view(np.int64), zone), strict=True):
        back = datetime.fromtimestamp(found / SECOND, ZoneInfo(zone)).replace(tzinfo=None)
        # a time that the clock leaves out has moved to the end of the gap
        assert back == at or timedelta(0) < back - at <= timedelta(hours=1)


def test_an_hour_when_the_clock_shows_it_twice_is_told_apart_by_the_order_of_entry() -> None:
    shown = np.array(["2026-10-25T02:30", "2026-10-25T02:30", "2026-10-25T02:30", "2026-10-25T04:00"], "M8[us]")
    series, order = pa.array(["M1", "M1", "M2", "M1"]), pa.array(["10", "9", "30", "40"])
    first = first_of_repeated(shown.view(np.int64), BERLIN, series, order)
    assert first.tolist() == [False, True, True, True]
    utc = wall_to_utc(shown.view(np.int64), BERLIN, first).view("M8[us]").tolist()
    assert [at.hour for at in utc] == [1, 0, 0, 3]
