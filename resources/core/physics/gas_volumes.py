"""The state a gas volume is given at: a normal cubic metre is an amount, a cubic metre of pipe is not.

Volumes of the same amount at two states relate as the ideal gas law says. What that leaves out (compressibility,
moisture) is below 0.1 % for air and natural gas near the reference states, and grows with pressure.
Source: DIN 1343 (normal: 0 Cel), ISO 13443 (standard: 15 Cel), AGA (60 degF); all at 101.325 kPa absolute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ATMOSPHERE_KPA = 101.325
"""The standard atmosphere."""

_STATE = re.compile(
    r"(-?\d{1,4}(?:\.\d{1,6})?)(Cel|K|\[degF\]),(\d{1,6}(?:\.\d{1,6})?)(Pa|hPa|kPa|MPa|mbar|bar|\[psi\]|atm)"
)
_KPA = {
    "Pa": 0.001,
    "hPa": 0.1,
    "kPa": 1.0,
    "MPa": 1000.0,
    "mbar": 0.1,
    "bar": 100.0,
    "[psi]": 6.894757293168361,
    "atm": ATMOSPHERE_KPA,
}
_NORMAL = frozenset({"normal", "norm", "N"})
_STANDARD = frozenset({"standard", "std", "S"})


@dataclass(frozen=True, slots=True)
class GasState:
    """Temperature and absolute pressure that a volume is given at."""

    temperature_k: float
    pressure_kpa: float

    def volume_at(self, other: GasState) -> float:
        """Return the volume at `other` of what has the volume 1 at this state."""
        return (other.temperature_k / self.temperature_k) * (self.pressure_kpa / other.pressure_kpa)

    def __str__(self) -> str:
        """Show both as people read them."""
        return f"{self.temperature_k - 273.15:g} Cel and {self.pressure_kpa:g} kPa"


NORMAL = GasState(273.15, ATMOSPHERE_KPA)
"""0 Cel: Nm3."""

STANDARD = GasState(288.15, ATMOSPHERE_KPA)
"""15 Cel: Sm3."""

STANDARD_CUBIC_FOOT = GasState((60.0 + 459.67) * 5.0 / 9.0, ATMOSPHERE_KPA)
"""60 degF: scf, and what else is measured in feet and gallons."""


def gas_state(annotation: str, *, customary: bool) -> GasState | None:
    """Return the state that an annotation names, None if it names none.

    Args:
        annotation: `normal`, `standard`, or temperature and absolute pressure: `40Cel,7bar`.
        customary: The volume is in cubic feet or gallons, whose standard is 60 degF.

    Raises:
        ValueError: It names a state that cannot be.
    """
    if annotation in _NORMAL:
        return NORMAL
    if annotation in _STANDARD:
        return STANDARD_CUBIC_FOOT if customary else STANDARD
    match = _STATE.fullmatch(annotation)
    if match is None:
        return None
    degrees, pressure = float(match.group(1)), float(match.group(3)) * _KPA[match.group(4)]
    kelvin = {"K": degrees, "Cel": degrees + 273.15, "[degF]": (degrees + 459.67) * 5.0 / 9.0}[match.group(2)]
    if kelvin <= 0 or pressure <= 0:
        raise ValueError(annotation)
    return GasState(kelvin, pressure)
