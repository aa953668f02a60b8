from __future__ import annotations

import pytest

from resources.core.errors import ConfigError
from resources.core.physics.units import conversion, parse_unit


@pytest.mark.parametrize(
    ("from_code", "to_code", "value", "expected"),
    [
        ("Cel", "K", 100.0, 373.15),
        ("[degF]", "Cel", 212.0, 100.0),
        ("bar", "kPa", 2.5, 250.0),
        ("t/h", "kg/s", 3.6, 1.0),
        ("kW.h", "MJ", 1.0, 3.6),
        ("m3/h", "l/min", 6.0, 100.0),
        ("%", "1", 50.0, 0.5),
        ("kJ/kg", "J/g", 7.0, 7.0),
        ("m.s-2", "m/s2", 9.81, 9.81),
        ("1/min", "1/h", 1.0, 60.0),
        ("[psi]", "bar", 14.503773773, 1.0),
    ],
)
def test_conversion_when_units_agree_then_linear(from_code: str, to_code: str, value: float, expected: float) -> None:
    factor, offset = conversion(from_code, to_code)
    assert factor * value + offset == pytest.approx(expected, rel=1e-9)


def test_conversion_when_the_units_measure_different_things_then_refused() -> None:
    with pytest.raises(ConfigError, match="cannot convert bar"):
        conversion("bar", "kg/h")


@pytest.mark.parametrize("code", ["foo", "kg//h", "", "m^x", "kg/"])
def test_parse_unit_when_not_a_unit_then_the_message_shows_what_to_write(code: str) -> None:
    with pytest.raises(ConfigError, match="write a UCUM code such as"):
        parse_unit(code)


def test_parse_unit_when_one_then_dimensionless() -> None:
    assert parse_unit("1").dimensionless
