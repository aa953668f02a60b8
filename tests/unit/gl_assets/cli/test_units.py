from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gl_assets.cli.site.units import units
from resources.core.errors import ConfigError, DataError


def said(*arguments: str) -> str:
    result = CliRunner().invoke(units, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_convert_when_units_agree_then_the_value() -> None:
    assert said("convert", "100", "psig", "bar") == "100 [psi]{gauge} = 7.90800729 bar"
    shown = json.loads(said("convert", "0", "barg", "kPa", "--atmosphere-kpa", "84", "--json"))
    assert (shown["result"], shown["unit"], shown["factor"]) == (84.0, "bar{gauge}", 100.0)


def test_convert_when_impossible_then_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="they measure different things"):
        said("convert", "1", "bar", "kg/h")


def test_explain_when_a_plants_spelling_then_its_code_and_quantity() -> None:
    assert said("explain", "Nm3/h") == "m3{normal}/h: gas flow at 0 Cel and 101.325 kPa"
    assert json.loads(said("explain", "MMBtu", "--json")) == {"unit": "10*6.[Btu_IT]", "measures": "energy"}


def test_steam_when_a_state_is_given_then_its_enthalpy() -> None:
    assert said("steam", "--pressure", "10 barg", "--temperature", "250 Cel") == "2939.431 kJ/kg"
    shown = json.loads(said("steam", "--pressure", "10 bar", "--temperature", "80 Cel", "--water", "--json"))
    assert shown["enthalpy"] == pytest.approx(335.7, rel=1e-3)


@pytest.mark.parametrize(("pressure", "error"), [("ten bar", ConfigError), ("10", ConfigError), ("10 bar", DataError)])
def test_steam_when_it_makes_no_sense_then_refused(pressure: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        said("steam", "--pressure", pressure, "--temperature", "50 Cel")
