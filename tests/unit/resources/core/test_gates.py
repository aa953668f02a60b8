from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from resources.core.configuration.gates import GateSettings, setting_of
from resources.core.configuration.settings import StrictModel, parse_yaml

ADAPTER = TypeAdapter(GateSettings)


class _Block(StrictModel):
    gates: GateSettings


def test_settings_when_a_gate_is_named_then_name_goes_before_kind_and_table_before_all():
    settings = ADAPTER.validate_python(
        {
            "all": {"range": {"effect": "warn", "most": 1}, "one_name": {"effect": "block"}},
            "a/b": {"range": {"most": 2}, "other": {"most": 9}},
        }
    )
    found = setting_of(settings, "a/b", "range", "one_name")
    assert (found.effect, found.most) == ("block", 2)
    assert setting_of(settings, "a/b", "range", "other").most == 9
    assert setting_of(settings, "c/d", "score", "x").effect is None


def test_settings_when_off_is_written_bare_then_it_is_off_and_not_false():
    block = parse_yaml("gates: {all: {score: {effect: off}, freshness: {within: 2h}}}", _Block, name="x.yaml")
    assert block.gates["all"]["score"].effect == "off"
    assert block.gates["all"]["freshness"].within == timedelta(hours=2)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"all": {"score": {"most": 1}}}, "the limit of score is written as least, not as most"),
        ({"all": {"range": {"within": "1h"}}}, "the limit of range is written as most, not as within"),
        ({"all": {"completeness": {"least": 50}}}, "a share from 0 to 1, not 50"),
        ({"all": {"freshness": {"effect": "block"}}}, "warn or off, not block"),
        ({"readings": {}}, "String should match pattern"),
        ({"all": {"Score": {}}}, "String should match pattern"),
        ({"all": {"score": {"effect": "stop"}}}, "'block', 'warn' or 'off'"),
        ({"all": {"score": {"least": 101}}}, "less than or equal to 100"),
    ],
)
def test_settings_when_they_make_no_sense_then_the_message_says_why(settings: dict, says: str):
    with pytest.raises(ValidationError, match=says):
        ADAPTER.validate_python(settings)
