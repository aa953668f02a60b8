"""What the configuration may say of rules."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from resources.core.configuration.quality_rules import RulesConfig
from resources.core.configuration.settings import TagConfig, parse_yaml
from resources.core.rules import BIT, RULES, ChosenRule
from resources.scada.modbus.config import ModbusTag
from resources.scada.tag_lists import as_tag, read_tag_list


def test_rules_when_written_as_bare_words_then_off_is_not_taken_for_false():
    found = parse_yaml("range: lower\ntoo_old: off\nflat_line: reject", RulesConfig, name="rules")

    assert (found.range, found.too_old, found.flat_line) == ("lower", "off", "reject")


@pytest.mark.parametrize("rules", [{"range": "ignore"}, {"not_a_number": "off"}, {"colour": "off"}])
def test_rules_of_a_tag_when_unknown_or_not_to_be_chosen_then_they_are_refused(rules: dict[str, str]):
    with pytest.raises(ValidationError):
        TagConfig(sensor_id="t", unit="Cel", rules=rules)


@pytest.mark.parametrize("odd", [{"max_rate": 0}, {"max_rate": float("inf")}, {"flat_after": "0s"}])
def test_tag_when_a_rate_or_a_duration_makes_no_sense_then_it_is_refused(odd: dict[str, object]):
    with pytest.raises(ValidationError):
        TagConfig(sensor_id="t", unit="Cel", **odd)


def test_text_tag_when_it_has_a_rate_then_it_is_refused():
    with pytest.raises(ValidationError, match="a text has no max_rate"):
        TagConfig(sensor_id="t", data="text", max_rate=1)


def test_tag_list_when_it_has_rules_then_they_are_read_from_cells(tmp_path: Path):
    path = tmp_path / "tags.csv"
    path.write_text("sensor_id,unit,address,max_rate,flat_after,rules\nt,Cel,0,2.5,10m,range=lower; too_old=off\n")

    [row] = read_tag_list(path, ModbusTag).rows
    tag = ModbusTag.model_validate(as_tag(row, ModbusTag))

    assert tag.rules == {"range": "lower", "too_old": "off"}
    assert (tag.max_rate, tag.flat_after.total_seconds()) == (2.5, 600)


def test_bits_when_rules_are_numbered_then_each_has_its_own_and_all_fit_into_the_column():
    assert set(get_args(ChosenRule)) < set(RULES)
    assert [BIT[rule] for rule in RULES] == [1 << n for n in range(len(RULES))]
    assert max(BIT.values()) < 1 << 15
