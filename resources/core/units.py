"""Units as UCUM codes (the `c/s` column of the standard), understood through pint.

Conversions are linear (`y = factor * x + offset`), so that a whole column is converted by one multiplication.
Source: The Unified Code for Units of Measure, version 2.2.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pint

from resources.core.errors import ConfigError

_SPECIAL = {
    "Cel": "degC",
    "[degF]": "degF",
    "%": "percent",
    "1": "dimensionless",
    "[g]": "standard_gravity",
    "[psi]": "psi",
    "[Btu]": "Btu",
    "[HP]": "horsepower",
    "[lb_av]": "pound",
    "[cft_i]": "cubic_foot",
    "[gal_us]": "gallon",
    "Ohm": "ohm",
    "[ppm]": "ppm",
    "bar": "bar",
    "mbar": "millibar",
    "t": "metric_ton",
    "l": "liter",
    "L": "liter",
    "h": "hour",
    "min": "minute",
    "d": "day",
    "s": "second",
    "m": "meter",
    "mm": "millimeter",
    "K": "kelvin",
    "a": "year",
}
_TOKEN = re.compile(r"(\[[^\]]+\]|%|[A-Za-z]+)(-?\d+)?|(\d+)")


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry[float]:
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True, cache_folder=None)


def _term(code: str) -> str:
    match = _TOKEN.fullmatch(code)
    if match is None:
        raise ValueError(code)
    if match.group(3):
        return match.group(3)
    return _SPECIAL.get(match.group(1), match.group(1).strip("[]")) + (f"**{match.group(2)}" if match.group(2) else "")


@lru_cache(maxsize=1024)
def parse_unit(code: str) -> pint.Unit:
    """Return the pint unit of a UCUM code such as `kg/h`, `Cel`, `kW.h`, `m3/h`, `%` or `1`.

    Raises:
        ConfigError: The code is not a unit.
    """
    try:
        if not code:
            raise ValueError(code)
        numerator, *denominators = code.split("/")
        expression = "*".join(_term(t) for t in numerator.split(".")) if numerator else "1"
        for part in denominators:
            expression += "/(" + "*".join(_term(t) for t in part.split(".")) + ")"
        return _registry().parse_units(expression) if expression != "1" else _registry().dimensionless
    except (ValueError, pint.errors.UndefinedUnitError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"unknown unit {code!r}: write a UCUM code such as Cel, bar, kg/h, kW, m3/h, % or 1"
        ) from error


@lru_cache(maxsize=1024)
def conversion(from_code: str, to_code: str) -> tuple[float, float]:
    """Return (factor, offset) so that value_in_to = factor * value_in_from + offset.

    Raises:
        ConfigError: A code is unknown, or the two measure different things.
    """
    registry = _registry()
    source, target = parse_unit(from_code), parse_unit(to_code)
    try:
        zero = registry.Quantity(0.0, source).to(target).magnitude
        # a wide base keeps the factor exact to the last digits for offset units
        one = registry.Quantity(1000.0, source).to(target).magnitude
    except pint.errors.DimensionalityError as error:
        raise ConfigError(
            f"cannot convert {from_code} ({source.dimensionality}) to {to_code} ({target.dimensionality})"
        ) from error
    return float((one - zero) / 1000.0), float(zero)
