"""What a UCUM code means: a unit of pint, a number in front, and what its annotation refers to.

Annotations that mean something here: `{gauge}` and `{absolute}` of a pressure, `{difference}` of a pressure or a
temperature, and the state of a gas volume (`{normal}`, `{standard}`, `{40Cel,7bar}`). Any other only says what was
counted, as in UCUM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import pint

from resources.core.physics.gas_volumes import GasState, gas_state
from resources.core.physics.ucum import Component, components, definitions, pint_name, written_out

Reference = Literal["", "gauge", "difference"]
"""What a value is counted from: absolute zero or the scale's own zero, the atmosphere, or another value."""

_REFERENCES: dict[str, Reference] = {
    "absolute": "", "abs": "", "a": "",
    "gauge": "gauge", "gage": "gauge", "g": "gauge",
    "difference": "difference", "differential": "difference", "diff": "difference", "delta": "difference",
}  # fmt: skip
_LETTERS = frozenset({"a", "g"})
"""Too short to mean anything but with a pressure."""
_DIFFERENCES = {"degC": "delta_degC", "degF": "delta_degF"}
_CUSTOMARY = ("[cft_i]", "[cin_i]", "[ft_i]", "[in_i]", "[gal_us]", "[gal_br]", "[bbl_us]")
_PRESSURE, _TEMPERATURE = "[mass] / [length] / [time] ** 2", "[temperature]"


@dataclass(frozen=True, slots=True)
class Measure:
    """A code, understood."""

    number: float
    """Value in `unit` = number * value."""
    unit: pint.Unit
    reference: Reference = ""
    state: GasState | None = None
    """State of the gas volume in it; None: not given."""
    state_exponent: int = 0
    """1: the volume multiplies (m3/h); -1: it divides (kg/m3)."""


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[float]:
    """Return the one registry."""
    found: pint.UnitRegistry[float] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True, cache_folder=None)
    for definition in definitions():
        found.define(definition)
    return found


@lru_cache(maxsize=1024)
def measure_of(code: str) -> Measure:
    """Return what a UCUM code means.

    Raises:
        ValueError, pint.errors.PintError: The code is not a unit, or its annotation does not fit.
    """
    factors = components(code)
    reference, annotated = _reference(factors)
    alone = len(factors) == 1 and factors[0].exponent == 1 and reference != "difference"
    number, parts = 1.0, []
    for factor in factors:
        number *= factor.number if factor.exponent > 0 else 1.0 / factor.number
        if factor.atom:
            name = _name(factor.atom)
            # beside other units a degree is a step, not a place on the scale
            parts.append(f"({name if alone else _DIFFERENCES.get(name, name)})**({factor.exponent})")
    units = registry().parse_units("*".join(parts)) if parts else registry().dimensionless
    state, exponent = _state(factors)
    return Measure(number, units, _fitting(reference, annotated, units), state, exponent)


def _fitting(reference: Reference, annotated: str, unit: pint.Unit) -> Reference:
    """Return the reference if the unit measures what has one."""
    dimension, known = unit.dimensionality, registry().get_dimensionality
    if not annotated or dimension == known(_PRESSURE):
        return reference
    if annotated in _LETTERS:
        return ""
    if reference != "difference" or dimension != known(_TEMPERATURE):
        raise ValueError(f"{{{annotated}}} goes with a pressure{' or a temperature' * (reference == 'difference')}")
    return reference


def _name(atom: str) -> str:
    name = pint_name(atom)
    if name is not None:
        return name
    if not written_out(atom):
        raise ValueError(atom)
    return atom


def _reference(factors: Sequence[Component]) -> tuple[Reference, str]:
    named = [factor.annotation for factor in factors if factor.annotation in _REFERENCES]
    if len(named) > 1:
        raise ValueError(f"{{{named[0]}}} and {{{named[1]}}} exclude each other")
    return (_REFERENCES[named[0]], named[0]) if named else ("", "")


def _state(factors: Sequence[Component]) -> tuple[GasState | None, int]:
    """Return the state that a volume is given at, and whether that volume multiplies (1) or divides (-1)."""
    found: list[tuple[GasState, int]] = []
    for factor in factors:
        if not factor.annotation:
            continue
        state = gas_state(factor.annotation, customary=factor.atom in _CUSTOMARY)
        if state is None:
            continue
        volume = registry().parse_units(f"({_name(factor.atom)})**({abs(factor.exponent)})") if factor.atom else None
        if volume is None or volume.dimensionality != registry().get_dimensionality("[length] ** 3"):
            raise ValueError(f"{{{factor.annotation}}} goes with a volume")
        found.append((state, 1 if factor.exponent > 0 else -1))
    if len(found) > 1:
        raise ValueError("only one volume can be given at a state")
    return found[0] if found else (None, 0)
