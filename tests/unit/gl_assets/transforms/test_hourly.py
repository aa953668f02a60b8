import numpy as np
import pandas as pd
import pytest

from gl_assets.schemas.hourly_readings import HourlyReadings
from gl_assets.transforms.hourly import COLUMNS, to_hourly
from resources.core.errors import DataError


def frame(*rows: tuple[str, str, float | None, str, str]) -> pd.DataFrame:
    """Rows of (sensor_id, time of the day, value, unit, status)."""
    found = pd.DataFrame(rows, columns=["sensor_id", "time", "value", "unit", "status"])
    found["time"] = pd.to_datetime("2026-11-22T" + found["time"] + "Z", format="ISO8601", utc=True)
    return found


def test_to_hourly_when_values_hold_for_different_times_then_the_mean_weighs_them():
    found = to_hourly(frame(("a", "10:00:00", 10.0, "bar", "good"), ("a", "10:45:00", 20.0, "bar", "good")))

    [row] = found.to_dict("records")
    assert row == {
        "hour": pd.Timestamp("2026-11-22T10:00Z"),
        "sensor_id": "a",
        "readings": 2,
        "good_share": 1.0,
        "min_value": 10.0,
        "max_value": 20.0,
        "sum_value": 30.0,
        "mean_value": pytest.approx(12.5),
        "unit": "bar",
    }


def test_to_hourly_when_a_reading_is_not_good_then_it_ends_the_value_before_and_holds_nothing():
    found = to_hourly(
        frame(
            ("a", "10:30:00", 10.0, "bar", "good"),
            ("a", "10:40:00", None, "bar", "bad"),
            ("a", "10:50:00", 40.0, "bar", "good"),
            ("a", "10:55:00", 99.0, "bar", "uncertain"),
        )
    )

    assert found["mean_value"].tolist() == pytest.approx([(10 * 10 + 40 * 5) / 15])
    assert found["good_share"].tolist() == [0.5]
    assert found["max_value"].tolist() == [40.0]


def test_to_hourly_when_no_reading_is_good_then_statistics_are_null():
    found = to_hourly(frame(("a", "10:30:00", 10.0, "bar", "bad")))

    assert found[["min_value", "max_value", "sum_value", "mean_value"]].isna().all(axis=None)
    assert found["good_share"].tolist() == [0.0]


LARGEST = float(np.finfo(np.float64).max)


@pytest.mark.parametrize(
    ("values", "mean", "total"),
    [
        ((LARGEST, 1.0, 2.0, 3.0), LARGEST / 6, LARGEST),
        ((LARGEST, LARGEST, LARGEST, LARGEST), LARGEST, None),
        ((LARGEST, -LARGEST, LARGEST, -LARGEST), -LARGEST / 3, 0.0),
    ],
    ids=["once", "always", "both signs"],
)
def test_to_hourly_when_a_sensor_sends_the_largest_number_then_the_hour_of_all_is_valid(values, mean, total):
    times = ("10:00:00", "10:10:00", "10:20:00", "10:30:00")
    rows = [("a", time, value, "bar", "good") for time, value in zip(times, values, strict=True)]
    found = to_hourly(frame(*rows, ("b", "10:00:00", 1.0, "bar", "good")))

    HourlyReadings.validate(found, lazy=True)
    large, plain = found.to_dict("records")
    assert (large["min_value"], large["max_value"], large["good_share"]) == (min(values), max(values), 1.0)
    assert large["mean_value"] == pytest.approx(mean)
    assert large["sum_value"] == total if total is not None else np.isnan(large["sum_value"])
    assert (plain["mean_value"], plain["sum_value"]) == (1.0, 1.0)


def test_to_hourly_when_a_value_overflows_in_the_hours_unit_then_it_is_not_good():
    rows = frame(("a", "10:00:00", LARGEST, "bar", "good"), ("a", "10:30:00", 4.0, "kPa", "good"))

    found = to_hourly(rows)
    HourlyReadings.validate(found, lazy=True)
    assert found[["good_share", "max_value", "mean_value"]].to_numpy().tolist() == [[0.5, 4.0, 4.0]]


def test_to_hourly_when_several_sensors_and_hours_come_unordered_then_each_has_its_row():
    found = to_hourly(
        frame(
            ("b", "11:00:00", 3.0, "bar", "good"),
            ("a", "10:59:59.5", 2.0, "bar", "good"),
            ("b", "10:00:00", 1.0, "bar", "good"),
            ("a", "11:10:00", 5.0, "bar", "good"),
        )
    )

    assert [(row.sensor_id, row.hour.hour, row.mean_value) for row in found.itertuples()] == [
        ("a", 10, 2.0),
        ("a", 11, 5.0),
        ("b", 10, 1.0),
        ("b", 11, 3.0),
    ]


def test_to_hourly_when_text_columns_are_categorical_then_the_result_is_the_same():
    plain = frame(("b", "11:00:00", 3.0, "bar", "good"), ("a", "10:59:59", 2.0, "kPa", "good"))

    pd.testing.assert_frame_equal(
        to_hourly(plain.astype({"sensor_id": "category", "unit": "category"})), to_hourly(plain)
    )


def test_to_hourly_when_the_unit_changes_inside_an_hour_then_values_are_converted_to_the_last():
    found = to_hourly(frame(("a", "10:00:00", 200.0, "kPa", "good"), ("a", "10:30:00", 4.0, "bar", "good")))

    assert found["unit"].tolist() == ["bar"]
    assert found["mean_value"].tolist() == pytest.approx([3.0])


def test_to_hourly_when_a_gauge_becomes_absolute_inside_an_hour_then_the_air_of_the_site_is_added():
    readings = frame(("a", "10:00:00", 200.0, "kPa{gauge}", "good"), ("a", "10:30:00", 300.0, "kPa", "good"))

    assert to_hourly(readings, atmosphere_kpa=90.0)["min_value"].tolist() == pytest.approx([290.0])
    assert to_hourly(readings)["max_value"].tolist() == pytest.approx([301.325])


def test_to_hourly_when_the_units_do_not_convert_then_the_message_names_the_sensor():
    with pytest.raises(DataError, match="a came in K and in bar"):
        to_hourly(frame(("a", "10:00:00", 200.0, "K", "good"), ("a", "10:30:00", 4.0, "bar", "good")))


def test_to_hourly_when_there_is_nothing_then_the_columns_are_there():
    found = to_hourly(frame(("a", "10:00:00", 1.0, "bar", "good"))[:0])

    assert tuple(found.columns) == COLUMNS
    HourlyReadings.validate(found, lazy=True)


def test_to_hourly_when_compared_with_a_loop_then_equal():
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.choice(7200, 400, replace=False))
    rows = frame(
        *(
            (f"s{n % 3}", f"{10 + s // 3600}:{s // 60 % 60:02d}:{s % 60:02d}", float(v), "bar", status)
            for n, (s, v, status) in enumerate(
                zip(seconds, rng.normal(5, 2, 400), rng.choice(["good", "bad"], 400, p=[0.9, 0.1]), strict=True)
            )
        )
    )
    found = to_hourly(rows)
    HourlyReadings.validate(found, lazy=True)

    for (sensor, hour), group in rows.groupby(["sensor_id", rows["time"].dt.floor("h")]):
        ends = [*group["time"].tolist()[1:], hour + pd.Timedelta(hours=1)]
        held = [(end - row.time).total_seconds() for row, end in zip(group.itertuples(), ends, strict=True)]
        good = [(row.value, h) for row, h in zip(group.itertuples(), held, strict=True) if row.status == "good"]
        [row] = found[(found["sensor_id"] == sensor) & (found["hour"] == hour)].to_dict("records")
        assert row["mean_value"] == pytest.approx(sum(v * h for v, h in good) / sum(h for _, h in good))
        assert row["readings"] == len(group)
