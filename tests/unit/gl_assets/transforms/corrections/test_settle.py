from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from gl_assets.transforms.corrections.settle import OVERTAKEN, REPEATED, UNDECIDED, Settled, settle
from resources.core.configuration.settings import TagConfig
from tests.unit.gl_assets.transforms.corrections.builders import START, batch, reading, rejected

TAGS = {
    "B1/P": TagConfig(sensor_id="B1/P", unit="bar"),
    "B1/MODE": TagConfig(sensor_id="B1/MODE", data="text"),
}


def settled(*rows: dict[str, Any]) -> Settled:
    return settle(batch(*rows), TAGS, start=START, until=START + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (rejected({"p": 1}), "what the source sent"),
        (reading(1.0, sensor_id=None), "no sensor is known"),
        (reading(1.0, time=None), "no source time is known"),
        (reading(1.0, time=START - timedelta(seconds=1)), "before 2026-11-22T10:15:00Z, the configured start"),
        (reading(1.0, time=START + timedelta(minutes=15)), "its window is not over"),
        (reading(1.0, sensor_id="B1/MODE"), "there is no text"),
    ],
)
def test_row_when_it_can_become_no_reading_then_it_is_set_aside_with_the_reason(row: dict[str, Any], why: str) -> None:
    found = settled(row)
    assert found.outcome.tolist() == ["rejected"]
    assert why in found.why[0][0]
    assert not found.goes_on.any()


def test_row_when_parts_are_missing_then_the_tag_completes_it() -> None:
    found = settled(
        reading(1.0, unit=None),
        reading("RUN", unit=None, sensor_id="B1/MODE"),
        reading(None, status="bad", time=START),
        reading(2.0, unit="Pa", time=START + timedelta(seconds=1)),
        reading(3.0, unit=None, sensor_id="NEW"),
    )
    assert found.goes_on.all()
    assert found.unit == ["bar", "1", "bar", "Pa", ""]
    assert found.is_text.tolist() == [False, True, False, False, False]
    assert found.is_null.tolist() == [False, True, True, False, False]
    assert found.status.tolist() == [0, 0, 2, 0, 0]


def test_rows_when_corrected_to_one_instant_then_the_later_one_counts() -> None:
    found = settled(reading(1.0), reading(2.0), reading(2.0), reading(5.0, time=START))
    assert found.outcome.tolist() == ["rejected", "repeated", UNDECIDED, UNDECIDED]
    assert (found.why[0], found.why[1]) == ([OVERTAKEN], [REPEATED])


def test_row_when_it_is_decided_then_it_stays_so() -> None:
    found = settled(reading(1.0), reading(2.0, time=START))
    found.decide(np.array([True, False]), "stored")
    found.decide(np.array([0, 1]), "rejected", "why")
    assert found.outcome.tolist() == ["stored", "rejected"]
    assert found.why == {0: [], 1: ["why"]}
