"""The direct energy balance of a boiler: what the steam took up over what the fuel brought in.

Source: EN 12952-15 (direct method); enthalpies by IAPWS-IF97 (International Association for the Properties of Water
and Steam, Industrial Formulation 1997).
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from gl_assets.schemas.boiler_efficiency import MOST
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.steam import steam_enthalpy, water_enthalpy
from resources.core.physics.units import conversion
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

_Row = tuple[float | None, float | None, float | None, str | None]


def balance_boilers(
    hourly: pd.DataFrame, boilers: Mapping[str, BoilerConfig], atmosphere_kpa: float = ATMOSPHERE_KPA
) -> pd.DataFrame:
    """Return the energy balance of each boiler and hour, from the hour's means.

    Args:
        hourly: One row per (sensor_id, hour): hour (UTC), sensor_id, mean_value in `unit`, unit, good_share 0-1.
        boilers: Name -> its sensors.
        atmosphere_kpa: Pressure of the air at the site, for steam pressures in a gauge unit.

    Returns:
        One row per (boiler, hour) in which at least one of its sensors has a row, by boiler and hour: efficiency as a
        share (0.9 is 90 %), powers in kW, good_share the lowest of its sensors; where the balance cannot be drawn,
        efficiency is null and `reason` says why, else `reason` is null. A power that cannot be is null, too.

    Raises:
        ConfigError: A sensor's unit does not measure what its place in the balance needs.
    """
    rows = []
    for boiler, config in boilers.items():
        wide, share = _by_hour(hourly, config, atmosphere_kpa)
        for hour in wide.index:
            efficiency, steam, fuel, reason = _balance(wide.loc[hour], config)
            rows.append((boiler, hour, efficiency, steam, fuel, float(share.get(hour, 0.0)), reason))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["efficiency", "steam_power_kw", "fuel_power_kw", "good_share"]
    return found.astype({**dict.fromkeys(numbers, "float64"), "reason": "object"})


def _by_hour(
    hourly: pd.DataFrame, config: BoilerConfig, atmosphere_kpa: float
) -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """Return hour -> the five quantities in UNITS, and hour -> the lowest good share."""
    places = {getattr(config, place): place for place in UNITS}
    own = hourly[hourly["sensor_id"].isin(list(places))].copy()
    own["place"] = own["sensor_id"].map(places)
    pairs = zip(own["unit"], own["place"], strict=True)
    terms = [conversion(unit, UNITS[place], atmosphere_kpa) for unit, place in pairs]
    factors = np.array(terms, dtype=float).reshape(-1, 2)
    with np.errstate(over="ignore"):
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
    steam_kw = float(means["steam_flow"]) * (steam - water)
    fuel_kw = float(means["fuel_flow"]) * config.fuel_heating_value_kj_per_kg
    reason = _fault(steam_kw, fuel_kw, config)
    if reason is not None:
        possible = fuel_kw if 0 <= fuel_kw < math.inf else None
        return None, steam_kw if math.isfinite(steam_kw) else None, possible, reason
    return steam_kw / fuel_kw, steam_kw, fuel_kw, None


def _fault(steam_kw: float, fuel_kw: float, config: BoilerConfig) -> str | None:
    """Return why two powers have no efficiency, None where they have one."""
    if not (math.isfinite(steam_kw) and math.isfinite(fuel_kw)):
        return "the mean of steam_flow or fuel_flow is beyond any number: check its sensor"
    if fuel_kw < 0:
        return f"the fuel flow ({config.fuel_flow}) is below zero: the boiler stood and the meter's zero has drifted"
    if fuel_kw == 0:
        return "no fuel was burnt: the boiler stood or only kept warm"
    efficiency = steam_kw / fuel_kw
    if not 0 <= efficiency <= MOST:  # the lower heating value allows a little above 1 with condensing
        return f"efficiency {efficiency:.2f} is impossible: check units and calibration of its sensors"
    return None
