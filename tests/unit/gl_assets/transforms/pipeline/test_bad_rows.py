"""Bad rows and what is said of them: every rule, as it rejects and as it lowers."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from gl_assets.transforms.pipeline.run import refine
from gl_assets.transforms.sensors import sensor_table
from resources.core.configuration.settings import TagConfig
from tests.unit.gl_assets.transforms.pipeline.windows import (
    NO_REJECTS,
    before,
    broken_rule,
    defects,
    one_sensor,
    overtaken,
    reasons,
    refined,
    rules,
    series,
)
from tests.unit.gl_assets.transforms.window_contents import readings, sensors

GOOD, UNCERTAIN, BAD, UNKNOWN = 0, 1, 2, 7
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rule", "value", "status", "reason"),
    [
        ("required", None, GOOD, "no value, though the status is good"),
        ("not_a_number", NAN, UNCERTAIN, "the value is not a number (NaN), though the status is uncertain"),
        ("infinite", INF, GOOD, "the value is infinite"),
        ("infinite", -INF, BAD, "the value is infinite"),
        ("range", 500.5, GOOD, "500.5 Cel is above the maximum of 500 Cel"),
        ("range", -50.5, BAD, "-50.5 Cel is below the minimum of -50 Cel"),
        ("type", 20.0, UNKNOWN, "status 7 is none of good, uncertain and bad"),
    ],
)
def test_row_when_its_value_breaks_a_rule_then_it_is_rejected_with_that_reason(
    rule: str, value: float | None, status: int, reason: str
):
    result = refined(one_sensor(minimum=-50, maximum=500), [(7, 0, 20.0, GOOD), (7, 1, value, status)])

    assert reasons(result) == [[reason]]
    assert defects(result) == [[]]


@pytest.mark.parametrize(
    ("sensor_id", "tag", "unit", "reason"),
    [
        ("t", None, "Cel", "sensor t is not in the configuration"),
        ("no good", None, "Cel", "'no good' is not a sensor_id: letters, digits and _ . : / -"),
        ("t", {"data": "text"}, "Cel", "sensor t came as a number, and is configured as text"),
        ("t", {"unit": "K"}, "bar", "sensor t was collected in bar, which does not convert to K as configured now"),
    ],
)
def test_row_when_its_sensor_is_at_fault_then_all_its_readings_are_rejected(
    sensor_id: str, tag: dict[str, str] | None, unit: str, reason: str
):
    tags = {} if tag is None else {sensor_id: TagConfig(sensor_id=sensor_id, **tag)}
    table = sensor_table(sensors([(7, sensor_id, unit, "opc")]), tags)

    result = refined(table, [(7, 0, 20.0, GOOD), (7, 1, None, BAD)])

    assert reasons(result) == [[reason]] * 2


@pytest.mark.parametrize(
    ("column", "reason"),
    [("time", "source time is missing"), ("status", "the status is missing"), ("sensor_key", "the sensor is missing")],
)
def test_row_when_a_field_is_missing_then_it_is_rejected_and_the_others_go_on(column: str, reason: str):
    table = readings([(7, 0, 1.0, GOOD), (7, 1, 2.0, GOOD)])
    place = table.schema.get_field_index(column)
    lacking = pa.chunked_array([pa.array([None], table.schema.field(place).type)])
    table = pa.concat_tables(
        [table.slice(0, 1).set_column(place, pa.field(column, lacking.type), lacking), table.slice(1)],
        promote_options="permissive",
    )

    result = refine(table, NO_REJECTS, one_sensor())

    assert reasons(result) == [[reason]]
    assert result.good.value.tolist() == [2.0]


def test_row_when_it_breaks_several_rules_then_every_one_is_a_reason_in_their_order():
    table = one_sensor(maximum=500, max_rate=10, config=rules(too_old="reject"))

    result = refined(table, [(7, 0, 20.0, GOOD), (7, 1, 900.0, GOOD)], received_s=90)

    assert reasons(result)[-1] == [
        "900 Cel is above the maximum of 500 Cel",
        "source time is 90 s before the receipt",
    ]


def test_row_when_it_is_out_of_range_and_too_quick_then_both_are_reasons():
    result = refined(one_sensor(maximum=500, max_rate=10), series([20.0, 900.0, 21.0]))

    assert reasons(result) == [
        [
            "900 Cel is above the maximum of 500 Cel",
            "900 Cel is further from the last value than 10 Cel/s allow",
        ]
    ]
    assert defects(result) == [[], []]


def test_row_when_it_is_rejected_and_nothing_stands_before_it_then_its_rate_is_not_judged():
    result = refined(one_sensor(maximum=500, max_rate=10), series([900.0, 21.0]))

    assert reasons(result) == [["900 Cel is above the maximum of 500 Cel"]]


@pytest.mark.parametrize(("received_s", "rule"), [(61, "too_old"), (-61, "future")])
def test_row_when_time_and_receipt_lie_apart_then_the_score_is_lower(received_s: float, rule: str):
    result = refined(one_sensor(), series([1.0]), received_s=received_s)

    assert defects(result) == [[rule]]
    assert result.quality_score.tolist() == [90]


@pytest.mark.parametrize(
    ("rule", "reason", "received_s"),
    [
        ("too_old", "source time is 61 s before the receipt", 61),
        ("future", "source time is 61 s ahead of the receipt", -61),
    ],
)
def test_row_when_times_reject_then_the_reason_tells_how_far_they_lie_apart(rule: str, reason: str, received_s: float):
    table = one_sensor(config=rules(**{rule: "reject"}))

    assert reasons(refined(table, series([1.0]), received_s=received_s)) == [[reason]]


def test_row_when_it_comes_from_history_then_its_age_and_order_say_nothing():
    rows = [(7, 1, 1.0, GOOD), (7, 2, 2.0, GOOD)]

    result = refined(one_sensor(), rows, received_s=7200, history=True)

    assert defects(result) == [[], []]


def test_row_when_a_rule_is_only_to_lower_then_it_is_stored_with_a_lower_score():
    result = refined(one_sensor(maximum=500, rules={"range": "lower"}), series([900.0]))

    assert result.rejected.num_rows == 0
    assert (defects(result), result.quality_score.tolist()) == ([["range"]], [60])


def test_row_when_a_rule_is_off_for_its_tag_then_the_reading_has_no_defect():
    table = one_sensor(maximum=500, rules={"range": "off", "too_old": "off"})

    assert defects(refined(table, series([900.0]), received_s=100)) == [[]]


def test_row_when_another_value_came_before_it_then_the_score_is_lower():
    result = refined(one_sensor(), series([1.0, 2.0, 3.0]), rejects=overtaken("t", 1))

    assert defects(result) == [[], ["duplicate"], []]
    assert result.quality_score.tolist() == [100, 90, 100]


@pytest.mark.parametrize(("sensor_id", "second"), [("other", 1), ("t", 9)])
def test_row_when_the_overtaken_one_is_of_elsewhere_then_nothing_is_lowered(sensor_id: str, second: int):
    result = refined(one_sensor(), series([1.0, 2.0]), rejects=overtaken(sensor_id, second))

    assert defects(result) == [[], []]


def test_duplicate_when_it_rejects_then_neither_value_is_kept():
    table = one_sensor(config=rules(duplicate="reject"))

    result = refined(table, series([1.0]), rejects=overtaken("t", 0))

    assert reasons(result) == [["another value came for the same sensor and time before"]]


def test_spike_when_it_is_too_quick_then_the_spike_is_flagged_and_the_return_is_not():
    result = refined(one_sensor(max_rate=10), series([20.0, 21.0, 500.0, 22.0, 23.0]))

    assert broken_rule(result, "rate_of_change") == [500.0]
    assert result.quality_score.tolist() == [100, 100, 90, 100, 100]


def test_step_when_it_is_too_quick_then_it_is_flagged_as_long_as_it_would_have_taken():
    result = refined(one_sensor(max_rate=10), series([0.0, *[45.0 + n for n in range(8)]]))

    # 45 + n is at most 10 (n + 1) from n = 4 on
    assert broken_rule(result, "rate_of_change") == [45.0, 46.0, 47.0, 48.0]


def test_rate_when_readings_lie_further_apart_then_more_is_allowed():
    result = refined(one_sensor(max_rate=10), series([0.0, 45.0], every=5))

    assert defects(result) == [[], []]


def test_rate_when_the_last_reading_before_the_window_is_known_then_the_first_one_is_judged_too():
    table = one_sensor(max_rate=10)

    assert broken_rule(refined(table, series([50.0, 10.0]), before=before(9.0, seconds=1)), "rate_of_change") == [50.0]
    assert broken_rule(refined(table, series([50.0, 51.0])), "rate_of_change") == []


def test_rate_when_it_rejects_then_the_reason_names_the_limit():
    table = one_sensor(max_rate=10, rules={"rate_of_change": "reject"})

    result = refined(table, series([20.0, 500.0, 21.0]))

    assert reasons(result) == [["500 Cel is further from the last value than 10 Cel/s allow"]]
    assert result.good.value.tolist() == [20.0, 21.0]


def test_rate_when_a_value_is_bad_or_missing_then_it_neither_counts_nor_breaks_it():
    rows = [(7, 0, 20.0, GOOD), (7, 1, 900.0, BAD), (7, 2, None, BAD), (7, 3, 21.0, GOOD)]

    assert broken_rule(refined(one_sensor(max_rate=10), rows), "rate_of_change") == []


def test_rate_when_the_tags_unit_was_changed_then_the_limit_follows():
    tag = TagConfig(sensor_id="t", unit="K", max_rate=10)
    table = sensor_table(sensors([(7, "t", "[degF]", "opc")]), {"t": tag})

    assert broken_rule(refined(table, series([20.0, 37.9, 56.5])), "rate_of_change") == [56.5]


def test_rate_when_two_sensors_follow_one_another_then_they_are_not_compared():
    tags = {name: TagConfig(sensor_id=name, unit="Cel", max_rate=1) for name in "ab"}
    table = sensor_table(sensors([(3, "a", "Cel", "opc"), (7, "b", "Cel", "opc")]), tags)
    rows = [(3, 0, 0.0, GOOD), (3, 1, 900.0, GOOD), (7, 0, 500.0, GOOD), (7, 1, 500.5, GOOD)]

    assert broken_rule(refined(table, rows), "rate_of_change") == [900.0]


def test_flat_line_when_the_value_stays_then_it_is_flagged_from_then_on():
    table = one_sensor(flat_after=timedelta(seconds=3))

    result = refined(table, series([1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 6.0]))

    assert [n for n, found in enumerate(defects(result)) if "flat_line" in found] == [4, 5]


def test_flat_line_when_it_began_before_the_window_then_that_counts():
    table = one_sensor(flat_after=timedelta(seconds=60))

    same = refined(table, series([5.0, 5.0, 6.0]), before=before(5.0, seconds=1, since=59))
    other = refined(table, series([5.0, 5.0, 6.0]), before=before(4.0, seconds=1, since=59))

    assert [len(found) for found in defects(same)] == [0, 1, 0]
    assert defects(other) == [[], [], []]


def test_flat_line_when_it_rejects_then_the_reason_tells_how_long():
    table = one_sensor(flat_after=timedelta(seconds=2), rules={"flat_line": "reject"})

    result = refined(table, series([5.0, 5.0, 5.0]))

    assert reasons(result) == [["the value has been 5 Cel for 2 s or longer"]]


def test_order_when_older_readings_come_after_newer_ones_then_those_are_flagged():
    table = readings([(7, n, float(n), GOOD) for n in range(5)])
    table = table.set_column(5, "sequence", pa.array([1, 7, 8, 2, 3]))

    result = refine(table, NO_REJECTS, one_sensor())

    assert broken_rule(result, "out_of_order") == [1.0, 2.0]
    assert result.quality_score.tolist() == [100, 90, 90, 100, 100]


def test_order_when_it_rejects_then_the_reason_says_so():
    table = readings([(7, 0, 0.0, GOOD), (7, 1, 1.0, GOOD)]).set_column(5, "sequence", pa.array([2, 1]))

    result = refine(table, NO_REJECTS, one_sensor(config=rules(out_of_order="reject")))

    assert reasons(result) == [["a newer reading of this sensor came before it"]]


def test_order_when_rows_come_unsorted_then_they_leave_by_sensor_and_time():
    result = refined(one_sensor(), [(7, 2, 3.0, GOOD), (7, 0, None, BAD), (7, 1, 2.0, GOOD)], history=True)

    assert np.diff(result.good.time_us).tolist() == [1_000_000] * 2
    assert result.good.value.tolist()[1:] == [2.0, 3.0]
