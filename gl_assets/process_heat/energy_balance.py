"""The direct energy balance of a boiler: what the steam took up over what the fuel brought in.

Source: EN 12952-15 (direct method); enthalpies by IAPWS-IF97 (International Association for the Properties of Water
and Steam, Industrial Formulation 1997).
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from gl_assets.schemas.boiler_efficiency import MOST
from resources.core.units import conversion
from resources.integrations import BoilerConfig

UNITS = {
    "fuel_flow": "kg/s",
    "steam_flow": "kg/s",
    "steam_pressure": "MPa",
    "steam_temperature": "K",
    "feedwater_temperature": "K",
}
"""Measured quantity -> the unit it is computed in."""

COLUMNS = ("boiler", "hour", "efficiency", "steam_power_kw", "fuel_power_kw", "good_share", "reason")
"""Columns of the result."""

WET_STEAM_K = 1.0
"""Steam measured this far below saturation counts as dry saturated: sensors are not more exact than that."""

_Row = tuple[float | None, float | None, float | None, str | None]


def balance_boilers(hourly: pd.DataFrame, boilers: Mapping[str, BoilerConfig]) -> pd.DataFrame:
    """Return the energy balance of each boiler and hour, from the hour's means.

    Args:
        hourly: One row per (sensor_id, hour): hour (UTC), sensor_id, mean_value in `unit`, unit, good_share 0-1.
        boilers: Name -> its sensors.

    Returns:
        One row per (boiler, hour) in which at least one of its sensors has a row, by boiler and hour: efficiency as a
        share (0.9 is 90 %), powers in kW, good_share the lowest of its sensors; where the balance cannot be drawn,
        efficiency is null and `reason` says why, else `reason` is null.

    Raises:
        ConfigError: A sensor's unit does not measure what its place in the balance needs.
    """
    rows = []
    for boiler, config in boilers.items():
        wide, share = _by_hour(hourly, config)
        for hour in wide.index:
            efficiency, steam, fuel, reason = _balance(wide.loc[hour], config)
            rows.append((boiler, hour, efficiency, steam, fuel, float(share.get(hour, 0.0)), reason))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["efficiency", "steam_power_kw", "fuel_power_kw", "good_share"]
    return found.astype({**dict.fromkeys(numbers, "float64"), "reason": "object"})


def _by_hour(hourly: pd.DataFrame, config: BoilerConfig) -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """Return hour -> the five quantities in UNITS, and hour -> the lowest good share."""
    places = {getattr(config, place): place for place in UNITS}
    own = hourly[hourly["sensor_id"].isin(list(places))].copy()
    own["place"] = own["sensor_id"].map(places)
    terms = [conversion(unit, UNITS[place]) for unit, place in zip(own["unit"], own["place"], strict=True)]
    factors = np.array(terms, dtype=float).reshape(-1, 2)
    own["si"] = own["mean_value"].to_numpy(dtype=float) * factors[:, 0] + factors[:, 1]
    wide = own.pivot(index="hour", columns="place", values="si").reindex(columns=list(UNITS)).sort_index()
    return wide, own.groupby("hour")["good_share"].min()


def _balance(means: "pd.Series[float]", config: BoilerConfig) -> _Row:
    """Return efficiency, steam power, fuel power and the reason where there is no efficiency."""
    missing = [f"{place} ({getattr(config, place)})" for place in UNITS if pd.isna(means[place])]
    if missing:
        return None, None, None, f"no good mean of {', '.join(missing)}"
    try:
        steam = steam_enthalpy(round(means["steam_pressure"], 6), round(means["steam_temperature"], 3))
        water = water_enthalpy(round(means["steam_pressure"], 6), round(means["feedwater_temperature"], 3))
    except ValueError as error:
        return None, None, None, str(error)
    steam_kw = float(means["steam_flow"] * (steam - water))
    fuel_kw = float(means["fuel_flow"] * config.fuel_heating_value_kj_per_kg)
    if fuel_kw <= 0:
        return None, steam_kw, fuel_kw, "no fuel was burnt: the boiler stood or only kept warm"
    efficiency = steam_kw / fuel_kw
    if not 0 <= efficiency <= MOST:  # the lower heating value allows a little above 1 with condensing
        return (
            None,
            steam_kw,
            fuel_kw,
            f"efficiency {efficiency:.2f} is impossible: check units and calibration of its sensors",
        )
    return efficiency, steam_kw, fuel_kw, None


@lru_cache(maxsize=4096)
def steam_enthalpy(pressure_mpa: float, temperature_k: float) -> float:
    """Return the specific enthalpy of steam, kJ/kg; at saturation that of dry saturated steam.

    Raises:
        ValueError: It is not steam at all, or outside IF97's range; the message is a sentence for the table.
    """
    _check_range(pressure_mpa, temperature_k)
    saturation = _saturation_k(pressure_mpa)
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
    saturation = _saturation_k(pressure_mpa)
    if saturation is not None and temperature_k >= saturation:
        raise ValueError(
            f"feedwater of {temperature_k - 273.15:.1f} Cel would boil at {pressure_mpa * 10:.2f} bar "
            f"({saturation - 273.15:.1f} Cel); check pressure and temperature"
        )
    from iapws import IAPWS97

    return float(IAPWS97(P=pressure_mpa, T=temperature_k).h)


def _check_range(pressure_mpa: float, temperature_k: float) -> None:
    if not 0.000612 <= pressure_mpa <= 100 or not 273.16 <= temperature_k <= 1073.15:
        raise ValueError(
            f"{pressure_mpa * 10:.3f} bar and {temperature_k - 273.15:.1f} Cel lie outside the steam tables "
            "(0.00612 to 1000 bar absolute, 0.01 to 800 Cel); check units and sensors"
        )


@lru_cache(maxsize=4096)
def _saturation_k(pressure_mpa: float) -> float | None:
    """Return the boiling temperature, None above the critical pressure, where nothing boils."""
    if pressure_mpa >= 22.064:
        return None
    from iapws import IAPWS97

    return float(IAPWS97(P=pressure_mpa, x=0).T)
