import pytest
from pydantic import ValidationError

from resources.core.configuration.energy import EnergyConfig, EnergyConsumer


def test_consumers_when_none_is_named_then_each_boiler_is_one():
    assert EnergyConfig().all_consumers(("b1", "b2")) == {
        "b1": EnergyConsumer(boiler="b1"),
        "b2": EnergyConsumer(boiler="b2"),
    }
    named = EnergyConfig.model_validate({"consumers": {"f": {"locations": ["f"]}}})
    assert list(named.all_consumers(("b1",))) == ["f"]


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"time_zone": "Mars/Olympus"}, "unknown time zone"),
        ({"currency": "euro"}, "String should match pattern"),
        ({"consumers": {"f": {}}}, "needs locations"),
        ({"consumers": {"f": {"locations": ["x"]}, "g": {"locations": ["x"]}}}, "locations x stand twice"),
        ({"types": {"gas": {"kwh_per_m3": 0}}}, "greater than 0"),
    ],
)
def test_config_when_it_makes_no_sense_then_the_message_says_why(block: dict, says: str):
    with pytest.raises(ValidationError, match=says):
        EnergyConfig.model_validate(block)
