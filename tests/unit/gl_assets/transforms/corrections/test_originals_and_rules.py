import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gl_assets.transforms.corrections.ids import RejectedId
from gl_assets.transforms.corrections.originals import as_number, original_readings
from gl_assets.transforms.corrections.rules import Rules, apply_rules
from resources.core.errors import ConfigError, DataError
from tests.unit.gl_assets.transforms.corrections.builders import START, reading, rejected


@pytest.mark.parametrize(
    ("raw", "value", "text", "unit", "status"),
    [
        ({"value": 400, "status": "good", "unit": "bar"}, 400.0, None, "bar", "good"),
        ({"value": None, "status": "bad", "unit": ""}, None, None, None, "bad"),
        ({"value": "-inf", "status": "good", "unit": "bar"}, -math.inf, None, "bar", "good"),
        ({"sensor_id": "B1/P", "time": "t", "value": "RUN", "status": "good"}, None, "RUN", None, "good"),
        ({"value": "12", "status": "good"}, None, "12", None, "good"),
        ({"value": 400, "status": "good", "scale": 2}, None, None, None, None),
        ({"value": 400}, None, None, None, None),
        ([1, 2], None, None, None, None),
        ("text", None, None, None, None),
    ],
)
def test_original_when_it_is_a_reading_then_it_is_read_and_else_nothing_is(
    raw: Any, value: float | None, text: str | None, unit: str | None, status: str | None
) -> None:
    (row,) = original_readings([rejected(raw)]).to_pylist()
    assert (row["value"], row["text_value"], row["unit"], row["status"]) == (value, text, unit, status)
    assert row["sensor_id"] == "B1/P"


def test_number_when_it_is_true_then_it_is_none() -> None:
    assert as_number(True) is None
    assert math.isnan(as_number("NaN") or 0)


def test_rules_when_applied_then_what_they_do_not_say_stays() -> None:
    rows = original_readings([reading(400.0), reading(None, status="bad"), rejected({"p": 1}, time=None)])
    given_rules = Rules(multiply=0.1, add=1.0, status="uncertain", sensor_id="B2/P", shift=-timedelta(hours=1))
    found = apply_rules(rows, given_rules).to_pylist()
    assert [row["value"] for row in found] == [41.0, None, None]
    assert [row["status"] for row in found] == ["uncertain"] * 3
    assert {row["sensor_id"] for row in found} == {"B2/P"}
    assert [row["unit"] for row in found] == ["bar", "bar", None]
    assert [row["time"] for row in found] == [START + timedelta(seconds=5) - timedelta(hours=1)] * 2 + [None]
    assert given_rules.told() == {
        "multiply": 0.1, "add": 1.0, "status": "uncertain", "sensor_id": "B2/P", "shift": "-3600s",
    }  # fmt: skip


def test_rules_when_none_is_given_then_rows_are_as_they_were() -> None:
    rows = original_readings([reading(400.0)])
    assert Rules().as_is
    assert not Rules(unit="Pa").as_is
    assert apply_rules(rows, Rules()).equals(rows)
    assert apply_rules(rows, Rules(unit="Pa")).column("unit").to_pylist() == ["Pa"]
    assert Rules(unit="psig").told() == {"unit": "[psi]{gauge}"}


@given(st.lists(st.floats(-1e9, 1e9), max_size=20), st.floats(0.001, 1000), st.floats(-1e6, 1e6))
def test_rules_when_undone_then_values_are_those_of_before(values: list[float], factor: float, more: float) -> None:
    rows = original_readings([reading(value) for value in values])
    there = apply_rules(rows, Rules(multiply=factor, add=more))
    back = apply_rules(apply_rules(there, Rules(add=-more)), Rules(multiply=1 / factor))
    for before, after in zip(values, back.column("value").to_pylist(), strict=True):
        assert after == pytest.approx(before, rel=1e-6, abs=2e-3 * (1 + abs(more)) / factor * 1e-6)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"status": "fine"}, "write one of good, uncertain, bad"),
        ({"multiply": 0.0}, "other than 0"),
        ({"multiply": math.nan}, "finite"),
        ({"add": math.inf}, "finite"),
        ({"shift": timedelta(days=99_999)}, "at most 14600 days"),
    ],
)
def test_rules_when_they_cannot_be_meant_then_they_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rules(**rules)


def test_id_when_written_and_read_then_it_is_the_same() -> None:
    one = RejectedId("plant", "c1-history", START, -4)
    assert str(one) == "plant/c1-history/2026-11-22T10:15/-4"
    assert RejectedId.parse(f" {one} ") == one


@pytest.mark.parametrize("text", ["", "17", "a/b/c", "plant/c1/2026-11-22/4", "plant/c1/2026-11-22T10:15/x"])
def test_id_when_it_is_none_then_the_message_shows_one(text: str) -> None:
    with pytest.raises(DataError, match="2026-11-22T10:15/4711"):
        RejectedId.parse(text)
