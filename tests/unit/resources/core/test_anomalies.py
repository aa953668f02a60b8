"""The block `anomalies`: what is watched, what is refused, and when detectors fit the configuration."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from resources.core.configuration.anomalies import AnomaliesConfig
from resources.core.configuration.settings import TagConfig

TAGS = [
    TagConfig(sensor_id="flow", unit="t/h", canonical_unit="kg/s", equipment="boiler"),
    TagConfig(sensor_id="speed", unit="1/min", equipment="fan"),
    TagConfig(sensor_id="pressure", unit="bar", equipment="boiler"),
    TagConfig(sensor_id="mode", unit="1", data="text", equipment="boiler"),
    TagConfig(sensor_id="valve", unit="1", states={"open": 1}, equipment="boiler"),
    TagConfig(sensor_id="air", unit="Cel"),
]


def test_equipment_when_tags_name_it_then_it_has_their_sensors_with_numbers():
    found = AnomaliesConfig().equipment(TAGS)
    assert found == {"boiler": {"flow": "kg/s", "pressure": "bar"}, "fan": {"speed": "1/min"}}


def test_equipment_when_sensors_are_excluded_or_all_is_off_then_they_are_not_watched():
    assert AnomaliesConfig(exclude=("flow", "speed")).equipment(TAGS) == {"boiler": {"pressure": "bar"}}
    assert AnomaliesConfig(enabled=False).equipment(TAGS) == {}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"step": "1500ms"}, "whole seconds"),
        ({"train_after": "8d"}, "shorter than anomalies.train_after"),
        ({"step": "1s", "training_span": "30d"}, "more than 1,000,000 rows"),
        ({"confidence": 1.0}, "less than 1"),
        ({"step": "2h"}, "less than or equal to"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_block_when_it_cannot_be_then_it_is_refused(wrong: dict[str, str], why: str):
    with pytest.raises(ValidationError, match=why):
        AnomaliesConfig.model_validate(wrong)


def test_hold_when_it_is_no_multiple_of_the_step_then_whole_rows_count():
    assert AnomaliesConfig(step=timedelta(seconds=7), hold=timedelta(seconds=60)).hold_rows == 8


@pytest.mark.parametrize(
    ("block", "sensors", "same"),
    [
        ({}, {"b": "bar", "a": "Cel"}, True),
        ({"retrain_after": "1d"}, {"a": "Cel", "b": "bar"}, True),
        ({"step": "20s"}, {"a": "Cel", "b": "bar"}, False),
        ({"confidence": 0.95}, {"a": "Cel", "b": "bar"}, False),
        ({}, {"a": "K", "b": "bar"}, False),
        ({}, {"a": "Cel"}, False),
    ],
)
def test_fingerprint_when_something_changes_then_it_tells_what_asks_for_training(
    block: dict[str, object], sensors: dict[str, str], same: bool
):
    before = AnomaliesConfig().fingerprint({"a": "Cel", "b": "bar"})
    assert (AnomaliesConfig.model_validate(block).fingerprint(sensors) == before) is same
