"""Units as UCUM codes (the `c/s` column of the standard) and as plants write them, understood through pint.

Conversions are linear (`y = factor * x + offset`), so that a whole column is converted by one multiplication.
"""

from __future__ import annotations

from functools import lru_cache

import pint

from resources.core.errors import ConfigError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.measures import Measure, measure_of, registry
from resources.core.physics.quantities import described
from resources.core.physics.spellings import AmbiguousUnitError, as_ucum

_FAULTS = (ValueError, pint.errors.PintError, AttributeError, TypeError, ArithmeticError, AssertionError)
"""What pint and the grammar raise on text that is no unit."""


@lru_cache(maxsize=1024)
def ucum_code(text: str) -> str:
    """Return the UCUM code of a unit, which may be written as plants do: `psig` is `[psi]{gauge}`.

    Raises:
        ConfigError: It is not a unit.
    """
    try:
        code = as_ucum(text)
        measure_of(code)
    except AmbiguousUnitError as error:
        raise ConfigError(f"unknown unit {text!r}: {error}") from error
    except _FAULTS as error:
        why = f"; {error}" if str(error).startswith(("{", "only")) else ""
        raise ConfigError(
            f"unknown unit {text!r}: write a UCUM code such as Cel, bar, kg/h, kW, m3/h, % or 1{why}"
        ) from error
    return code


def parse_unit(code: str) -> pint.Unit:
    """Return the pint unit of a UCUM code such as `kg/h`, `Cel`, `kW.h`, `m3/h`, `%` or `1`, or of a plant's spelling.

    Numbers in the code (`10*6.[Btu_IT]`) and annotations (`bar{gauge}`) are not in it: `conversion` knows them.

    Raises:
        ConfigError: The code is not a unit.
    """
    return measure_of(ucum_code(code)).unit


@lru_cache(maxsize=4096)
def conversion(from_code: str, to_code: str, atmosphere_kpa: float | None = ATMOSPHERE_KPA) -> tuple[float, float]:
    """Return (factor, offset) so that value_in_to = factor * value_in_from + offset.

    Args:
        from_code: UCUM code or plant's spelling.
        to_code: The same.
        atmosphere_kpa: Pressure of the air where gauge pressures are measured (`units.atmosphere_kpa`); None: not
            known here, so that gauge and absolute pressures do not convert.

    Raises:
        ConfigError: A code is unknown, or the two measure different things.
    """
    one, other = ucum_code(from_code), ucum_code(to_code)
    if one == other:
        return 1.0, 0.0
    source, target = measure_of(one), measure_of(other)
    if source.unit.dimensionality != target.unit.dimensionality:
        raise _different(from_code, to_code, "they measure different things")
    factor, offset = _linear(source, target)
    factor *= _between_states(source, target, from_code, to_code)
    if source.reference == target.reference:
        return factor, offset
    if "difference" in (source.reference, target.reference):
        raise _different(from_code, to_code, "a difference is no place on a scale")
    if atmosphere_kpa is None:
        raise _different(from_code, to_code, "give the tag the unit that is sent, and the other as canonical_unit")
    pascal_in_target = _linear(measure_of("Pa"), target)[0]
    rise = atmosphere_kpa * 1000.0 * pascal_in_target
    return factor, offset + (rise if source.reference == "gauge" else -rise)


def _linear(source: Measure, target: Measure) -> tuple[float, float]:
    """Return factor and offset between units of the same dimensions."""
    quantity = registry().Quantity
    zero = quantity(0.0, source.unit).to(target.unit).magnitude
    # a wide base keeps the factor exact to the last digits for offset units
    factor = (quantity(1000.0, source.unit).to(target.unit).magnitude - zero) / 1000.0
    if zero == 0:
        factor = quantity(1.0, source.unit).to(target.unit).magnitude
    return float(factor * source.number / target.number), float(zero / target.number)


def _between_states(source: Measure, target: Measure, from_code: str, to_code: str) -> float:
    if source.state == target.state and source.state_exponent == target.state_exponent:
        return 1.0
    if source.state is None or target.state is None or source.state_exponent != target.state_exponent:
        raise _different(
            from_code,
            to_code,
            "the state of one gas volume is not given: write m3{normal}, m3{standard}, or temperature and absolute "
            "pressure as in m3{40Cel,7bar}",
        )
    return source.state.volume_at(target.state) ** source.state_exponent


def _different(from_code: str, to_code: str, why: str) -> ConfigError:
    return ConfigError(
        f"cannot convert {from_code} ({described(ucum_code(from_code))}) to {to_code} "
        f"({described(ucum_code(to_code))}): {why}"
    )
