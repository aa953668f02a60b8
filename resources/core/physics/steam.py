"""Specific enthalpy of steam and water by IAPWS-IF97, in any units.

Source: International Association for the Properties of Water and Steam, Industrial Formulation 1997.
"""

from __future__ import annotations

from functools import lru_cache

from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.units import conversion

WET_STEAM_K = 1.0
"""Steam measured this far below saturation counts as dry saturated: sensors are not more exact than that."""


@lru_cache(maxsize=4096)
def steam_enthalpy(pressure_mpa: float, temperature_k: float) -> float:
    """Return the specific enthalpy of steam, kJ/kg; at saturation that of dry saturated steam.

    Raises:
        ValueError: It is not steam at all, or outside IF97's range; the message is a sentence for the table.
    """
    _check_range(pressure_mpa, temperature_k)
    saturation = saturation_k(pressure_mpa)
    if saturation is not None and temperature_k < saturation - WET_STEAM_K:
        raise ValueError(
            f"steam of {temperature_k - 273.15:.1f} Cel is below saturation ({saturation - 273.15:.1f} Cel at "
            f"{pressure_mpa * 10:.2f} bar): it would be water; check pressure and temperature"
        )
    from iapws import IAPWS97

    if saturation is not None and temperature_k <= saturation:
        return float(IAPWS97(P=pressure_mpa, x=1).h)
    return float(IAPWS97(P=pressure_mpa, T=temperature_k).h)


@lru_cache(maxsize=4096)
def water_enthalpy(pressure_mpa: float, temperature_k: float) -> float:
    """Return the specific enthalpy of feedwater, kJ/kg.

    Raises:
        ValueError: It would boil at that pressure, or is outside IF97's range.
    """
    _check_range(pressure_mpa, temperature_k)
    saturation = saturation_k(pressure_mpa)
    if saturation is not None and temperature_k >= saturation:
        raise ValueError(
            f"feedwater of {temperature_k - 273.15:.1f} Cel would boil at {pressure_mpa * 10:.2f} bar "
            f"({saturation - 273.15:.1f} Cel); check pressure and temperature"
        )
    from iapws import IAPWS97

    return float(IAPWS97(P=pressure_mpa, T=temperature_k).h)


@lru_cache(maxsize=4096)
def saturation_k(pressure_mpa: float) -> float | None:
    """Return the boiling temperature, None above the critical pressure, where nothing boils."""
    if pressure_mpa >= 22.064:
        return None
    from iapws import IAPWS97

    return float(IAPWS97(P=pressure_mpa, x=0).T)


def enthalpy(
    pressure: tuple[float, str],
    temperature: tuple[float, str],
    *,
    unit: str = "kJ/kg",
    water: bool = False,
    atmosphere_kpa: float = ATMOSPHERE_KPA,
) -> float:
    """Return the specific enthalpy of steam, or of water, at a measured state.

    Args:
        pressure: Value and unit; a gauge pressure is told by its unit (`bar{gauge}`, `psig`).
        temperature: Value and unit.
        unit: Unit of the result.
        water: Water in place of steam.
        atmosphere_kpa: Pressure of the air at the site.

    Raises:
        ConfigError: A unit does not measure what it stands for.
        ValueError: The state is not that of steam (or water), or outside IF97's range.
    """
    values = []
    for (value, code), wanted in ((pressure, "MPa"), (temperature, "K")):
        factor, offset = conversion(code, wanted, atmosphere_kpa)
        values.append(factor * value + offset)
    found = (water_enthalpy if water else steam_enthalpy)(round(values[0], 9), round(values[1], 6))
    factor, offset = conversion("kJ/kg", unit)
    return factor * found + offset


def _check_range(pressure_mpa: float, temperature_k: float) -> None:
    if not 0.000612 <= pressure_mpa <= 100 or not 273.16 <= temperature_k <= 1073.15:
        raise ValueError(
            f"{pressure_mpa * 10:.3f} bar and {temperature_k - 273.15:.1f} Cel lie outside the steam tables "
            "(0.00612 to 1000 bar absolute, 0.01 to 800 Cel); check units and sensors"
        )
