"""Enthalpies in any units, against the tables of IAPWS-IF97."""

from __future__ import annotations

import pytest

from resources.core.errors import ConfigError
from resources.core.physics.steam import enthalpy


@pytest.mark.parametrize(
    ("pressure", "temperature", "water", "unit", "expected"),
    [
        # IAPWS-IF97 release, tables 5 (region 1) and 15 (region 2)
        ((3.0, "MPa"), (300.0, "K"), True, "kJ/kg", 115.331273),
        ((0.0035, "MPa"), (700.0, "K"), False, "kJ/kg", 3335.68375),
        ((30.0, "MPa"), (700.0, "K"), False, "kJ/kg", 2631.49474),
        # the same states as plants measure them
        ((35.0, "mbar"), (426.85, "Cel"), False, "Btu/lb", 3335.68375 / 2.326),
        ((30.0 / 0.1 - 1.01325, "barg"), (800.33, "degF"), False, "kJ/kg", 2631.49474),
        ((420.438, "psig"), (80.33, "degF"), True, "kcal/kg", 115.331273 / 4.184),
    ],
)
def test_enthalpy_when_measured_in_any_units_then_that_of_the_tables(
    pressure: tuple[float, str], temperature: tuple[float, str], water: bool, unit: str, expected: float
) -> None:
    assert enthalpy(pressure, temperature, unit=unit, water=water) == pytest.approx(expected, rel=1e-5)


def test_enthalpy_when_the_site_is_high_up_then_a_gauge_pressure_is_less() -> None:
    state = ((3.0, "barg"), (200.0, "Cel"))
    assert enthalpy(*state, atmosphere_kpa=80.0) > enthalpy(*state)


def test_enthalpy_when_a_unit_measures_something_else_then_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot convert kg/h \(mass flow\) to MPa \(pressure\)"):
        enthalpy((3.0, "kg/h"), (200.0, "Cel"))


def test_enthalpy_when_it_would_be_water_then_refused() -> None:
    with pytest.raises(ValueError, match="is below saturation"):
        enthalpy((10.0, "bar"), (100.0, "Cel"))
