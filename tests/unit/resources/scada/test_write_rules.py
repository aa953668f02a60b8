"""The rules of writing: pure, by table."""

from __future__ import annotations

import math
from typing import Any

import pytest

from resources.core.configuration.settings import TagConfig, Writable
from resources.scada.write_rules import RefusedError, confirms, refuse_haste, refuse_step, refuse_value

BOUNDS = Writable(minimum=20, maximum=45, max_step=2)


def tag(**changes: Any) -> TagConfig:
    return TagConfig.model_validate({"sensor_id": "a", "unit": "bar", "writable": BOUNDS} | changes)


@pytest.mark.parametrize("value", [20, 45, 30.5])
def test_value_when_within_bounds_then_they_are_returned(value: float) -> None:
    assert refuse_value(tag(), value) is BOUNDS


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (19.999, "outside of writable.minimum 20 to writable.maximum 45"),
        (45.001, "outside"),
        (math.nan, "not a number that can be written"),
        (math.inf, "not a number that can be written"),
        (-math.inf, "not a number that can be written"),
    ],
)
def test_value_when_out_of_bounds_then_it_is_refused(value: float, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        refuse_value(tag(), value)


def test_value_when_the_tag_is_read_only_then_it_is_refused_whatever_it_is() -> None:
    with pytest.raises(RefusedError, match="read-only"):
        refuse_value(tag(writable=None), 30)


@pytest.mark.parametrize(("value", "present"), [(30, 30), (32, 30), (28, 30), (30.3, 28.3), (30, 28)])
def test_step_when_small_enough_then_it_passes(value: float, present: float) -> None:
    refuse_step(BOUNDS, "bar", value, present)


@pytest.mark.parametrize(("value", "present"), [(32.1, 30), (27.9, 30), (30, 0), (20, 45)])
def test_step_when_too_large_then_it_is_refused_with_both_values(value: float, present: float) -> None:
    with pytest.raises(RefusedError, match=f"from {present:g} to {value:g} bar is a step of"):
        refuse_step(BOUNDS, "bar", value, present)


@pytest.mark.parametrize(("ago_s", "refused"), [(None, False), (59.0, True), (60.0, False), (3600.0, False)])
def test_haste_when_an_interval_is_set_then_it_must_have_passed(ago_s: float | None, refused: bool) -> None:
    bounds = BOUNDS.model_validate(BOUNDS.model_dump() | {"minimum_interval": "60s"})
    if refused:
        with pytest.raises(RefusedError, match="59 s ago, and writable.minimum_interval is 60 s"):
            refuse_haste(bounds, ago_s)
    else:
        refuse_haste(bounds, ago_s)
    refuse_haste(BOUNDS, ago_s)


@pytest.mark.parametrize(
    ("sent", "found", "tolerance", "expected"),
    [
        (12.3, 12.3, 0.0, True),
        (12.3, 12.300000190734863, 0.0, True),
        (12.3, 12.31, 0.0, False),
        (12.34, 12.3, 0.05, True),
        (12.34, 12.28, 0.05, False),
        (0.0, 0.0, 0.0, True),
        (0.0, 1e-9, 0.0, False),
        (1.0, None, 5.0, False),
        (1.0, math.nan, 5.0, False),
    ],
)
def test_confirms_when_a_value_is_read_back_then_only_rounding_and_tolerance_are_allowed(
    sent: float, found: float | None, tolerance: float, expected: bool
) -> None:
    bounds = BOUNDS.model_copy(update={"tolerance": tolerance})
    assert confirms(bounds, sent, found) is expected
