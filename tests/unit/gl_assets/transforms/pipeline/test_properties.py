"""What holds of any readings: the steps repeated change nothing, and the rules of neighbours are those of a plain loop."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gl_assets.transforms.pipeline.columns import Columns
from gl_assets.transforms.pipeline.neighbours import Before, flat, implausible, out_of_order
from gl_assets.transforms.pipeline.run import refine
from gl_assets.transforms.sensors import SensorTable, sensor_table
from resources.core.configuration.quality_rules import RulesConfig
from resources.core.configuration.settings import TagConfig
from resources.core.readings import readings_batch
from tests.unit.gl_assets.transforms.pipeline.windows import NO_REJECTS, START_US
from tests.unit.gl_assets.transforms.window_contents import sensors

SENSORS = [(0, "a", "Cel", "opc"), (1, "b", "Cel", "plc"), (2, "c", "[degF]", "plc")]
TAGS = {
    "a": TagConfig(sensor_id="a", unit="Cel", minimum=-50, maximum=500, max_rate=10),
    "b": TagConfig(sensor_id="b", unit="Cel", canonical_unit="K", flat_after=timedelta(seconds=3)),
    "c": TagConfig(sensor_id="c", unit="Cel", maximum=100, max_rate=5, rules={"rate_of_change": "reject"}),
}

values = st.one_of(
    st.none(),
    st.sampled_from([0.0, 1.0, 5.0, 5.0, 5.0, 100.0, 600.0, float("nan"), float("inf")]),
    st.floats(-100, 700),
)
rows_of_one = st.lists(st.tuples(values, st.integers(0, 2), st.integers(-100, 200)), max_size=12)
windows = st.tuples(rows_of_one, rows_of_one, rows_of_one)


def table_of(window: tuple[list[tuple[float | None, int, int]], ...], order: list[int]) -> pa.Table:
    """Readings of each sensor, a second apart; `order` shuffles their sequences."""
    rows = [(key, n, *row) for key, found in enumerate(window) for n, row in enumerate(found)]
    times = np.array([START_US + 1_000_000 * row[1] for row in rows], np.int64)
    batch = readings_batch(
        times,
        np.array([row[0] for row in rows], np.int32),
        np.array([np.nan if row[2] is None else row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.uint8),
        times + np.array([row[4] for row in rows], np.int64) * 1_000_000,
        missing=np.array([row[2] is None for row in rows], bool),
    )
    sequence = pa.array([order[n % len(order)] * 1000 + n for n in range(len(rows))], pa.int64())
    return pa.Table.from_batches([batch]).append_column("sequence", sequence)


orders = st.permutations(range(6))


@given(window=windows, order=orders, action=st.sampled_from(["lower", "reject"]))
def test_pipeline_when_repeated_on_what_it_stored_then_nothing_changes(
    window: tuple[list[tuple[float | None, int, int]], ...], order: list[int], action: str
):
    known = sensor_table(sensors(SENSORS), TAGS, RulesConfig(flat_line=action, too_old=action))
    once = refine(table_of(window, order), NO_REJECTS, known)
    stored = once.good

    twice = refine(as_table(stored), NO_REJECTS, known)

    assert twice.rejected.num_rows == 0
    for name in ("sensor", "time_us", "received_us", "sequence", "status"):
        assert getattr(twice.good, name).tolist() == getattr(stored, name).tolist()
    np.testing.assert_array_equal(twice.good.value, stored.value)
    np.testing.assert_array_equal(twice.good.calibrated_value, stored.calibrated_value)


@given(window=windows, order=orders)
def test_pipeline_when_rows_are_refined_then_each_is_stored_or_rejected_once_and_scored_within_bounds(
    window: tuple[list[tuple[float | None, int, int]], ...], order: list[int]
):
    table = table_of(window, order)

    result = refine(table, NO_REJECTS, sensor_table(sensors(SENSORS), TAGS))

    sequences = [*result.good.sequence.tolist(), *result.rejected.column("sequence").to_pylist()]
    assert sorted(sequences) == sorted(table.column("sequence").to_pylist())
    assert ((result.quality_score >= 0) & (result.quality_score <= 100)).all()
    assert (result.quality_score[result.defects != 0] < 100).all()
    assert all(row["reasons"] for row in result.rejected.to_pylist())


def as_table(columns: Columns) -> pa.Table:
    batch = readings_batch(
        columns.time_us,
        columns.sensor,
        columns.value,
        columns.status,
        columns.received_us,
        missing=np.isnan(columns.value),
    )
    return pa.Table.from_batches([batch]).append_column("sequence", pa.array(columns.sequence))


series_of_one = st.lists(st.sampled_from([0.0, 1.0, 4.0, 9.0, 25.0, 60.0]), min_size=1, max_size=30)
before_one = st.one_of(st.none(), st.sampled_from([0.0, 5.0, 60.0]))


def lines(found: list[list[float]]) -> tuple[Columns, SensorTable]:
    """Good readings of several sensors, a second apart."""
    known = [(n, f"s{n}", "Cel", "opc") for n in range(len(found))]
    tags = {f"s{n}": TagConfig(sensor_id=f"s{n}", unit="Cel", max_rate=5, flat_after="3s") for n in range(len(found))}
    sensor = np.repeat(np.arange(len(found), dtype=np.int32), [len(one) for one in found])
    second = np.concatenate([np.arange(len(one)) for one in found])
    value = np.array([value for one in found for value in one])
    time = START_US + second.astype(np.int64) * 1_000_000
    zeros = np.zeros(len(value), np.int64)
    return Columns(sensor, time, time, zeros, zeros.astype(np.uint8), value, value), sensor_table(sensors(known), tags)


def just_before(found: list[float | None]) -> Before:
    value = np.array([np.nan if one is None else one for one in found])
    time = np.full(len(found), START_US - 1_000_000)
    return Before(time, value, time - 1_000_000)


@given(found=st.lists(st.tuples(before_one, series_of_one), min_size=1, max_size=4))
def test_rate_when_compared_with_a_loop_over_the_last_plausible_reading_then_both_agree(
    found: list[tuple[float | None, list[float]]],
):
    expected, place = [], 0
    for first, values in found:
        last, at = first, -1
        for second, value in enumerate(values):
            if last is not None and abs(value - last) > 5 * (second - at):
                expected.append(place)
            else:
                last, at = value, second
            place += 1
    columns, table = lines([values for _, values in found])

    assert implausible(columns, table, just_before([first for first, _ in found])).tolist() == expected


@given(found=st.lists(st.tuples(before_one, series_of_one), min_size=1, max_size=4))
def test_flat_line_when_compared_with_a_loop_then_both_agree(found: list[tuple[float | None, list[float]]]):
    expected, place = [], 0
    for first, values in found:
        last, since = first, -2
        for second, value in enumerate(values):
            if value != last:
                last, since = value, second
            if second - since >= 3:
                expected.append(place)
            place += 1
    columns, table = lines([values for _, values in found])

    assert flat(columns, table, just_before([first for first, _ in found])).tolist() == expected


@given(found=st.lists(st.permutations(range(7)), min_size=1, max_size=4))
def test_order_when_compared_with_a_loop_then_both_agree(found: list[list[int]]):
    columns, _ = lines([[0.0] * len(one) for one in found])
    sequence = np.array([value for one in found for value in one], np.int64)
    expected, place = [], 0
    for one in found:
        expected += [place + n for n, value in enumerate(one) if min(one[n:]) < value]
        place += len(one)

    shuffled = Columns(columns.sensor, columns.time_us, columns.received_us, sequence, *[columns.status, columns.value] * 1, columns.value)  # fmt: skip
    assert out_of_order(shuffled).tolist() == expected
