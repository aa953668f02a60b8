"""What a unit measures, by name: for messages, and for the canonical unit of each quantity."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from resources.core.physics.measures import Measure, measure_of

QUANTITIES: dict[str, str] = {
    "temperature": "K",
    "temperature_difference": "K{difference}",
    "pressure": "Pa",
    "gauge_pressure": "Pa{gauge}",
    "pressure_difference": "Pa{difference}",
    "volume": "m3",
    "gas_volume": "m3{normal}",
    "mass": "kg",
    "amount": "mol",
    "volume_flow": "m3/s",
    "gas_flow": "m3{normal}/s",
    "mass_flow": "kg/s",
    "molar_flow": "mol/s",
    "energy": "J",
    "power": "W",
    "specific_enthalpy": "J/kg",
    "heating_value_of_gas": "J/m3{normal}",
    "heat_capacity": "J/kg/K",
    "heat_flux": "W/m2",
    "heat_transfer": "W/m2/K",
    "density": "kg/m3",
    "gas_concentration": "kg/m3{normal}",
    "viscosity": "Pa.s",
    "length": "m",
    "area": "m2",
    "speed": "m/s",
    "acceleration": "m/s2",
    "time": "s",
    "frequency": "1/s",
    "current": "A",
    "voltage": "V",
    "resistance": "Ohm",
    "conductivity": "S/m",
    "force": "N",
    "share": "1",
}
"""Name -> its unit in SI. Of two that have the same dimensions the first gives the name."""

Kind = tuple[Any, str, int]
"""Dimensions, what it is counted from, and which power of a gas volume at a given state is in it."""


def quantity_of(code: str) -> str | None:
    """Return the name of what a unit measures, None if it has none here.

    Raises:
        ValueError, pint.errors.PintError: As `measure_of`.
    """
    return _names().get(_kind(measure_of(code)))


def described(code: str) -> str:
    """Return what a unit measures, for people: `a gas volume at 0 Cel and 101.325 kPa`."""
    measure, name = measure_of(code), quantity_of(code)
    words = name.replace("_", " ") if name is not None else str(measure.unit.dimensionality)
    if measure.state is not None:
        return f"{words} at {measure.state}"
    return words


def _kind(measure: Measure) -> Kind:
    return measure.unit.dimensionality, measure.reference, measure.state_exponent


@lru_cache(maxsize=1)
def _names() -> dict[Kind, str]:
    found: dict[Kind, str] = {}
    for name, code in QUANTITIES.items():
        found.setdefault(_kind(measure_of(code)), name)
    return found
